"""Label maps in colour, legends, sheets of samples."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.files import written_whole

WRONG_COLOR = (255, 0, 0)


def plain(text):
    """A text as matplotlib draws it, with its dollars, which would set formulas."""
    return text.replace("$", r"\$")


def colorize(labels, palette):
    """Paints a label map.

    Args:
        labels: integer (H, W), class indices and VOID.
        palette: C RGB triples in 0..255.

    Returns:
        uint8 (H, W, 3).
    """
    table = np.zeros((VOID + 1, 3), np.uint8)
    table[: len(palette)] = palette
    table[VOID] = VOID_COLOR
    return table[labels]


def error_map(image, truth, labels):
    """An image in grey with the wrong pixels red; pale where the truth says nothing.

    Args:
        image: uint8 (H, W, 3).
        truth, labels: uint8 (H, W), class indices, and VOID in the truth.

    Returns:
        uint8 (H, W, 3).
    """
    grey = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    shown = 0.6 * grey
    shown[truth == VOID] = 0.4 * grey[truth == VOID] + 150
    wrong = (truth != labels) & (truth != VOID)
    shown[wrong] = 0.35 * grey[wrong] + 0.65 * np.array(WRONG_COLOR)
    return shown.astype(np.uint8)


def sample_sheet(samples, class_names, palette):
    """A sheet of image, truth and prediction, and the legend below.

    Args:
        samples: dicts of `image` uint8 (H, W, 3), `truth` and, all or none,
            `prediction`, integer (H, W), and `errors` uint8 (H, W, 3), and `title`.
            Without errors two samples stand in a row.
        class_names: C strings.
        palette: C RGB triples in 0..255.

    Returns:
        A matplotlib Figure.
    """
    parts = [part for part in ("image", "truth", "prediction", "errors") if part in samples[0]]
    samples_per_row = min(1 if "errors" in parts else 2, len(samples))
    columns = samples_per_row * len(parts)
    entries = [*zip(class_names, palette, strict=True), ("void", VOID_COLOR)]
    legend_columns = min(len(entries), 2 * columns)

    # One axis for all pictures, a unit wide each: an axis for each takes ten times as long.
    figure = Figure()
    axis = figure.add_axes((0, 0, 1, 1))
    gap, title = 0.04, 0.14
    top = gap
    for first in range(0, len(samples), samples_per_row):
        row = samples[first : first + samples_per_row]
        cells = [(sample, part) for sample in row for part in parts]
        bottom = top + title + max(s["image"].shape[0] / s["image"].shape[1] for s in row)
        for column, (sample, part) in enumerate(cells):
            picture, left = sample[part], gap + column * (1 + gap)
            height = picture.shape[0] / picture.shape[1]
            place = (left, left + 1, top + title + height, top + title)
            axis.imshow(colorize(picture, palette) if picture.ndim == 2 else picture, extent=place)
            text = plain(sample["title"] if part == "image" else part)
            axis.text(left + 0.5, top + title - gap, text, ha="center", va="bottom", fontsize=7)
        top = bottom + gap

    legend = 0.2 * math.ceil(len(entries) / legend_columns)
    width, height = gap + columns * (1 + gap), top + legend
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axis.set_axis_off()
    cell_in = 1.9
    figure.set_size_inches(cell_in * width, cell_in * height)
    handles = [
        Patch(facecolor=np.asarray(color) / 255, edgecolor="gray", label=plain(name))
        for name, color in entries
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=legend_columns, fontsize=8, frameon=False
    )
    return figure


def overlay(image, labels, class_names, palette, opacity=0.5):
    """An image with its labels in colour laid over it, and a legend below of those that occur.

    Args:
        image: uint8 (H, W, 3).
        labels: uint8 (H, W).
        class_names: C strings.
        palette: C RGB triples in 0..255.
        opacity: of the colours, 0 to 1.

    Returns:
        A Pillow image, W px wide and higher than H by the legend.
    """
    height_px, width_px = labels.shape
    blended = Image.blend(
        Image.fromarray(image), Image.fromarray(colorize(labels, palette)), opacity
    )
    # Row by row: bincount takes 8 bytes a pixel.
    counts = sum(np.bincount(row, minlength=VOID + 1) for row in labels)
    names = {**dict(enumerate(class_names)), VOID: "void"}
    colors = {**dict(enumerate(map(tuple, np.asarray(palette).tolist()))), VOID: VOID_COLOR}
    entries = [
        (f"{names[label]} {100 * counts[label] / labels.size:.1f} %", colors[label])
        for label in np.flatnonzero(counts)
    ]

    text_px = max(10, round(0.025 * min(2000, max(height_px, width_px))))
    font = ImageFont.load_default(text_px)
    line_px, gap_px = round(1.6 * text_px), round(0.5 * text_px)
    places, x, y = [], gap_px, height_px + gap_px
    for text, _ in entries:
        entry_px = line_px + math.ceil(font.getlength(text)) + gap_px
        if x > gap_px and x + entry_px > width_px:
            x, y = gap_px, y + line_px
        places.append((x, y))
        x += entry_px + gap_px
    drawn = Image.new("RGB", (width_px, y + line_px + gap_px), "white")
    drawn.paste(blended)
    draw = ImageDraw.Draw(drawn)
    for (text, color), (x, y) in zip(entries, places, strict=True):
        draw.rectangle((x, y, x + text_px, y + text_px), fill=color, outline="gray")
        draw.text((x + line_px, y + text_px / 2), text, "black", font, anchor="lm")
    return drawn


def heatmap_figure(image, heat, extent_px, title):
    """An image, and beside it a map of scores laid over it.

    Args:
        image: uint8 (H, W, 3).
        heat: float (h, w), in 0..1.
        extent_px: (left, right, bottom, top) of the map on the image.
        title: what the scores are of.

    Returns:
        A matplotlib Figure.
    """
    height_px, width_px = image.shape[:2]
    figure = Figure(figsize=(10, 0.6 + 4.6 * height_px / width_px), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    right.imshow(image.mean(axis=-1), cmap="gray", vmin=-100)
    shown = right.imshow(heat, extent=extent_px, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    right.set(xlim=(0, width_px), ylim=(height_px, 0), title=plain(title))
    for axis in (left, right):
        axis.set_axis_off()
    figure.colorbar(shown, ax=right, shrink=0.8, label="probability")
    return figure


def write_figure(path, figure):
    """Writes a matplotlib Figure as a PNG."""
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=120)
