"""Label maps painted in colours: alone, over their image, with a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.images import DEFAULT_OPACITY

WRONG_COLOR = (255, 0, 0)


def colorize(labels: NDArray[Any], palette: ArrayLike) -> NDArray[np.uint8]:
    """Paints a label map.

    Args:
        labels: integer (H, W), class indices and VOID.
        palette: C RGB triples in 0..255.

    Returns:
        uint8 (H, W, 3).

    Example:
        >>> colorize(np.array([[0, 1, VOID]]), [(0, 0, 0), (128, 0, 0)]).tolist()
        [[[0, 0, 0], [128, 0, 0], [224, 224, 192]]]
    """
    colors = np.asarray(palette, np.uint8)
    table = np.zeros((VOID + 1, 3), np.uint8)
    table[: len(colors)] = colors
    table[VOID] = VOID_COLOR
    return table[labels]


def palette_picture(labels: NDArray[np.uint8], palette: ArrayLike) -> Image.Image:
    """A picture of class indices, uint8 (H, W), with a palette that shows them in colour."""
    picture = Image.fromarray(labels, "P")
    picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    return picture


def error_map(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Paints the wrong pixels red on a grey image; pixels without a label are pale.

    Args:
        image: uint8 (H, W, 3).
        truth: uint8 (H, W), class indices and VOID.
        labels: uint8 (H, W), predicted class indices.

    Returns:
        uint8 (H, W, 3).
    """
    grey = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    shown = 0.6 * grey
    shown[truth == VOID] = 0.4 * grey[truth == VOID] + 150
    wrong = (truth != labels) & (truth != VOID)
    shown[wrong] = 0.35 * grey[wrong] + 0.65 * np.array(WRONG_COLOR)
    return shown.astype(np.uint8)


def blended(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], palette: ArrayLike, opacity: float
) -> Image.Image:
    """Lays labels in colour over their image, without a legend; arguments as in `overlay`."""
    return Image.blend(Image.fromarray(image), Image.fromarray(colorize(labels, palette)), opacity)


def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    class_names: Sequence[str],
    palette: ArrayLike,
    *,
    opacity: float = DEFAULT_OPACITY,
) -> Image.Image:
    """Lays labels in colour over their image; a legend below names those that occur.

    Args:
        image: uint8 (H, W, 3).
        labels: uint8 (H, W).
        class_names: C strings.
        palette: C RGB triples in 0..255.
        opacity: of the colours, 0 to 1.

    Returns:
        A Pillow image with the picture at its top left, higher by the legend. It is wider than W
        only where a name is.
    """
    height_px, width_px = labels.shape
    entries = _legend_entries(labels, class_names, palette)

    text_px = max(10, round(0.025 * min(2000, max(height_px, width_px))))
    line_px, gap_px = round(1.6 * text_px), round(0.5 * text_px)
    texts = [_Text.of(text, text_px) for text, _ in entries]
    widths_px = [line_px + text.width_px + gap_px for text in texts]
    # As wide as the image, and wide enough for the longest name.
    width_px = max([width_px, *(gap_px + width for width in widths_px)])
    places, x, y = [], gap_px, height_px + gap_px
    for entry_px in widths_px:
        if x > gap_px and x + entry_px > width_px:
            x, y = gap_px, y + line_px
        places.append((x, y))
        x += entry_px + gap_px
    drawn = Image.new("RGB", (width_px, y + line_px + gap_px), "white")
    drawn.paste(blended(image, labels, palette, opacity))
    draw = ImageDraw.Draw(drawn)
    for text, (_, color), (x, y) in zip(texts, entries, places, strict=True):
        draw.rectangle((x, y, x + text_px, y + text_px), fill=color, outline="gray")
        text.draw(draw, x + line_px, y + text_px / 2)
    return drawn


class _Text(NamedTuple):
    """A line of text in parts, each with its font."""

    parts: Sequence[tuple[str, ImageFont.FreeTypeFont]]

    @classmethod
    def of(cls, text: str, text_px: int) -> _Text:
        """The text at a size, with fonts that have its characters."""
        if text.isascii():
            font = ImageFont.load_default(text_px)
            assert isinstance(font, ImageFont.FreeTypeFont)
            return cls([(text, font)])
        from fcn_tf.images.fonts import shown  # matplotlib, which few names need

        runs = shown(text).runs()
        return cls([(part, ImageFont.truetype(file, text_px)) for part, file in runs])

    @property
    def width_px(self) -> int:
        return math.ceil(sum(font.getlength(part) for part, font in self.parts))

    def draw(self, draw: ImageDraw.ImageDraw, x: float, middle: float) -> None:
        """Draws the parts behind each other from x on, at one height."""
        anchor, y = "lm", middle
        if len(self.parts) > 1:  # the middles of the fonts differ
            ascent, descent = self.parts[0][1].getmetrics()
            anchor, y = "ls", middle + (ascent - descent) / 2
        for part, font in self.parts:
            draw.text((x, y), part, "black", font, anchor=anchor)
            x += font.getlength(part)


def _legend_entries(
    labels: NDArray[np.uint8], class_names: Sequence[str], palette: ArrayLike
) -> list[tuple[str, tuple[int, ...]]]:
    """The name, with its share of the pixels, and the colour of each label that occurs."""
    counts = np.zeros(VOID + 1, np.int64)
    for row in labels:  # bincount of the whole map would take 8 bytes a pixel
        counts += np.bincount(row, minlength=VOID + 1)
    names = {**dict(enumerate(class_names)), VOID: "void"}
    colors = {**dict(enumerate(map(tuple, np.asarray(palette).tolist()))), VOID: VOID_COLOR}
    return [
        (f"{names[label]} {100 * counts[label] / labels.size:.1f} %", colors[label])
        for label in np.flatnonzero(counts).tolist()
    ]
