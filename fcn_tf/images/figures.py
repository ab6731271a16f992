"""Figures of images by matplotlib: sheets of samples, heat maps."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from fcn_tf.classes import VOID_COLOR
from fcn_tf.files import written_whole
from fcn_tf.images.draw import colorize

CELL_IN = 1.9  # the width of a picture on a sheet, in inches
# In widths of a picture: the space between pictures, and the height of a title and of a line of
# the legend.
GAP, TITLE, LEGEND_LINE = 0.04, 0.14, 0.2

# A labelled image: `image` uint8 (H, W, 3), `truth` integer (H, W) and `title`; after a prediction
# also `prediction`, integer (H, W), and perhaps `errors`, uint8 (H, W, 3).
Sample = Mapping[str, Any]


def without_formulas(text: str) -> str:
    """A text for matplotlib, in which a dollar is a dollar and does not begin a formula."""
    return text.replace("$", r"\$")


def sample_sheet(
    samples: Sequence[Sample],
    class_names: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Figure:
    """Draws a sheet of images, truths and predictions, with a legend below.

    Args:
        samples: one `Sample` or more, all with the same parts. If they have no errors, two of
            them stand in a row.
        class_names: C strings.
        palette: C RGB triples in 0..255.
    """
    parts = [part for part in ("image", "truth", "prediction", "errors") if part in samples[0]]
    samples_per_row = min(1 if "errors" in parts else 2, len(samples))
    columns = samples_per_row * len(parts)

    # One axis for all pictures, each 1 wide: an axis for each picture takes ten times as long.
    figure = Figure()
    axis = figure.add_axes((0, 0, 1, 1))
    bottom = GAP
    for first in range(0, len(samples), samples_per_row):
        row = samples[first : first + samples_per_row]
        bottom = _draw_row(axis, [(s, part) for s in row for part in parts], bottom, palette)

    entries = [*zip(class_names, palette, strict=True), ("void", VOID_COLOR)]
    legend_columns = min(len(entries), 2 * columns)
    width = GAP + columns * (1 + GAP)
    height = bottom + LEGEND_LINE * math.ceil(len(entries) / legend_columns)
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axis.set_axis_off()
    figure.set_size_inches(CELL_IN * width, CELL_IN * height)
    handles = [
        Patch(
            facecolor=(red / 255, green / 255, blue / 255),
            edgecolor="gray",
            label=without_formulas(name),
        )
        for name, (red, green, blue) in entries
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=legend_columns, fontsize=8, frameon=False
    )
    return figure


def _draw_row(
    axis: Axes, cells: Sequence[tuple[Sample, str]], top: float, palette: ArrayLike
) -> float:
    """Draws parts of samples side by side; returns where the next row begins."""
    for column, (sample, part) in enumerate(cells):
        picture, left = sample[part], GAP + column * (1 + GAP)
        if picture.ndim == 2:
            picture = colorize(picture, palette)
        extent = (left, left + 1, top + TITLE + _aspect(picture), top + TITLE)
        axis.imshow(picture, extent=extent)
        text = without_formulas(sample["title"] if part == "image" else part)
        axis.text(left + 0.5, top + TITLE - GAP, text, ha="center", va="bottom", fontsize=7)
    return top + TITLE + max(_aspect(sample[part]) for sample, part in cells) + GAP


def _aspect(picture: NDArray[Any]) -> float:
    """The height of a picture over its width."""
    return picture.shape[0] / picture.shape[1]


def heatmap_figure(
    image: NDArray[np.uint8],
    heat: NDArray[np.floating],
    extent_px: tuple[float, float, float, float],
    title: str,
) -> Figure:
    """Draws an image, and beside it a map of scores laid over it.

    Args:
        image: uint8 (H, W, 3).
        heat: float (h, w), in 0..1.
        extent_px: (left, right, bottom, top) of the map on the image.
        title: what the scores belong to.
    """
    height_px, width_px = image.shape[:2]
    figure = Figure(figsize=(10, 0.6 + 4.6 * height_px / width_px), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    right.imshow(image.mean(axis=-1), cmap="gray", vmin=-100)
    shown = right.imshow(heat, extent=extent_px, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    right.set(xlim=(0, width_px), ylim=(height_px, 0), title=without_formulas(title))
    for axis in (left, right):
        axis.set_axis_off()
    figure.colorbar(shown, ax=right, shrink=0.8, label="probability")
    return figure


def write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Writes a matplotlib Figure as a PNG."""
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=120)
