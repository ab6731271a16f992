"""Models of every kind behind one interface: runs, `.keras` files, and exports."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.classes import VOID, Classes, check_num_classes, palette_or_voc
from fcn_tf.config.export_record import EXPORT_FILE, ExportRecord, newest_version, read_record
from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error
from fcn_tf.inference.one_process import check_tensorflow_runs_here, in_one_process
from fcn_tf.inference.onnx import onnx_file, scores_of_onnx
from fcn_tf.inference.tflite_file import open_tflite_file
from fcn_tf.models import FCN, load_model
from fcn_tf.models.margin import layer_of_whole_image, margin_px

SAVED_MODEL_FILE = "saved_model.pb"


# uint8 images (N, H, W, 3) to softmax scores float32 (N, H, W, C), or to labels uint8 (N, H, W).
ScoresOf = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
LabelsOf = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model to predict with, of whatever kind of file.

    `scores` and `labels` of `load_any` may be called from several threads at once. In a process
    that is forked from the one that loaded the model they raise a `RunError`.

    Args:
        scores: images to scores; None where the file gives labels alone.
        labels: images to labels.
        num_classes: C.
        class_names: C names, or None where they are not known.
        palette: C RGB triples.
        margin_px: what a tile needs around it, or None where it is not known.
        whole_image_layer: the layer for which no margin is enough, where it is known.
        size_px: (height, width) of images where it is fixed, or None.
        step_px: where it is not, what the sides of an image are filled up to multiples of.
        max_pixels: the most pixels that the model takes at once, or None.
        value_range: the values that become 0 and 255 in images of more than 8 bits a channel, or
            None where such images are refused.
        bands: the bands of image files that are red, green and blue, from 1, or None.
    """

    scores: ScoresOf | None
    labels: LabelsOf
    num_classes: int
    class_names: tuple[str, ...] | None
    palette: list[list[int]]
    margin_px: int | None
    whole_image_layer: str | None = None
    size_px: tuple[int, int] | None = None
    step_px: int = 1
    max_pixels: int | None = None
    value_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None

    @property
    def classes(self) -> Classes:
        """The names of the classes, numbers where they are not known, and their colours."""
        return Classes.of(self.class_names, self.palette, self.num_classes)


def load_any(model_or_path: Any) -> LoadedModel:
    """Loads any kind of model.

    Args:
        model_or_path: an `FCN`, a run folder, a `.keras` file, the folder of a SavedModel or of
            its versions, a `.tflite` file, or an `.onnx` file or the folder of its versions.

    Raises:
        InputError: no such model, or it is none of this package.
        RunError: this process was forked from one in which TensorFlow had begun to compute.
    """
    if isinstance(model_or_path, FCN):
        return loaded_from_keras(model_or_path)
    if not isinstance(model_or_path, (str, os.PathLike)):
        raise InputError(
            "A model is an FCN, or the path of a run folder, a .keras file, a SavedModel, a "
            f".tflite or an .onnx file; this is {type(model_or_path).__name__}."
        )
    path = Path(model_or_path).expanduser()
    if path.suffix == ".tflite":
        return _loaded_from_tflite(path)
    saved = saved_model_folder(path)
    if saved is None and (file := onnx_file(path)):
        scores, num_classes = scores_of_onnx(file)
        return _described(file, scores, _argmax_of(scores), num_classes)
    check_tensorflow_runs_here()
    if saved:
        return _loaded_from_saved_model(saved)
    return loaded_from_keras(load_model(path))


def loaded_from_keras(model: FCN) -> LoadedModel:
    """The `LoadedModel` of an `FCN`, compiled once for all image sizes."""
    check_tensorflow_runs_here()

    def compiled(function: Callable[[Any], Any]) -> Callable[[NDArray[np.uint8]], Any]:
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        traced = tf.function(lambda x: function(model(x, training=False)), signature)
        return in_one_process(lambda images: traced(images).numpy())

    return LoadedModel(
        scores=compiled(tf.nn.softmax),
        labels=compiled(lambda logits: tf.cast(tf.argmax(logits, axis=-1), tf.uint8)),
        num_classes=model.num_classes,
        class_names=None if model.class_names is None else tuple(model.class_names),
        palette=palette_or_voc(model.palette, model.num_classes),
        margin_px=margin_px(model),
        whole_image_layer=layer_of_whole_image(model),
        value_range=model.value_range,
        bands=model.bands,
    )


