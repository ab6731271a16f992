"""TFLite files of four kinds, for LiteRT and MediaPipe."""

import tempfile
import warnings

import tensorflow as tf

from fcn_tf.quiet import stderr_held_back


class OneImage(tf.Module):
    """The network on one image, as a TFLite file takes it.

    Args:
        logits: a function as `freeze` returns it.
        size_px: (height, width), or None for any size.
        output: "scores", softmax float32 (1, H, W, C), or "labels", uint8 (1, H, W).
    """

    def __init__(self, logits, size_px, output):
        super().__init__()
        spec = tf.TensorSpec((1, *(size_px or (None, None)), 3), tf.uint8, name="image")

        @tf.function(input_signature=[spec])
        def predict(image):
            if output == "scores":
                return {"scores": tf.nn.softmax(logits(image))}
            return {"labels": tf.cast(tf.argmax(logits(image), axis=-1), tf.uint8)}

        self.predict = predict


def convert(logits, quantize, size_px=None, output="scores", calibration=()):
    """Converts a frozen network.

    It goes through a SavedModel: other ways into the converter lose a Keras 3 model's
    weights without a word.

    Args:
        logits: a function as `freeze` returns it, in float32.
        quantize: "float32", "float16" (weights), "dynamic" (8-bit weights) or "int8"
            (weights by channel and activations).
        size_px, output: as in `OneImage`.
        calibration: for int8, an iterable of uint8 images (H, W, 3), of `size_px` where
            it is fixed.

    Returns:
        bytes.
    """
    module = OneImage(logits, size_px, output)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.predict})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantize != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            converter.representative_dataset = lambda: (
                {"image": image[None]} for image in calibration
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        with warnings.catch_warnings(), stderr_held_back():
            # The converter's own use of an interpreter that TensorFlow is about to drop.
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is")
            return converter.convert()
