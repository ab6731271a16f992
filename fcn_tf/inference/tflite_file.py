"""A TFLite file as a function of images: what it takes, what it gives, and at which sizes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import MEAN_RGB
from fcn_tf.config.networks import GRID_PX
from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error
from fcn_tf.inference.one_process import in_one_process, processors

INPUT_DTYPES = (np.uint8, np.int8, np.float32)


@dataclass(frozen=True, kw_only=True)
class TFLiteFile:
    """A file that is ready to run.

    Args:
        answers: uint8 images (N, H, W, 3) to labels uint8 (N, H, W), or to scores float32
            (N, H, W, C).
        num_classes: C, or None where it gives labels.
        size_px: (height, width) that it is fixed to, or None.
        step_px: what its sides are multiples of; images of other sizes are filled up.
    """

    answers: Callable[[NDArray[np.uint8]], NDArray[Any]]
    num_classes: int | None
    size_px: tuple[int, int] | None
    step_px: int


def open_tflite_file(path: Path) -> TFLiteFile:
    """Loads a file.

    Raises:
        InputError: there is none, it is damaged, or it is none of this package.
    """
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise InputError(f"{path} is no model: there is no such file.")
    with unreadable_as_input_error(path, "a TFLite file"):
        interpreter = Interpreter(str(path), num_threads=processors())
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if given["dtype"] not in INPUT_DTYPES or len(given["shape"]) != 4:
        raise InputError(f"{path} does not take an image: it is not an export of fcn-tf.")
    signature = given["shape_signature"]
    size_px = None if -1 in signature else (int(signature[1]), int(signature[2]))
    # Older files take any size, and say 1x1 until they are resized.
    takes_all = size_px is not None or max(given["shape"][1:3]) == 1
    step_px = 1 if takes_all else GRID_PX
    allocated: tuple[int, ...] | None = None  # the shape that the interpreter is ready for
    # An interpreter serves one thread. One for each would hold weights and activations as often,
    # and gain little: an image alone keeps all processors busy.
    lock = threading.Lock()

    @in_one_process
    def run(images: NDArray[np.uint8]) -> NDArray[Any]:
        nonlocal allocated
        height_px, width_px = images.shape[1:3]
        answers = []
        for image in _filled_up(images, step_px):  # the files take one at a time
            with lock, unreadable_as_input_error(path, "a TFLite file"):
                if allocated != image.shape:
                    interpreter.resize_tensor_input(given["index"], (1, *image.shape))
                    interpreter.allocate_tensors()
                    allocated = image.shape
                interpreter.set_tensor(given["index"], _as_given(image[None], given))
                interpreter.invoke()
                answer = interpreter.get_tensor(answered["index"])[0]
            answers.append(_as_scores(answer, answered)[:height_px, :width_px])
        return np.stack(answers)

    gives_labels = len(answered["shape"]) == 3
    return TFLiteFile(
        answers=run,
        num_classes=None if gives_labels else int(answered["shape"][-1]),
        size_px=size_px,
        step_px=step_px,
    )


def _filled_up(images: NDArray[np.uint8], step_px: int) -> NDArray[np.uint8]:
    """Images with the mean colour at the bottom and the right, up to whole steps.

    Networks are trained on crops that are filled up with it, and it is nearly the 0 that their
    convolutions see beyond a border.
    """
    count, *sides_px, channels = images.shape
    whole_px = [-(-side // step_px) * step_px for side in sides_px]
    if sides_px == whole_px:
        return images
    filled = np.full((count, *whole_px, channels), MEAN_RGB, images.dtype)
    filled[:, : sides_px[0], : sides_px[1]] = images
    return filled


def _as_given(image: NDArray[np.uint8], given: dict[str, Any]) -> NDArray[Any]:
    """An image in the numbers of a file's input."""
    scale, zero = given["quantization"]
    if scale:
        return (np.round(image / scale) + zero).astype(given["dtype"])
    return image.astype(given["dtype"])


def _as_scores(answer: NDArray[Any], answered: dict[str, Any]) -> NDArray[Any]:
    """Scores as float32, or labels as they are."""
    scale, zero = answered["quantization"]
    if scale and answer.ndim == 3:
        return np.float32(scale) * (answer.astype(np.float32) - np.float32(zero))
    return answer
