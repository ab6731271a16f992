"""Draws docs/geometry.png: where the cells of both geometries lie along one axis.

python docs/geometry.py
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

IMAGE_PX = 160
COLORS = {"padding": "#e8e8e8", "image": "#9ecae1", "cells": "#fdae6b", "output": "#c7e9c0"}


def bar(axis, start, size, row, color, text=None):
    """A bar from `start` to `start + size` px, of height 0.6, on a row."""
    axis.add_patch(Rectangle((start, row), size, 0.6, facecolor=color, edgecolor="black", lw=0.6))
    if text:
        axis.text(start + size / 2, row + 0.3, text, ha="center", va="center", fontsize=7)


def draw(axis, title, pad_px, first_centre_px, cells, edge_cells):
    """The image, the cells of score_fr and FCN-32s' upsampled map, in pixels of the image."""
    if pad_px:
        bar(axis, -pad_px, IMAGE_PX + 2 * pad_px, 2, COLORS["padding"])
        for start in (-pad_px, IMAGE_PX):
            text = f"{pad_px} zeros"
            axis.text(start + pad_px / 2, 2.3, text, ha="center", va="center", fontsize=7)
    bar(axis, 0, IMAGE_PX, 2, COLORS["image"], f"image, {IMAGE_PX} px")
    for cell in range(-edge_cells, cells + edge_cells):
        centre = first_centre_px + 32 * cell
        inner = 0 <= cell < cells
        bar(axis, centre - 16, 32, 1, COLORS["cells" if inner else "padding"])
        axis.plot(centre, 1.3, "k.", ms=4)
        axis.text(centre, 1.42, f"{centre:g}", ha="center", fontsize=6)
    start = first_centre_px - 31.5 - 32 * edge_cells
    size = 32 * (cells + 2 * edge_cells) + 32
    bar(axis, start, size, 0, COLORS["output"], "upscore")
    crop_px = -start
    axis.annotate(f"crop {crop_px:g}", (start / 2, -0.2), ha="center", va="top", fontsize=8)
    axis.annotate("", (0, -0.1), (start, -0.1), arrowprops={"arrowstyle": "<->", "lw": 0.8})
    for edge in (0, IMAGE_PX):
        axis.axvline(edge, color="tab:blue", lw=0.8, ls=":")
    axis.set(xlim=(-115, IMAGE_PX + 115), ylim=(-0.5, 2.9), yticks=[2.3, 1.3, 0.3], title=title)
    axis.set_yticklabels(["input", "score_fr", "output"])
    axis.tick_params(labelsize=7, length=0)


def main():
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    # The first centres: 32 k + 12.5 and 32 k + 15.5, as docs/geometry.md derives them.
    draw(upper, "caffe", 100, 12.5, (IMAGE_PX + 198 + 31) // 32 - 6, 0)
    draw(lower, "same", 0, 15.5, -(-IMAGE_PX // 32), 1)
    lower.set_xlabel("px of the image, one axis", fontsize=8)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
