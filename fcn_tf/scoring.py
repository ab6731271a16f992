"""Scores of a model of any kind on a data set, and the report that shows where it fails."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_tf.artefacts import load_network, saved_model_folder
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.faults import named_as
from fcn_tf.data.pipeline import samples_of, spread
from fcn_tf.drawing import error_map, sample_sheet, write_figure
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation import figures
from fcn_tf.evaluation.details import (
    EDGE_DISTANCES_PX,
    calibration_counts,
    calibration_error,
    edge_confusions,
    edge_ious,
)
from fcn_tf.evaluation.evaluate import evaluate_predictions
from fcn_tf.evaluation.metrics import scores_from_confusion
from fcn_tf.evaluation.page import report_page
from fcn_tf.evaluation.report import (
    compared_rows,
    percent,
    scores_json,
    scores_rows,
    table,
    write_json,
)
from fcn_tf.files import make_folder, write_text
from fcn_tf.predictor import Predictor
from fcn_tf.progress import with_progress

REPORT_DIR = "report"
CURVE_FILE = "learning_curve.png"
SAMPLES = 6
IN_COLOUR = "Errors in red; what is not labelled is pale."
SHEET_IMAGES = 4  # of the best, of the median and of the worst


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation counted.

    Args:
        confusions: int64 (D + 1, C, C), as `edge_confusions` gives them; the last is of all.
        calibration: (B, 3), as `calibration_counts` gives them, or None.
        image_ious: the mean IU of each image, NaN where nothing is labelled.
    """

    confusions: np.ndarray
    calibration: np.ndarray | None
    image_ious: np.ndarray


def evaluate(model_or_path, dataset):
    """The paper's four scores of a model.

    Args:
        model_or_path: an `FCN`, or the path of a model of any kind: a run folder, a `.keras`
            file, a SavedModel or a `.tflite` file.
        dataset: an iterable of dicts with `image` uint8 (H, W, 3) and
            `segmentation_mask` uint8 (H, W, 1), class indices and 255 for VOID:
            `tfds.load("shapes", split="val")`, for example.

    Returns:
        dict of pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou
        (fractions), class_iou (C,) and confusion_matrix int64 (C, C).

    Raises:
        InputError: there is no such model.
    """
    predictor = Predictor(model_or_path)
    return evaluate_predictions(
        lambda example: predictor(np.asarray(example["image"])),
        dataset,
        predictor.network.num_classes,
    )


def report_model(
    path,
    data_config,
    split="val",
    out=None,
    compare=None,
    tile_px=None,
    flip=False,
    scales=(1.0,),
):
    """Scores a model on a split of a data set and writes the report; see `write_report`.

    Args:
        path: a run folder, a `.keras` file, a SavedModel or a `.tflite` file.
        data_config: a `DataConfig`, or None where nobody has named the data.
        split: "train", "val", "test", or VOC's "trainval".
        out: folder for the files; default `report/` in the run folder or beside the
            `.keras` file, `report/SPLIT/` for another split than val, and
            `report/NAME/` below the current folder for an exported file.
        compare: path of another model, whose scores stand beside, or None.
        tile_px, flip, scales: as in `Predictor`.

    Raises:
        InputError: no such model, data or split, or classes that are not the model's.
        RunError: a file breaks while it is read.
    """
    predictors = {
        name: Predictor(load_network(name), tile_px, flip, scales)
        for name in [str(path), *([str(compare)] if compare else [])]
    }
    if data_config is None:
        raise InputError(
            f"--model {path} does not say what data it is for: give --config or --data.*."
        )
    source = open_source(data_config)
    if not source.split_sizes.get(split):
        there = ", ".join(source.split_sizes)
        raise InputError(f"The data set has no split {split}: there are {there}.")
    for name, predictor in predictors.items():
        check_classes(predictor.network, source, name)
    out = Path(out).expanduser() if out else _default_out(path, split)
    make_folder(out)
    with named_as(RunError):
        write_report(predictors, source, split, out)


def _default_out(path, split):
    path = Path(path).expanduser()
    saved = saved_model_folder(path)
    if path.suffix == ".keras":
        folder = path.parent / REPORT_DIR
    elif path.is_dir() and not saved:
        folder = path / REPORT_DIR
    else:  # a published version is not written to
        name = path.stem if path.is_file() else "-".join(saved.resolve().parts[-3:])
        folder = Path(REPORT_DIR) / name
    return folder if split == "val" else folder / split


def check_classes(model, source, name):
    """Refuses a data set whose classes are not a model's.

    Args:
        model: an `FCN` or a `Network`; without class names, their number counts.
        source: a `Source`.
        name: what the model is called.

    Raises:
        InputError: they differ.
    """
    known = model.class_names or [f"class {index}" for index in range(model.num_classes)]
    same = model.class_names is None or tuple(known) == source.class_names
    if not same or len(known) != len(source.class_names):
        raise InputError(
            f"{name} knows the classes {', '.join(known)}, but the data set has "
            f"{', '.join(source.class_names)}."
        )