def saved_model_folder(path: str | Path) -> Path | None:
    """The SavedModel at a path: itself, or the newest of its versions; None if there is none."""
    path = Path(path)
    if (path / SAVED_MODEL_FILE).is_file():
        return path
    return newest_version(path, holding=SAVED_MODEL_FILE)


def record_of(path: str | Path) -> ExportRecord:
    """What an export wrote of its SavedModel or file; for any other model all defaults.

    Raises:
        InputError: its export.json is damaged.
    """
    path = Path(path)
    folder = path.parent if path.suffix in (".tflite", ".onnx") else saved_model_folder(path)
    try:
        record = read_record(folder) if folder else None
    except ValueError as error:
        raise InputError(
            f"{folder}/{EXPORT_FILE} is damaged ({error}): export the model again."
        ) from error
    return record or ExportRecord()


def _argmax_of(scores: ScoresOf) -> LabelsOf:
    """A function from images to labels, where the file gives scores alone."""
    return lambda images: scores(images).argmax(-1).astype(np.uint8)


def _described(
    path: Path,
    scores: ScoresOf | None,
    labels: LabelsOf,
    num_classes: int,
    size_px: tuple[int, int] | None = None,
    step_px: int = 1,
) -> LoadedModel:
    """A `LoadedModel` with what the export.json beside a file says of it, if there is one."""
    check_num_classes(num_classes, f"number of classes of {path}")
    record = record_of(path)
    names = record.classes
    if names is not None and len(names) != num_classes:
        raise InputError(
            f"{path} has {num_classes} classes and {EXPORT_FILE} beside it names {len(names)}: "
            "they do not belong together."
        )
    return LoadedModel(
        scores=scores,
        labels=labels,
        num_classes=num_classes,
        class_names=names,
        palette=palette_or_voc(record.palette, num_classes),
        margin_px=record.margin_px,
        size_px=size_px,
        step_px=step_px,
        max_pixels=record.max_pixels,
        value_range=record.value_range,
        bands=record.bands,
    )


def _loaded_from_saved_model(folder: Path) -> LoadedModel:
    with unreadable_as_input_error(folder, "a SavedModel"):
        loaded = tf.saved_model.load(str(folder))
    missing = {"scores", "labels"} - set(loaded.signatures)
    if missing:
        raise InputError(
            f"{folder} has no signature {' and '.join(sorted(missing))}: it is not an export of "
            "fcn-tf."
        )
    num_classes = loaded.signatures["scores"].structured_outputs["scores"].shape[-1]

    def checked(name: str) -> Callable[[NDArray[np.uint8]], Any]:
        def run(images: NDArray[np.uint8]) -> Any:
            try:
                # By way of `loaded`, which has to live as long as its signatures are called.
                return loaded.signatures[name](images=tf.constant(images))[name].numpy()
            except tf.errors.InvalidArgumentError as error:
                check = re.search(r"assertion failed: (.*)", error.message)
                reason = check[1] if check else error.message.splitlines()[-1]
                raise InputError(
                    "The SavedModel refuses the image; above the pixels that it was exported for "
                    f"(--saved_model.max_pixels) give --tile_px: {reason}"
                ) from error

        return in_one_process(run)

    return _described(folder, checked("scores"), checked("labels"), num_classes)


def _loaded_from_tflite(path: Path) -> LoadedModel:
    file = open_tflite_file(path)
    run, num_classes = file.answers, file.num_classes
    gives_labels = num_classes is None
    if num_classes is None:
        names = record_of(path).classes
        num_classes = len(names) if names else VOID
    scores, labels = (None, run) if gives_labels else (run, _argmax_of(run))
    return _described(
        *(path, scores, labels, num_classes),
        size_px=file.size_px,
        step_px=file.step_px,
    )
