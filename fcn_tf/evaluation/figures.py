"""The figures of a report, each a matplotlib Figure that can be read on a phone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from fcn_tf.evaluation.details import EDGE_DISTANCES_PX, edge_ious
from fcn_tf.images.fonts import plain_text, widest_in

PERCENT = PercentFormatter(1, decimals=0)
# With more, the cells of a confusion matrix are as small as a line of text, and have no numbers.
MOST_NUMBERED_CLASSES = 24
NUMBERED_CELL_IN, CELL_IN = 0.36, 0.16
LABEL_PT = 8
LABEL_IN = 1  # the width of the labels that a figure has room for


def more_in(labels: Sequence[str]) -> float:
    """The width that a figure needs beyond its own for the longest of its labels, in inches."""
    return max(0.0, widest_in(labels, LABEL_PT) - LABEL_IN)


def learning_curve(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and mean IU over the steps, of training and of validation.

    Args:
        lines: dicts as in metrics.jsonl.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, key, label in zip(
        figure.subplots(1, 2), ("loss", "mean_iou"), ("loss", "mean IU"), strict=True
    ):
        for split, style in (("train", {"alpha": 0.6}), ("val", {"marker": "o", "markersize": 3})):
            points = [
                (line["step"], line[key])
                for line in lines
                if line["split"] == split and line[key] is not None
            ]
            axis.plot(*zip(*points, strict=True) if points else ([], []), label=split, **style)
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.set_ylim(bottom=0)
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(PERCENT)
    axis.legend()
    return figure


def class_iou_bars(
    class_iou: Mapping[str, float | None],
    palette: Sequence[Sequence[int]],
    other: Mapping[str, float | None] | None = None,
    other_name: str | None = None,
) -> Figure:
    """The IU of each class, in the classes' colours.

    Args:
        class_iou: fractions by the name of the class, None where undefined.
        palette: C RGB triples in 0..255.
        other: the same of a model to compare with, or None.
        other_name: what it is called.
    """
    names = list(class_iou)
    labels = list(map(plain_text, names))
    size_in = (6 + more_in(labels), 0.9 + 0.27 * len(names))
    figure = Figure(figsize=size_in, layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names))
    values = [value or 0 for value in class_iou.values()]
    colors = np.asarray(palette)[: len(names)] / 255
    axis.barh(places, values, 0.7, color=colors, edgecolor="gray", linewidth=0.6)
    for place, value in enumerate(class_iou.values()):
        text = " –" if value is None else f" {100 * value:.1f}"
        axis.text(value or 0, place, text, va="center", fontsize=8)
    if other is not None:
        marks = [np.nan if value is None else value for value in other.values()]
        axis.plot(marks, places, "k|", markersize=11, markeredgewidth=2, label=other_name)
        axis.legend(fontsize=8)
    axis.set_yticks(places, labels, fontsize=LABEL_PT)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.08)
    axis.xaxis.set_major_formatter(PERCENT)
    axis.set_xlabel("IU")
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    return figure


def confusion_figure(matrix: ArrayLike, class_names: Sequence[str]) -> Figure:
    """The confusion matrix, each row divided by the pixels of its true class.

    Args:
        matrix: (C, C) counts, rows by true class.
        class_names: C strings.
    """
    counts = np.asarray(matrix, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    names = list(map(plain_text, class_names))
    is_numbered = len(names) <= MOST_NUMBERED_CLASSES
    cell_in = NUMBERED_CELL_IN if is_numbered else CELL_IN
    side_in = max(4.0, 1.6 + cell_in * len(names)) + more_in(names)
    figure = Figure(figsize=(side_in, side_in), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=LABEL_PT)
    axis.set_yticks(range(len(names)), names, fontsize=LABEL_PT)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if is_numbered:
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            color = "white" if share > 0.5 else "black"
            text = f"{100 * share:.0f}"
            # The layout need not measure what lies inside.
            axis.text(
                *(int(column), int(row), text),
                ha="center",
                va="center",
                fontsize=7,
                color=color,
                in_layout=False,
            )
    return figure


def edges_figure(confusions: NDArray[np.int64]) -> Figure:
    """The mean IU of the pixels up to a distance from an object's edge.

    Args:
        confusions: as `edge_confusions` gives them, summed.
    """
    *near, whole = edge_ious(confusions)
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axis = figure.subplots()
    # Given before the scale: where no mean IU is defined, matplotlib finds no limits for it.
    axis.set_xlim(EDGE_DISTANCES_PX[0] / 1.2, EDGE_DISTANCES_PX[-1] * 1.2)
    axis.set_xscale("log", base=2)
    axis.plot(EDGE_DISTANCES_PX, near, marker="o", label="near the edges")
    axis.axhline(whole, color="gray", linestyle="--", label="all pixels")
    axis.set_xticks(EDGE_DISTANCES_PX, list(map(str, EDGE_DISTANCES_PX)))
    axis.set_xlabel("pixels up to this distance from an edge of the truth, px")
    axis.set_ylabel("mean IU")
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(PERCENT)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def calibration_figure(counts: NDArray[np.float64]) -> Figure:
    """How often pixels are right over the confidence of the network, and how many pixels there are.

    Args:
        counts: as `calibration_counts` gives them, summed.
    """
    pixels, confidence, right = counts.T
    filled = pixels > 0
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axis, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    axis.plot([0, 1], [0, 1], color="gray", linestyle="--", label="as sure as right")
    axis.plot(confidence[filled] / pixels[filled], right[filled] / pixels[filled], marker="o")
    axis.set_ylabel("share that is right")
    axis.set_ylim(0, 1.02)
    axis.legend()
    below.bar(
        (np.arange(len(pixels)) + 0.5) / len(pixels), pixels / pixels.sum(), 0.9 / len(pixels)
    )
    below.set_ylabel("pixels")
    below.set_xlabel("score of the label")
    below.set_xlim(0, 1)
    for one in (axis, below):
        one.yaxis.set_major_formatter(PERCENT)
        one.grid(alpha=0.3)
    return figure