def write_report(predictors, source, split, out):
    """Prints the scores; writes scores.json, the figures, and report.html that shows them all.

    Args:
        predictors: dict of one `Predictor` by its name, or of two to compare, with the
            data set's classes.
        source: a `Source`.
        split: one of its splits.
        out: folder for the files.
    """
    size = source.split_sizes[split]
    (name, predictor), *others = predictors.items()
    found = _evaluate(predictor, source, split)
    plain = _plain(found, source, split)
    lines = [f"{name} on {split}, {size} images: mean IU {percent(plain['mean_iou'])} %."]
    rows = scores_rows(plain)
    other_iou = None
    for other_name, other in others:
        other_plain = _plain(_evaluate(other, source, split), source, split)
        other_iou = other_plain["class_iou"]
        rows = compared_rows(plain, other_plain)
        lines.append(f"B is {other_name}: mean IU {percent(other_plain['mean_iou'])} %.")
    print(f"Scores on {split}, {size} images:\n{table(rows)}")
    if others:
        write_json(out / "compared.json", {name: plain, other_name: other_plain})
    write_json(out / "scores.json", plain)

    sections = [("Scores", "", [["", "%"] if not others else ["", "A", "B", "B - A"], *rows])]

    def add(file, heading, text, figure):
        write_figure(out / file, figure)
        sections.append((heading, text, out / file))

    palette = predictor.network.palette
    names = source.class_names
    text = "Bars: A; lines: B." if others else ""
    bars = figures.class_iou_bars(plain["class_iou"], palette, other_iou, "B")
    add("class_iou.png", "IU of each class", text, bars)
    text = "Each row is divided by the pixels of its true class; in %."
    matrix = figures.confusion_figure(found.confusions[-1], names)
    add("confusion.png", "What is taken for what", text, matrix)
    samples = list(_shown(spread(size, SAMPLES), predictor, source, split, found.image_ious))
    add("sample_sheet.png", "Samples", IN_COLOUR, sample_sheet(samples, names, palette))
    order = np.argsort(found.image_ious)  # NaN last
    order = order[: np.count_nonzero(~np.isnan(found.image_ious))]
    for what, numbers in _extremes(order).items():
        rows = list(_shown(numbers, predictor, source, split, found.image_ious))
        if rows:
            text = f"By the image's own mean IU. {IN_COLOUR}"
            add(f"{what}.png", f"The {what} images", text, sample_sheet(rows, names, palette))
    text = "The mean IU of pixels near the objects' edges (trimap)."
    add("edges.png", "Near the edges", text, figures.edges_figure(found.confusions))
    if plain.get("calibration_error") is not None:
        text = f"Expected calibration error {percent(plain['calibration_error'])} %."
        figure = figures.calibration_figure(found.calibration)
        add("calibration.png", "How sure, and how right", text, figure)
    if (curve := out / CURVE_FILE).is_file():
        sections.append(("Training", "", curve))
    page = report_page(f"{Path(name).name} on {split}", lines, sections)
    write_text(out / "report.html", page)
    print(f"Written: {out / 'report.html'}, {out / 'scores.json'}", flush=True)


def _plain(found, source, split):
    """The scores for JSON."""
    matrix = found.confusions[-1]
    scores = scores_from_confusion(matrix.astype(np.float64))
    plain = scores_json({**scores, "confusion_matrix": matrix}, source.class_names)
    near = dict(zip(EDGE_DISTANCES_PX, edge_ious(found.confusions), strict=False))
    plain["mean_iou_near_edges_px"] = {
        str(distance): None if np.isnan(iou) else iou for distance, iou in near.items()
    }
    if found.calibration is not None:
        error = calibration_error(found.calibration)
        plain["calibration_error"] = None if np.isnan(error) else error
    return {"split": split, "images": source.split_sizes[split], **plain}


def _evaluate(predictor, source, split):
    """Counts a split, image by image."""
    num_classes = predictor.network.num_classes
    confusions, calibration, image_ious = 0, None, []
    size = source.split_sizes[split]
    for example in with_progress(whole_images(source, split).as_numpy_iterator(), size, "image"):
        image, truth = example["image"], example["segmentation_mask"][..., 0]
        labels, scores = _predicted(predictor, image)
        if scores is not None:
            confidence = np.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
            counts = calibration_counts(truth, labels, confidence)
            calibration = counts if calibration is None else calibration + counts
        near = edge_confusions(truth, labels, num_classes)
        confusions = confusions + near
        image_ious.append(scores_from_confusion(near[-1].astype(np.float64))["mean_iou"])
    return Evaluated(confusions, calibration, np.array(image_ious, np.float64))


def _predicted(predictor, image):
    """Labels (H, W) and scores (H, W, C), None where the file gives none; one graph for both."""
    if predictor.network.scores is None:
        return predictor(image), None
    scores = predictor.scores(image)
    return scores.argmax(axis=-1).astype(np.uint8), scores


def _extremes(order):
    """The numbers of the worst, the median and the best images, given from worst to best."""
    count = min(SHEET_IMAGES, max(1, len(order) // 3))
    middle = len(order) // 2
    start = max(0, middle - count // 2)
    return {
        "worst": order[:count],
        "median": order[start : start + count],
        "best": order[::-1][:count],
    }


def _shown(numbers, predictor, source, split, image_ious):
    """Samples for a sheet, of the images with these numbers, from the worst to the best."""
    numbers = sorted(numbers)
    samples = zip(image_ious[numbers], samples_of(source, split, numbers), strict=True)
    for iou, sample in sorted(samples, key=lambda pair: pair[0]):
        labels, _ = _predicted(predictor, sample["image"])
        yield {
            **sample,
            "prediction": labels,
            "errors": error_map(sample["image"], sample["truth"], labels),
            "title": f"{sample['title']}: {percent(None if np.isnan(iou) else iou)} %",
        }
