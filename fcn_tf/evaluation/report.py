"""Scores of a model of any kind on a data set, and the report that shows where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fcn_tf.counted import counted
from fcn_tf.data import whole_images
from fcn_tf.data.pipeline import samples_of, spread
from fcn_tf.data.source import Source
from fcn_tf.evaluation import figures
from fcn_tf.evaluation.details import (
    EDGE_DISTANCES_PX,
    calibration_counts,
    calibration_error,
    edge_confusions,
    edge_ious,
)
from fcn_tf.evaluation.page import Section, report_page
from fcn_tf.evaluation.score import Counts, Evaluation, evaluate_split
from fcn_tf.evaluation.tables import (
    compared_rows,
    none_if_nan,
    percent,
    score_rows,
    score_summary,
    table,
    write_json,
)
from fcn_tf.files import shown_name, write_text
from fcn_tf.images.draw import error_map
from fcn_tf.images.figures import sample_sheet, write_figure
from fcn_tf.inference.loaded import saved_model_folder
from fcn_tf.inference.predictor import Predictor
from fcn_tf.progress import with_progress

REPORT_DIR = "report"
CURVE_FILE = "learning_curve.png"
SAMPLES = 6
IN_COLOUR = "Errors in red; what is not labelled is pale."
SHEET_IMAGES = 4  # of the best, of the median and of the worst


def default_out(path: str | Path, split: str, out: str | None = None) -> Path:
    """The folder of a report: `out`, or a place that follows from the model and the split.

    Returns:
        `report/` in a run folder or beside a `.keras` file, `report/SPLIT/` for another split than
        val, and `report/NAME/` below the current folder for an exported file.
    """
    if out is not None:
        return Path(out).expanduser()
    path = Path(path).expanduser()
    saved = saved_model_folder(path)
    if path.suffix == ".keras":
        folder = path.parent / REPORT_DIR
    elif path.is_file():  # a published version is not written to
        folder = Path(REPORT_DIR) / path.stem
    elif saved:
        folder = Path(REPORT_DIR) / "-".join(saved.resolve().parts[-3:])
    else:
        folder = path / REPORT_DIR
    return folder if split == "val" else folder / split


def write_report(
    predictors: Mapping[str, Predictor], source: Source, split: str, out: Path
) -> None:
    """Prints the scores; writes scores.json, the figures, and report.html that shows them all.

    Args:
        predictors: a `Predictor` by its name, or two to compare, with the data set's classes.
        source: the data set.
        split: one of its splits.
        out: folder for the files.
    """
    size = source.split_sizes[split]
    images = counted(size, "image{}")
    (name, predictor), *others = predictors.items()
    found = _evaluate(predictor, source, split)
    summary = _summary(found, source, split)
    lines = [f"{name} on {split}, {images}: mean IU {percent(summary['mean_iou'])} %."]
    head, rows = ["", "%"], score_rows(summary)
    other_iou = None
    for other_name, other in others:
        other_summary = _summary(_evaluate(other, source, split), source, split)
        other_iou = other_summary["class_iou"]
        head, rows = ["", "A", "B", "B - A"], compared_rows(summary, other_summary)
        lines.append(f"B is {other_name}: mean IU {percent(other_summary['mean_iou'])} %.")
        write_json(out / "compared.json", {name: summary, other_name: other_summary})
    print(f"Scores on {split}, {images}:\n{table(rows)}")
    if source.skipped and (skips := source.skipped.summary()):
        lines.append(shown_name(skips))
        print(lines[-1])
    write_json(out / "scores.json", summary)

    sections = [Section("Scores", "", [head, *rows])]
    palette = predictor.model.palette
    bars = figures.class_iou_bars(summary["class_iou"], palette, other_iou, "B")
    text = "Bars: A; lines: B." if others else ""
    sections.append(_written(bars, out / "class_iou.png", "IU of each class", text))
    sections += _figures(found, predictor, source, split=split, out=out)
    if (curve := out / CURVE_FILE).is_file():
        sections.append(Section("Training", "", curve))
    page = report_page(f"{Path(name).name} on {split}", lines, sections)
    write_text(out / "report.html", page)
    print(f"Written: {out / 'report.html'}, {out / 'scores.json'}", flush=True)


def _figures(
    found: Evaluation, predictor: Predictor, source: Source, *, split: str, out: Path
) -> Iterator[Section]:
    """Writes the figures that show one model."""
    names, palette = source.class_names, predictor.model.palette
    text = "Each row is divided by the pixels of its true class; in %."
    matrix = figures.confusion_figure(found.confusion, names)
    yield _written(matrix, out / "confusion.png", "What is taken for what", text)
    numbers: Iterable[int] = spread(source.split_sizes[split], SAMPLES)
    sheets = [("sample_sheet.png", "Samples", IN_COLOUR, numbers)]
    order = np.argsort(found.part_ious)  # NaN last
    order = order[: np.count_nonzero(~np.isnan(found.part_ious))]
    text = f"By the image's own mean IU. {IN_COLOUR}"
    for what, numbers in _extremes(order).items():
        sheets.append((f"{what}.png", f"The {what} images", text, numbers))
    for file, heading, text, numbers in sheets:
        samples = list(_shown(numbers, predictor, source, split=split, image_ious=found.part_ious))
        if samples:
            sheet = sample_sheet(samples, names, palette)
            yield _written(sheet, out / file, heading, text)
    if found.edges is not None:
        text = "The mean IU of pixels near the objects' edges (trimap)."
        edges = figures.edges_figure(found.edges)
        yield _written(edges, out / "edges.png", "Near the edges", text)
    if found.calibration is not None and found.calibration[:, 0].any():
        error = percent(calibration_error(found.calibration))
        text = f"Expected calibration error {error} %."
        figure = figures.calibration_figure(found.calibration)
        yield _written(figure, out / "calibration.png", "How sure, and how right", text)


def _written(figure: Figure, file: Path, heading: str, text: str) -> Section:
    """Writes a figure; returns the section that shows it."""
    write_figure(file, figure)
    return Section(heading, text, file)


def _summary(found: Evaluation, source: Source, split: str) -> dict[str, Any]:
    """What scores.json holds."""
    summary = score_summary(found, source.class_names)
    if found.edges is not None:
        near = zip(EDGE_DISTANCES_PX, edge_ious(found.edges[:-1]), strict=True)
        summary["mean_iou_near_edges_px"] = {
            str(distance_px): none_if_nan(iou) for distance_px, iou in near
        }
    if found.calibration is not None:
        summary["calibration_error"] = none_if_nan(calibration_error(found.calibration))
    return {"split": split, "images": source.split_sizes[split], **summary}


def _evaluate(predictor: Predictor, source: Source, split: str) -> Evaluation:
    """Counts a split, image by image, with what the figures show."""
    num_classes = predictor.model.num_classes

    def counts(example: dict[str, Any]) -> Counts:
        truth = example["segmentation_mask"][..., 0]
        labels, scores = _predicted(predictor, example["image"])
        calibration = None
        if scores is not None:
            confidence = np.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
            calibration = calibration_counts(truth, labels, confidence)
        edges = edge_confusions(truth, labels, num_classes)
        return Counts(edges[-1], edges=edges, calibration=calibration)

    examples = whole_images(source, split).as_numpy_iterator()
    examples = with_progress(examples, source.split_sizes[split], "image")
    return evaluate_split(map(counts, examples), num_classes)


def _predicted(
    predictor: Predictor, image: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Labels (H, W), and scores (H, W, C) or None where the file gives none.

    Labels come from the scores where there are any, so that the network runs once.
    """
    if predictor.model.scores is None:
        return predictor(image), None
    scores = predictor.scores(image)
    return scores.argmax(axis=-1).astype(np.uint8), scores


def _extremes(order: NDArray[np.integer]) -> dict[str, NDArray[np.integer]]:
    """The numbers of the worst, the median and the best images, given from worst to best."""
    count = min(SHEET_IMAGES, max(1, len(order) // 3))
    middle = len(order) // 2
    start = max(0, middle - count // 2)
    return {
        "worst": order[:count],
        "median": order[start : start + count],
        "best": order[::-1][:count],
    }


def _shown(
    numbers: Iterable[int],
    predictor: Predictor,
    source: Source,
    *,
    split: str,
    image_ious: NDArray[np.float64],
) -> Iterator[dict[str, Any]]:
    """Samples for a sheet, of the images with these numbers, from the worst to the best.

    Those without a label come last.
    """
    numbers = sorted(numbers)
    samples = zip(image_ious[numbers], samples_of(source, split, numbers), strict=True)
    for iou, sample in sorted(samples, key=lambda pair: (np.isnan(pair[0]), pair[0])):
        labels, _ = _predicted(predictor, sample["image"])
        yield {
            **sample,
            "prediction": labels,
            "errors": error_map(sample["image"], sample["truth"], labels),
            "title": f"{sample['title']}: {percent(none_if_nan(iou))} %",
        }
