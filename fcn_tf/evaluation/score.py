"""The scores of a model on a split: what was counted of its parts, added up and divided once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import VOID, class_names_or_numbers
from fcn_tf.config.schema import DataConfig
from fcn_tf.data.class_files import find_class_file
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError
from fcn_tf.evaluation.metrics import confusion_matrix, scores_from_confusion
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models.fcn import FCN


@dataclass(frozen=True)
class Counts:
    """What was counted of a part of a split: of an image, or of one call of the devices.

    Args:
        confusion: int64 (C, C), pixels by true and predicted class.
        loss: sum of the losses of its labelled images.
        labelled_images: images with at least one labelled pixel; their losses are in `loss`.
        edges: int64 (D + 1, C, C), as `edge_confusions` gives them, or None.
        calibration: float64 (B, 3), as `calibration_counts` gives them, or None.
    """

    confusion: NDArray[np.int64]
    loss: float = 0.0
    labelled_images: float = 0.0
    edges: NDArray[np.int64] | None = None
    calibration: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation of a split found.

    Args:
        confusion: int64 (C, C), of all parts.
        scores: the scores of `scores_from_confusion`, NaN where undefined.
        loss: mean loss of the labelled images; None where there are none.
        part_ious: float64 (parts,), the mean IU of each part, NaN where nothing is labelled.
        edges, calibration: as in `Counts`, summed; None where they were not counted.
    """

    confusion: NDArray[np.int64]
    scores: dict[str, Any]
    loss: float | None
    part_ious: NDArray[np.float64]
    edges: NDArray[np.int64] | None
    calibration: NDArray[np.float64] | None


def evaluate_split(parts: Iterable[Counts], num_classes: int) -> Evaluation:
    """Adds up what was counted of a split, and divides once, at the end.

    Training, `evaluate`, the report and the verification of exports all score a model here.

    Args:
        parts: the `Counts` of every part of the split.
        num_classes: C.
    """
    confusion = np.zeros((num_classes, num_classes), np.int64)
    loss, labelled_images, part_ious = 0.0, 0.0, []
    edges, calibration = None, None
    for part in parts:
        confusion += part.confusion
        loss += part.loss
        labelled_images += part.labelled_images
        part_ious.append(scores_from_confusion(part.confusion)["mean_iou"])
        if part.edges is not None:
            edges = part.edges + (0 if edges is None else edges)
        if part.calibration is not None:
            calibration = part.calibration + (0 if calibration is None else calibration)
    return Evaluation(
        confusion=confusion,
        scores=scores_from_confusion(confusion),
        loss=loss / labelled_images if labelled_images else None,
        part_ious=np.array(part_ious, np.float64),
        edges=edges,
        calibration=calibration,
    )


def evaluate(
    model_or_path: FCN | LoadedModel | str | Path, dataset: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """The paper's four scores of a model, and Dice.

    Args:
        model_or_path: an `FCN`, a `LoadedModel`, or the path of a model of any kind: a run
            folder, a `.keras` file, a SavedModel, a `.tflite` or an `.onnx` file.
        dataset: an iterable of dicts with `image` uint8 (H, W, 3) and
            `segmentation_mask` uint8 (H, W, 1) or (H, W), class indices and 255 for VOID:
            `tfds.load("shapes", split="val")`, for example.

    Returns:
        dict of pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou, mean_dice
        (fractions, NaN where undefined), class_iou (C,), class_dice (C,) and confusion_matrix
        int64 (C, C).

    Raises:
        InputError: there is no such model, or a mask does not fit its image or the classes.

    Example:
        >>> scores = fcn_tf.evaluate("runs/mine", tfds.load("shapes", split="val"))
        >>> scores["mean_iou"]
    """
    predictor = Predictor(model_or_path)
    num_classes = predictor.model.num_classes

    def counts(example: dict[str, Any]) -> Counts:
        truth = np.asarray(example["segmentation_mask"])
        truth = truth[..., 0] if truth.ndim == 3 and truth.shape[-1] == 1 else truth
        labels = predictor(np.asarray(example["image"]))
        return Counts(confusion_matrix(truth, labels, num_classes))

    found = evaluate_split(map(counts, dataset), num_classes)
    return {**found.scores, "confusion_matrix": found.confusion}


def read_as_model(data: DataConfig, model: FCN | LoadedModel) -> DataConfig:
    """The data, read with the range of values and the bands that a model was trained with.

    What the data say themselves stays; a line says so where it is something else.
    """
    for key in ("value_range", "bands"):
        own, trained_with = getattr(data, key), getattr(model, key)
        if own is None:
            data = replace(data, **{key: trained_with})
        elif trained_with is not None and tuple(own) != trained_with:
            line = f"data.{key}={list(own)}: the model was trained with {list(trained_with)}."
            print(line, flush=True)
    return data


def with_classes_of(model: FCN | LoadedModel, data: DataConfig, name: str) -> DataConfig:
    """The same data set, with the model's classes where its folder names none; that is printed.

    Args:
        model: the model.
        data: the data set, resolved.
        name: what messages call the model.
    """
    data_dir = Path(data.data_dir or "").expanduser()
    is_other = data.name != "folder" or not data_dir.is_dir()
    is_named = is_other or data.class_names or find_class_file(data_dir)[0] is not None
    if is_named or model.num_classes > VOID:  # a file of labels alone does not know how many
        return data
    names = class_names_or_numbers(model.class_names, model.num_classes)
    print(
        f"{data.data_dir} has no file of classes: its masks are read with those of {name}, "
        f"{', '.join(names)}.",
        flush=True,
    )
    return replace(data, class_names=list(names))


def check_classes(model: FCN | LoadedModel, source: Source, name: str) -> None:
    """Refuses a data set whose classes are not those of a model.

    Of a model without class names the number of classes is compared.

    Args:
        model: the model.
        source: the data set.
        name: what messages call the model.

    Raises:
        InputError: they differ.
    """
    known = class_names_or_numbers(model.class_names, model.num_classes)
    same = model.class_names is None or known == source.class_names
    if not same or len(known) != len(source.class_names):
        raise InputError(
            f"{name} knows the classes {', '.join(known)}, but the data set has "
            f"{', '.join(source.class_names)}.{_how_they_differ(known, source.class_names)}"
        )


def _how_they_differ(known: Sequence[str], given: Sequence[str]) -> str:
    """What to do where as many classes are called otherwise; nothing where their number differs."""
    if len(known) != len(given):
        return ""
    if sorted(known) == sorted(given):
        return (
            " They are the same in another order, so the values of the masks mean other classes: "
            "bring the masks to the model's order."
        )
    renamed = [f"{b} for {a}" for a, b in zip(known, given, strict=True) if a != b]
    return (
        f" The data set says {', '.join(renamed)}: if these are the same classes, call them as "
        "the model does."
    )
