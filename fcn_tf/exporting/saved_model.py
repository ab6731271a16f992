"""A SavedModel for TensorFlow Serving: three signatures over one frozen network."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from fcn_tf.exporting.formats import Job
from fcn_tf.images.graph import (
    CMYK_CHANNELS,
    EXACT,
    JPEG,
    PNG,
    is_deep_png,
    png_size,
    starts_with,
)

Tensor = Any  # a tf.Tensor: TensorFlow has no types

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
WARM_UP_SIZE_PX = (64, 64)


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes the SavedModel, which is the folder itself; see `fcn_tf.exporting.formats`."""
    write_saved_model(job.logits, folder, job.options.saved_model.max_pixels)
    return folder


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """Loads a SavedModel; its three signatures have to agree.

    This text is executed alone, in a process without this package: every name that it uses is
    imported or made inside.
    """
    import sys

    import tensorflow as tf

    loaded = tf.saved_model.load(artefact)

    def answer(image):
        signatures = loaded.signatures
        batch = tf.constant(image[None])
        scores = signatures["scores"](images=batch)["scores"].numpy()[0]
        labels = signatures["labels"](images=batch)["labels"].numpy()[0]
        encoded = tf.io.encode_png(image)[None]
        png = signatures["serving_default"](image_bytes=encoded)["label_png_bytes"][0]
        served = tf.io.decode_png(png, channels=1).numpy()[..., 0]
        for other in (labels, served):
            agree = (other == scores.argmax(-1)).mean()
            if agree < 0.9999:  # scores that are equal in float32 may be ordered otherwise
                sys.exit(f"the signatures agree on {agree:.6f} of the pixels")
        return {"scores": scores}

    return answer


def write_saved_model(
    logits: Callable[[Tensor], Tensor], folder: str | Path, max_pixels: int
) -> None:
    """Writes a SavedModel with the signatures serving_default, labels and scores.

    Args:
        logits: a function as `freeze` returns it.
        folder: where to.
        max_pixels: a call with more pixels (for encoded images: an image with more) is refused as
            InvalidArgument, before anything is computed.
    """
    served = Served(logits, max_pixels)
    signatures = {
        "serving_default": served.label_pngs,
        "labels": served.labels,
        "scores": served.scores,
    }
    tf.saved_model.save(served, str(folder), signatures=signatures)
    _write_warm_up(Path(folder))


class Served(tf.Module):
    """The signatures; see `write_saved_model`."""

    def __init__(self, logits: Callable[[Tensor], Tensor], max_pixels: int) -> None:
        super().__init__()
        self._logits = logits
        self._max_pixels = max_pixels

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def label_pngs(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """JPEG or PNG files of any sizes, (N,), to 8-bit PNG files of labels, of the same sizes."""
        pngs = tf.map_fn(
            self._label_png, image_bytes, fn_output_signature=tf.string, parallel_iterations=1
        )
        return {"label_png_bytes": pngs}

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def labels(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 (N, H, W, 3) to uint8 (N, H, W)."""
        with tf.control_dependencies(self._checks(tf.shape(images)[:3])):
            return {"labels": self._labels(images)}

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def scores(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 (N, H, W, 3) to float32 (N, H, W, C), softmax."""
        with tf.control_dependencies(self._checks(tf.shape(images)[:3])):
            return {"scores": tf.nn.softmax(self._logits(images))}

    def _labels(self, images: Tensor) -> Tensor:
        return tf.cast(tf.argmax(self._logits(images), axis=-1), tf.uint8)

    def _label_png(self, contents: Tensor) -> Tensor:
        labels = self._labels(self._decode(contents)[None])[0]
        return tf.io.encode_png(labels[..., None])

    def _decode(self, contents: Tensor) -> Tensor:
        """uint8 (H, W, 3). The header is checked first: what it is, and how large."""
        is_jpeg, is_png = starts_with(contents, JPEG), starts_with(contents, PNG)
        known = tf.debugging.Assert(
            is_jpeg | is_png, ["image_bytes holds neither a JPEG nor a PNG."]
        )
        with tf.control_dependencies([known]):
            size, is_cmyk, is_deep = tf.cond(
                is_jpeg, lambda: _jpeg_header(contents), lambda: _png_header(contents)
            )
        kinds = [
            tf.debugging.Assert(~is_cmyk, ["image_bytes holds a JPEG in CMYK: send it as RGB."]),
            tf.debugging.Assert(
                ~is_deep, ["image_bytes holds a PNG of 16 bits a channel: send it with 8 bits."]
            ),
        ]
        with tf.control_dependencies([*self._checks(size), *kinds]):
            return tf.cond(
                is_jpeg,
                lambda: tf.io.decode_jpeg(contents, channels=3, dct_method=EXACT),
                lambda: tf.io.decode_png(contents, channels=3),
            )

    def _checks(self, sides: Tensor) -> list[Tensor]:
        """Assertions on the sides of an array, which fail with InvalidArgument."""
        pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
        allowed = f"it must be between 1 and {self._max_pixels} (max_pixels of the export)."
        return [
            tf.debugging.Assert(tf.reduce_all(sides > 0), ["An image without pixels:", sides]),
            tf.debugging.Assert(
                pixels <= self._max_pixels, ["The number of pixels is", pixels, allowed]
            ),
        ]


def _jpeg_header(contents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Height and width, whether it is CMYK, and whether it has more than 8 bits a channel."""
    shape = tf.io.extract_jpeg_shape(contents)
    return shape[:2], shape[2] == CMYK_CHANNELS, tf.constant(False)


def _png_header(contents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of a PNG."""
    return png_size(contents), tf.constant(False), is_deep_png(contents)


def _write_warm_up(folder: Path) -> None:
    """One request for each signature, which the server replays before it is ready."""
    image = np.zeros((*WARM_UP_SIZE_PX, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "png")
    path = folder / WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, name, value in (
            ("serving_default", "image_bytes", [encoded.getvalue()]),
            ("labels", "images", image[None]),
            ("scores", "images", image[None]),
        ):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "model"
            request.model_spec.signature_name = signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())
