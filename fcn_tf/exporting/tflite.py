"""TFLite files of four kinds, for LiteRT and MediaPipe."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.exporting.formats import Job
from fcn_tf.exporting.tflite_metadata import with_metadata
from fcn_tf.quiet import stderr_held_back

Tensor = Any  # a tf.Tensor: TensorFlow has no types


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes STEM-KIND.tflite; see `fcn_tf.exporting.formats`."""
    tflite = job.options.tflite
    content = convert(
        job.logits,
        kind,
        size_px=tflite.size,
        output=tflite.output,
        calibration=job.calibration_images,
    )
    path = folder / f"{job.stem}-{kind}.tflite"
    path.write_bytes(with_metadata(content, job.stem, job.record or ExportRecord()))
    return path


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray]]:
    """Loads a TFLite file.

    This text is executed alone, in a process without this package: every name that it uses is
    imported or made inside.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(artefact)
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def answer(image):
        interpreter.resize_tensor_input(given["index"], (1, *image.shape))
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        value = interpreter.get_tensor(answered["index"])[0]
        return {"scores" if value.ndim == 3 else "labels": value}

    return answer


class OneImage(tf.Module):
    """The network on one image, as a TFLite file takes it.

    Args:
        logits: a function as `freeze` returns it.
        size_px: (height, width), or None for any size.
        output: "scores", softmax float32 (1, H, W, C), or "labels", uint8 (1, H, W).
    """

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        size_px: tuple[int, int] | None,
        output: Literal["scores", "labels"],
    ) -> None:
        super().__init__()
        spec = tf.TensorSpec((1, *(size_px or (None, None)), 3), tf.uint8, name="image")

        @tf.function(input_signature=[spec])
        def predict(image):
            if output == "scores":
                return {"scores": tf.nn.softmax(logits(image))}
            return {"labels": tf.cast(tf.argmax(logits(image), axis=-1), tf.uint8)}

        self.predict = predict


def convert(
    logits: Callable[[Tensor], Tensor],
    quantize: str,
    size_px: tuple[int, int] | None = None,
    output: Literal["scores", "labels"] = "scores",
    calibration: Iterable[NDArray[np.uint8]] = (),
) -> bytes:
    """Converts a frozen network.

    It goes through a SavedModel: other ways into the converter lose the weights of a Keras 3
    model, without an error.

    Args:
        logits: a function as `freeze` returns it, in float32.
        quantize: "float32", "float16" (weights), "dynamic" (8-bit weights) or "int8"
            (weights by channel and activations).
        size_px, output: as in `OneImage`.
        calibration: for int8, an iterable of uint8 images (H, W, 3), of `size_px` where
            it is fixed.

    Returns:
        The content of a `.tflite` file.
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
            # The converter itself uses an interpreter that TensorFlow will drop.
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is")
            return converter.convert()
