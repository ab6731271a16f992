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
from PIL import Image

from fcn_tf.classes import VOID_COLOR
from fcn_tf.files import written_whole
from fcn_tf.images.draw import colorize
from fcn_tf.images.fonts import plain_text, use_fonts, widest_in

CELL_IN = 1.9  # the width of a picture on a sheet, in inches
# In widths of a picture: the space between pictures, and the height of a title and of a line of
# the legend.
GAP, TITLE, LEGEND_LINE = 0.04, 0.14, 0.1
# Sides of a picture that are larger are shrunk: on a sheet a picture is 228 px wide.
MOST_SHOWN_PX = 480
TITLE_PT, LEGEND_PT = 7, 8
MOST_LEGEND_LINES = 40  # with more, a sheet becomes wider than its pictures
# What an entry of a legend takes beside its name: its colour, and the space to the next.
ENTRY_EM = 2 + 0.8 + 2

# A labelled image: `image` uint8 (H, W, 3), `truth` integer (H, W) and `title`; after a prediction
# also `prediction`, integer (H, W), and perhaps `errors`, uint8 (H, W, 3).
Sample = Mapping[str, Any]


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

    names = [plain_text(name) for name in (*class_names, "void")]
    colors = [*palette, VOID_COLOR]
    entry = (widest_in(names, LEGEND_PT) + ENTRY_EM * LEGEND_PT / 72) / CELL_IN
    width = GAP + columns * (1 + GAP)
    fitting = max(1, min(len(names), 2 * columns, int(width / entry)))
    legend_columns = max(fitting, math.ceil(len(names) / MOST_LEGEND_LINES))
    width = max(width, legend_columns * entry)
    height = bottom + LEGEND_LINE * (1 + math.ceil(len(names) / legend_columns))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axis.set_axis_off()
    figure.set_size_inches(CELL_IN * width, CELL_IN * height)
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="gray", label=name)
        for name, (red, green, blue) in zip(names, colors, strict=True)
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=legend_columns, fontsize=LEGEND_PT, frameon=False
    )
    return figure


def _draw_row(
    axis: Axes, cells: Sequence[tuple[Sample, str]], top: float, palette: ArrayLike
) -> float:
    """Draws parts of samples side by side; returns where the next row begins."""
    for column, (sample, part) in enumerate(cells):
        picture, left = _shrunk(sample[part]), GAP + column * (1 + GAP)
        if picture.ndim == 2:
            picture = colorize(picture, palette)
        extent = (left, left + 1, top + TITLE + _aspect(picture), top + TITLE)
        axis.imshow(picture, extent=extent)
        text = _title(sample["title"]) if part == "image" else part
        middle, above = left + 0.5, top + TITLE - GAP
        axis.text(middle, above, text, ha="center", va="bottom", fontsize=TITLE_PT)
    return top + TITLE + max(_aspect(sample[part]) for sample, part in cells) + GAP


def _title(text: str) -> str:
    """A title that is not wider than its picture: of a long one its end."""
    most, shown = len(text), plain_text(text)
    while most > 1 and (width_in := widest_in([shown], TITLE_PT)) > CELL_IN:
        most = min(most - 1, int(most * CELL_IN / width_in))
        shown = plain_text(f"…{text[-most:]}")
    return shown


def shrunk(sample: Sample) -> Sample:
    """A sample whose pictures are no larger than a sheet shows them."""
    return {name: _shrunk(part) if name != "title" else part for name, part in sample.items()}


def _shrunk(picture: NDArray[Any]) -> NDArray[Any]:
    """Labels (H, W) or colours uint8 (H, W, 3) of at most `MOST_SHOWN_PX` a side."""
    scale = MOST_SHOWN_PX / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height_px, width_px = (max(1, round(scale * side)) for side in picture.shape[:2])
    if picture.ndim == 2:  # no label stands between two
        rows = np.arange(height_px) * picture.shape[0] // height_px
        columns = np.arange(width_px) * picture.shape[1] // width_px
        return picture[np.ix_(rows, columns)]
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width_px, height_px), Image.Resampling.BOX))


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
    right.set(xlim=(0, width_px), ylim=(height_px, 0), title=plain_text(title))
    for axis in (left, right):
        axis.set_axis_off()
    figure.colorbar(shown, ax=right, shrink=0.8, label="probability")
    return figure


def write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Writes a matplotlib Figure as a PNG, each text in fonts that have its characters."""
    use_fonts(figure)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=120, pil_kwargs={"compress_level": 3})
