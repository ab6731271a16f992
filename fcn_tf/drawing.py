"""Label maps in colour, legends, sheets of samples."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fcn_tf.classes import VOID

VOID_COLOR = (224, 224, 192)  # PASCAL VOC's


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


def sample_sheet(samples, class_names, palette):
    """A sheet with a row a sample: image, truth and prediction, and the legend below.

    Args:
        samples: dicts of `image` uint8 (H, W, 3), `truth` and `prediction`
            integer (H, W), and `title`.
        class_names: C strings.
        palette: C RGB triples in 0..255.

    Returns:
        A matplotlib Figure.
    """
    columns = ("image", "truth", "prediction")
    cell_in = 2.6
    aspect = np.mean([s["image"].shape[0] / s["image"].shape[1] for s in samples])
    legend_columns = 4
    legend_in = 0.26 * (-(-(len(class_names) + 1) // legend_columns)) + 0.2
    height_in = len(samples) * (cell_in * aspect + 0.25) + legend_in
    figure = Figure(figsize=(cell_in * len(columns), height_in), layout="constrained")
    axes = figure.subplots(len(samples), len(columns), squeeze=False)
    for row, sample in zip(axes, samples, strict=True):
        for axis, column in zip(row, columns, strict=True):
            picture = sample[column]
            axis.imshow(picture if column == "image" else colorize(picture, palette))
            axis.set_axis_off()
        row[0].set_title(sample["title"], fontsize=7, loc="left")
    for axis, column in zip(axes[0, 1:], columns[1:], strict=True):
        axis.set_title(column, fontsize=9)
    entries = [*zip(class_names, palette, strict=True), ("void", VOID_COLOR)]
    handles = [
        Patch(facecolor=np.asarray(color) / 255, edgecolor="gray", label=name)
        for name, color in entries
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=legend_columns, fontsize=8, frameon=False
    )
    return figure
