"""A SavedModel for TensorFlow Serving: three signatures over one frozen network."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from fcn_tf.data.decoding import JPEG, PNG, png_size, starts_with

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
WARM_UP_SIZE_PX = (64, 64)


def write_saved_model(logits, folder, max_pixels):
    """Writes a SavedModel with the signatures serving_default, labels and scores.

    Args:
        logits: a function as `freeze` returns it.
        folder: where to.
        max_pixels: int, the pixels of a call (of an image, for encoded ones) above which
            it is refused as InvalidArgument, before anything is computed.
    """
    served = Served(logits, max_pixels)
    signatures = {
        "serving_default": served.label_pngs,
        "labels": served.labels,
        "scores": served.scores,
    }
    tf.saved_model.save(served, str(folder), signatures=signatures)
    _write_warm_up(folder)


class Served(tf.Module):
    """The signatures; see `write_saved_model`."""

    def __init__(self, logits, max_pixels):
        super().__init__()
        self._logits = logits
        self._max_pixels = max_pixels

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def label_pngs(self, image_bytes):
        """JPEG or PNG of any sizes to 8-bit PNGs of labels, each of its image's size."""
        pngs = tf.map_fn(
            self._label_png, image_bytes, fn_output_signature=tf.string, parallel_iterations=1
        )
        return {"label_png_bytes": pngs}

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def labels(self, images):
        """uint8 (N, H, W, 3) to uint8 (N, H, W)."""
        with tf.control_dependencies(self._checks(tf.shape(images)[:3])):
            return {"labels": self._labels(images)}

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def scores(self, images):
        """uint8 (N, H, W, 3) to float32 (N, H, W, C), softmax."""
        with tf.control_dependencies(self._checks(tf.shape(images)[:3])):
            return {"scores": tf.nn.softmax(self._logits(images))}

    def _labels(self, images):
        return tf.cast(tf.argmax(self._logits(images), axis=-1), tf.uint8)

    def _label_png(self, contents):
        labels = self._labels(self._decode(contents)[None])[0]
        return tf.io.encode_png(labels[..., None])

    def _decode(self, contents):
        """uint8 (H, W, 3), once the header has said that it is an image and small enough."""
        is_jpeg, is_png = starts_with(contents, JPEG), starts_with(contents, PNG)
        known = tf.debugging.Assert(
            is_jpeg | is_png, ["image_bytes holds neither a JPEG nor a PNG."]
        )
        with tf.control_dependencies([known]):
            size = tf.cond(
                is_jpeg,
                lambda: tf.io.extract_jpeg_shape(contents)[:2],
                lambda: png_size(contents),
            )
        with tf.control_dependencies(self._checks(size)):
            # Each of TensorFlow's two operations decodes both.
            return tf.io.decode_png(contents, channels=3)

    def _checks(self, sides):
        """Assertions on the sides of an array, which fail with InvalidArgument."""
        pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
        allowed = f"it must be between 1 and {self._max_pixels} (max_pixels of the export)."
        return [
            tf.debugging.Assert(tf.reduce_all(sides > 0), ["An image without pixels:", sides]),
            tf.debugging.Assert(
                pixels <= self._max_pixels, ["The number of pixels is", pixels, allowed]
            ),
        ]


def _write_warm_up(folder):
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
