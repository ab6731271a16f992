"""TFLite files of five kinds, for LiteRT and MediaPipe."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.errors import RunError
from fcn_tf.exporting.calibration import calibration_images
from fcn_tf.exporting.device_graph import device_graph
from fcn_tf.exporting.flatbuffer import float_tensors, with_default_size
from fcn_tf.exporting.formats import FORMATS, Job
from fcn_tf.exporting.freeze import with_constants
from fcn_tf.exporting.options import DEFAULT_SIZE_PX
from fcn_tf.exporting.tflite_metadata import with_metadata
from fcn_tf.models.fcn import FCN
from fcn_tf.quiet import stderr_held_back

Tensor = Any  # a tf.Tensor: TensorFlow has no types


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes STEM-KIND.tflite; see `fcn_tf.exporting.formats`."""
    tflite = job.options.tflite
    content = convert(
        job.model,
        kind,
        size_px=tflite.size_px,
        takes=tflite.input,
        output=tflite.output,
        calibration=job.calibration_images,
    )
    path = folder / f"{job.stem}-{kind}.tflite"
    step_px = FORMATS["tflite"].settings(job.options).step_px
    path.write_bytes(with_metadata(content, job.stem, job.record or ExportRecord(), step_px))
    return path


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray]]:
    """Loads a TFLite file.

    This text is executed alone, in a process without this package: every name that it uses is
    imported or made inside.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(artefact)
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def answer(image):
        interpreter.resize_tensor_input(given["index"], (1, *image.shape))
        interpreter.allocate_tensors()
        scale, zero = given["quantization"]
        if scale:
            image = np.round(image / scale) + zero
        interpreter.set_tensor(given["index"], image[None].astype(given["dtype"]))
        interpreter.invoke()
        value = interpreter.get_tensor(answered["index"])[0]
        if value.ndim == 2:
            return {"labels": value}
        scale, zero = answered["quantization"]
        if scale:
            value = np.float32(scale) * (value.astype(np.float32) - np.float32(zero))
        return {"scores": value}

    return answer


class OneImage(tf.Module):
    """The network on one image, as a TFLite file takes it.

    Args:
        logits: a function as `with_constants` returns it.
        image: shape and dtype of the image, (1, H, W, 3).
        output: "scores", softmax float32 (1, H, W, C), or "labels", uint8 (1, H, W).
    """

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        image: tf.TensorSpec,
        output: Literal["scores", "labels"],
    ) -> None:
        super().__init__()

        @tf.function(input_signature=[image])
        def predict(image):
            if output == "scores":
                return {"scores": tf.nn.softmax(logits(image))}
            return {"labels": tf.cast(tf.argmax(logits(image), axis=-1), tf.uint8)}

        self.predict = predict


def convert(
    model: FCN,
    quantize: str,
    size_px: tuple[int, int] | None = None,
    takes: Literal["uint8", "float32", "int8"] = "uint8",
    output: Literal["scores", "labels"] = "scores",
    calibration: Iterable[NDArray[np.uint8]] = (),
) -> bytes:
    """Converts a network.

    It goes through a SavedModel: other ways into the converter lose the weights of a Keras 3
    model, without an error.

    Args:
        model: an `FCN`.
        quantize: "float32", "float16" (weights), "dynamic" (8-bit weights), "int8"
            (weights by channel and activations) or "integer" (as int8, and the scores too are
            8-bit numbers).
        size_px: (height, width), or None for all multiples of 32.
        takes: what an image is: uint8 or float32 of 0..255, or int8, which is uint8 less 128, for
            int8 and integer.
        output: as in `OneImage`.
        calibration: for int8 and integer, an iterable of uint8 images (H, W, 3), of `size_px`
            where it is fixed, else of sides that are multiples of 32.

    Returns:
        The content of a `.tflite` file.
    """
    is_calibrated = quantize in ("int8", "integer")
    # What is calibrated is converted with an input of float32, which then becomes the 8-bit
    # numbers as they are. The others cast them.
    dtype = tf.uint8 if takes == "uint8" and not is_calibrated else tf.float32
    image = tf.TensorSpec((1, *(size_px or (None, None)), 3), dtype, name="image")
    network = device_graph(model, size_px, quantize)
    module = OneImage(with_constants(network, image), image, output)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.predict})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantize != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if is_calibrated:
            chosen = calibration_images(model, calibration)
            converter.representative_dataset = lambda: _ranging(chosen)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.as_dtype(takes)
        if quantize == "integer" and output == "scores":
            converter.inference_output_type = tf.as_dtype(takes)
        with warnings.catch_warnings(), stderr_held_back():
            # The converter itself uses an interpreter that TensorFlow will drop.
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is")
            content = converter.convert()
    if quantize == "integer" and (floats := float_tensors(content)):
        raise RunError(
            f"The integer TFLite file would hold {len(floats)} tensors of floating-point numbers, "
            f"{floats[0]} for example: take int8."
        )
    return content if size_px else with_default_size(content, DEFAULT_SIZE_PX)


def _ranging(images: Iterable[NDArray[np.uint8]]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Images for calibration, whose values range from 0 to 255 for sure.

    So one step of the 8-bit input is one step of the image.
    """
    for image in images:
        values = image[None].astype(np.float32)
        values[0, 0, 0, :2] = 0, 255
        yield {"image": values}
