"""What a model is to predict with, and what an export says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import Classes, check_num_classes, palette_or_voc
from fcn_tf.config.export_record import EXPORT_FILE, ExportRecord, newest_version, read_record
from fcn_tf.errors import InputError

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


def described(
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
