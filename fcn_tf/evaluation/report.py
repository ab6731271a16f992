"""Scores of a model of any kind on a data set, and the report that shows where it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fcn_tf.counted import counted
from fcn_tf.data.pipeline import samples_of, spread
from fcn_tf.data.source import Source
from fcn_tf.evaluation import figures
from fcn_tf.evaluation.counting import evaluate_predictor, predicted
from fcn_tf.evaluation.details import (
    EDGE_DISTANCES_PX,
    calibration_error,
    edge_ious,
)
from fcn_tf.evaluation.page import Section, report_page
from fcn_tf.evaluation.score import Evaluation
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
from fcn_tf.images.figures import Sample, sample_sheet, shrunk, write_figure
from fcn_tf.inference.loaded import saved_model_folder
from fcn_tf.inference.onnx import onnx_file
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
    published = saved_model_folder(path)
    if published is None and (onnx := onnx_file(path)):
        published = onnx.parent
    if path.suffix == ".keras":
        folder = path.parent / REPORT_DIR
    elif path.is_file():  # a published version is not written to
        folder = Path(REPORT_DIR) / path.stem
    elif published:
        folder = Path(REPORT_DIR) / "-".join(published.resolve().parts[-3:])
    else:
        folder = path / REPORT_DIR
    return folder if split == "val" else folder / split


def write_report(
    predictors: Mapping[str, Predictor],
    source: Source,
    split: str,
    out: Path,
    *,
    evaluated: Callable[[str], Evaluation] | None = None,
) -> None:
    """Prints the scores; writes scores.json, the figures, and report.html that shows them all.

    Args:
        predictors: a `Predictor` by its name, or two to compare, with the data set's classes.
        source: the data set.
        split: one of its splits.
        out: folder for the files.
        evaluated: what an evaluation finds, by the name of a predictor; by default it is made here.
    """
    evaluated = evaluated or (lambda name: evaluate_predictor(predictors[name], source, split))
    size = source.split_sizes[split]
    images = counted(size, "image{}")
    (name, predictor), *others = predictors.items()
    found = evaluated(name)
    summary = _summary(found, source, split)
    lines = [f"{name} on {split}, {images}: mean IU {percent(summary['mean_iou'])} %."]
    head, rows = ["", "%"], score_rows(summary)
    other_iou = None
    for other_name, _ in others:
        other_summary = _summary(evaluated(other_name), source, split)
        other_iou = other_summary["class_iou"]
        head, rows = ["", "A", "B", "B - A"], compared_rows(summary, other_summary)
        lines.append(f"B is {other_name}: mean IU {percent(other_summary['mean_iou'])} %.")
        write_json(out / "compared.json", {name: summary, other_name: other_summary})
    print(f"Scores on {split}, {images}:\n{table(rows)}")
    if source.skipped and (skips := source.skipped.summary()):
        lines.append(shown_name(skips))
        print(lines[-1])
    for called, one in predictors.items():
        if said := one.other_sizes_line():
            lines.append(f"{called}: {said}")
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
    order = np.argsort(found.part_ious)  # NaN last
    order = order[: np.count_nonzero(~np.isnan(found.part_ious))]
    text = f"By the image's own mean IU. {IN_COLOUR}"
    spread_out = list(spread(source.split_sizes[split], SAMPLES))
    sheets = [("sample_sheet.png", "Samples", IN_COLOUR, spread_out)]
    for what, extreme in _extremes(order).items():
        sheets.append((f"{what}.png", f"The {what} images", text, extreme.tolist()))
    wanted = {number for *_, numbers in sheets for number in numbers}
    samples = _shown(wanted, predictor, source, split=split, image_ious=found.part_ious)
    for file, heading, text, numbers in sheets:
        if chosen := [sample for number, sample in samples.items() if number in numbers]:
            sheet = sample_sheet(chosen, names, palette)
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
) -> dict[int, Sample]:
    """Samples for the sheets by the images' numbers, from the worst to the best.

    Those without a label come last.
    """
    numbers = sorted(numbers)
    samples = {}
    bar = with_progress(samples_of(source, split, numbers), len(numbers), "picture")
    for number, sample in zip(numbers, bar, strict=True):
        labels, _ = predicted(predictor, sample["image"])
        samples[number] = shrunk(
            {
                **sample,
                "prediction": labels,
                "errors": error_map(sample["image"], sample["truth"], labels),
                "title": f"{sample['title']}: {percent(none_if_nan(image_ious[number]))} %",
            }
        )

    def from_the_worst(number: int) -> tuple[bool, float]:
        return bool(np.isnan(image_ious[number])), image_ious[number]

    return {number: samples[number] for number in sorted(samples, key=from_the_worst)}
