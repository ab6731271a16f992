"""ONNX files in ONNX Runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn_tf.config.export_record import EXPORT_FILE, newest_version
from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error
from fcn_tf.inference.one_process import in_one_process, processors

SUFFIX = ".onnx"
ERRORS_ALONE = 3  # of ONNX Runtime's levels of messages


def onnx_file(path: Path) -> Path | None:
    """The ONNX file at a path: itself, or that of a version or of the newest of its versions.

    Args:
        path: a file that need not exist, or a folder.

    Returns:
        None where the path is something else.
    """
    if path.suffix == SUFFIX and not path.is_dir():
        return path
    folder = path if (path / EXPORT_FILE).is_file() else newest_version(path, holding=EXPORT_FILE)
    files = list(folder.glob(f"*{SUFFIX}")) if folder else []
    return files[0] if len(files) == 1 else None


def scores_of_onnx(
    path: Path,
) -> tuple[Callable[[NDArray[np.uint8]], NDArray[np.float32]], int]:
    """Loads an ONNX file.

    Args:
        path: the file.

    Returns:
        A function from images, uint8 (N, H, W, 3), to softmax scores, float32 (N, H, W, C), which
        may be called from several threads at once; and C.

    Raises:
        InputError: there is no such file, it is none of this package, or ONNX Runtime is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is no model: there is no such file.")
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(f"{path} is run by ONNX Runtime: pip install 'fcn_tf[onnx]'.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = processors()
    options.log_severity_level = ERRORS_ALONE
    with unreadable_as_input_error(path, "an ONNX file"):
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    given = [(tensor.name, tensor.type, len(tensor.shape)) for tensor in session.get_inputs()]
    answered = [(tensor.name, tensor.type, len(tensor.shape)) for tensor in session.get_outputs()]
    expected = [("images", "tensor(uint8)", 4)], [("scores", "tensor(float)", 4)]
    if (given, answered) != expected:
        raise InputError(
            f"{path} does not take uint8 images and give scores: it is not an export of fcn-tf."
        )

    @in_one_process
    def scores(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with unreadable_as_input_error(path, "an ONNX file"):
            try:
                return session.run(["scores"], {"images": images})[0]
            except Exception as error:
                if "allocate memory" in str(error):  # ONNX Runtime has no class for it
                    raise MemoryError(str(error)) from error
                raise

    return scores, session.get_outputs()[0].shape[-1]
