"""Models of every kind behind one interface: runs, `.keras` files, and exports.

TensorFlow is imported for those that it runs, and for no other: it takes seconds and 400 MB.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.inference.loaded import (
    LabelsOf,
    LoadedModel,
    ScoresOf,
    described,
    record_of,
    saved_model_folder,
)
from fcn_tf.inference.onnx import onnx_file, scores_of_onnx
from fcn_tf.inference.tflite_file import open_tflite_file


def needs_tensorflow(model_or_path: Any) -> bool:
    """Whether TensorFlow runs a model; LiteRT runs `.tflite` files, ONNX Runtime `.onnx` files.

    Args:
        model_or_path: as in `load_any`.
    """
    path = _path_of(model_or_path)
    if path is None:
        return True
    is_saved_model = saved_model_folder(path) is not None
    return path.suffix != ".tflite" and (is_saved_model or onnx_file(path) is None)


def load_any(model_or_path: Any) -> LoadedModel:
    """Loads any kind of model.

    Args:
        model_or_path: an `FCN`, a run folder, a `.keras` file, the folder of a SavedModel or of
            its versions, a `.tflite` file, or an `.onnx` file or the folder of its versions.

    Raises:
        InputError: no such model, or it is none of this package.
        RunError: this process was forked from one in which TensorFlow had begun to compute.
    """
    path = _path_of(model_or_path)
    if path is None or needs_tensorflow(path):
        return _loaded_in_tensorflow(path or model_or_path)
    if path.suffix == ".tflite":
        return _loaded_from_tflite(path)
    file = onnx_file(path)
    assert file is not None
    scores, num_classes = scores_of_onnx(file)
    return described(file, scores, _argmax_of(scores), num_classes)


def _path_of(model_or_path: Any) -> Path | None:
    """The path of a model; None where it is no path."""
    is_path = isinstance(model_or_path, (str, os.PathLike))
    return Path(model_or_path).expanduser() if is_path else None


def _loaded_in_tensorflow(model_or_path: Any) -> LoadedModel:
    from fcn_tf.inference.keras_model import loaded_from_file, loaded_from_keras
    from fcn_tf.inference.saved_model import loaded_from_saved_model
    from fcn_tf.models import FCN

    if isinstance(model_or_path, Path):
        saved = saved_model_folder(model_or_path)
        return loaded_from_saved_model(saved) if saved else loaded_from_file(model_or_path)
    if isinstance(model_or_path, FCN):
        return loaded_from_keras(model_or_path)
    raise InputError(
        "A model is an FCN, or the path of a run folder, a .keras file, a SavedModel, a "
        f".tflite or an .onnx file; this is {type(model_or_path).__name__}."
    )


def _argmax_of(scores: ScoresOf) -> LabelsOf:
    """A function from images to labels, where the file gives scores alone."""
    return lambda images: scores(images).argmax(-1).astype(np.uint8)


def _loaded_from_tflite(path: Path) -> LoadedModel:
    file = open_tflite_file(path)
    run, num_classes = file.answers, file.num_classes
    gives_labels = num_classes is None
    if num_classes is None:
        names = record_of(path).classes
        num_classes = len(names) if names else VOID
    scores, labels = (None, run) if gives_labels else (run, _argmax_of(run))
    return described(
        *(path, scores, labels, num_classes),
        size_px=file.size_px,
        step_px=file.step_px,
    )
