"""A SavedModel for TensorFlow Serving: five signatures over one frozen network."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.exporting.decoding import pixels_or_reason
from fcn_tf.exporting.formats import Job

Tensor = Any  # a tf.Tensor: TensorFlow has no types

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
WARM_UP_SIZE_PX = (64, 64)
ENCODED = tf.TensorSpec((None,), tf.string, name="image_bytes")
PIXELS = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes the SavedModel, which is the folder itself; see `fcn_tf.exporting.formats`."""
    write_saved_model(job.logits, folder, job.options.saved_model.max_pixels, job.record)
    return folder


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """Loads a SavedModel; its signatures have to agree.

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
        # A broken file in front, as a server may join one to the request of another client.
        encoded = tf.stack([tf.constant("broken"), tf.io.encode_png(image)])
        reasons = signatures["check"](image_bytes=encoded)["reason"].numpy()
        if not reasons[0] or reasons[1]:
            sys.exit(f"the signature check says {reasons[1]} of an image, {reasons[0]} of none")
        pngs = signatures["serving_default"](image_bytes=encoded)["label_png_bytes"]
        served = tf.io.decode_png(pngs[1], channels=1).numpy()[..., 0]
        for other in (labels, served):
            agree = (other == scores.argmax(-1)).mean()
            if agree < 0.9999:  # scores that are equal in float32 may be ordered otherwise
                sys.exit(f"the signatures agree on {agree:.6f} of the pixels")
        return {"scores": scores}

    return answer


def write_saved_model(
    logits: Callable[[Tensor], Tensor],
    folder: str | Path,
    max_pixels: int,
    record: ExportRecord | None = None,
) -> None:
    """Writes a SavedModel with the signatures serving_default, check, describe, labels and scores.

    A server may join requests. No image of one makes another fail: see `Served`.

    Args:
        logits: a function as `freeze` returns it.
        folder: where to.
        max_pixels: of the largest image that is computed. Of several images, so many are computed
            at once as have no more pixels together.
        record: what `describe` tells a client of the model; by default nothing but `max_pixels`.
    """
    record = replace(record or ExportRecord(), max_pixels=max_pixels)
    served = Served(logits, max_pixels, record)
    signatures = {
        "serving_default": served.label_pngs,
        "check": served.check,
        "describe": served.describe,
        "labels": served.labels,
        "scores": served.scores,
    }
    tf.saved_model.save(served, str(folder), signatures=signatures)
    _write_warm_up(Path(folder))


class Served(tf.Module):
    """The signatures; see `write_saved_model`.

    Every input and every output has the images along its first axis: a server joins and splits
    along it.
    """

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        max_pixels: int,
        record: ExportRecord | None = None,
    ) -> None:
        super().__init__()
        self._logits = logits
        self._max_pixels = max_pixels
        self._description = (record or ExportRecord()).for_clients()

    @tf.function(input_signature=[ENCODED])
    def label_pngs(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """JPEG or PNG files of any sizes, (N,), to 8-bit PNG files of labels, of the same sizes.

        The answer to a file that is refused is an empty string; `check` gives the reason.
        """
        return {"label_png_bytes": _each(self._label_png, image_bytes)}

    @tf.function(input_signature=[ENCODED])
    def check(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """JPEG or PNG files, (N,), to the reasons why they are refused; "" for those that are not.

        Nothing is computed but the pixels.
        """
        return {"reason": _each(self._reason, image_bytes)}

    @tf.function(input_signature=[ENCODED])
    def describe(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """Anything, (N,), to N times what a client has to know of the model, as JSON.

        The input is not looked at; a server that joins requests demands that there is one.
        """
        return {"description": tf.fill(tf.shape(image_bytes), self._description)}

    @tf.function(input_signature=[PIXELS])
    def labels(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 (N, H, W, 3) to uint8 (N, H, W)."""
        return {"labels": self._in_parts(self._labels, images)}

    @tf.function(input_signature=[PIXELS])
    def scores(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 (N, H, W, 3) to float32 (N, H, W, C), softmax."""
        return {"scores": self._in_parts(self._scores, images)}

    def _labels(self, images: Tensor) -> Tensor:
        return tf.cast(tf.argmax(self._logits(images), axis=-1), tf.uint8)

    def _scores(self, images: Tensor) -> Tensor:
        return tf.nn.softmax(self._logits(images))

    def _label_png(self, contents: Tensor) -> Tensor:
        pixels, reason = pixels_or_reason(contents, self._max_pixels)
        return tf.cond(
            reason == "",
            lambda: tf.io.encode_png(self._labels(pixels[None])[0][..., None]),
            lambda: tf.constant(""),
        )

    def _reason(self, contents: Tensor) -> Tensor:
        return pixels_or_reason(contents, self._max_pixels)[1]

    def _in_parts(self, compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What `compute` gives for images, so many of them at once as `max_pixels` allows."""
        sides = tf.shape(images)[:3]
        count, pixels = sides[0], tf.reduce_prod(tf.cast(sides[1:], tf.int64))
        with tf.control_dependencies(self._checks(sides, pixels)):
            at_once = tf.cast(tf.maximum(self._max_pixels // tf.maximum(pixels, 1), 1), tf.int32)
        parts = (count + at_once - 1) // at_once
        # The network stands in the graph once: every copy of it has the weights in memory.
        network = tf.function(compute, input_signature=[PIXELS]).get_concrete_function()
        answer = network.structured_outputs
        answers = tf.TensorArray(answer.dtype, parts, infer_shape=False)

        def step(part: Tensor, answers: Any) -> tuple[Tensor, Any]:
            start = part * at_once
            return part + 1, answers.write(part, network(images[start : start + at_once]))

        _, answers = tf.while_loop(
            lambda part, _: part < parts, step, (0, answers), parallel_iterations=1
        )
        return tf.ensure_shape(answers.concat(), answer.shape)

    def _checks(self, sides: Tensor, pixels: Tensor) -> list[Tensor]:
        """Assertions on the sides (N, H, W), which fail with InvalidArgument.

        Images that a server joins have one size, so each of them would fail by itself.
        """
        allowed = f"it must be between 1 and {self._max_pixels} (max_pixels of the export)."
        return [
            tf.debugging.Assert(tf.reduce_all(sides > 0), ["An image without pixels:", sides]),
            tf.debugging.Assert(
                pixels <= self._max_pixels,
                ["The number of pixels of an image is", pixels, allowed],
            ),
        ]


def _each(function: Callable[[Tensor], Tensor], contents: Tensor) -> Tensor:
    """Strings (N,) to strings (N,), one after the other."""
    return tf.map_fn(function, contents, fn_output_signature=tf.string, parallel_iterations=1)


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
            ("check", "image_bytes", [encoded.getvalue()]),
            ("describe", "image_bytes", [b""]),
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
