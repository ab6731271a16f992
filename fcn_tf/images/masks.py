"""The rule of what the pixels of a mask file are: labels and VOID, one byte each.

Pillow reads the file. `fcn_tf.images.mask_graph` follows this rule inside TensorFlow graphs.
`mask_pixels` says what a file holds, `coding` what that means, and this module brings them
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.config.mask_values import MaskValue
from fcn_tf.errors import InputError
from fcn_tf.images.coding import UNKNOWN, Coding, is_grey
from fcn_tf.images.mask_errors import refuse_palette, refuse_unknown
from fcn_tf.images.mask_pixels import MASK_SUFFIXES, MaskPixels, indices_of, mask_pixels
from fcn_tf.images.read import PAGES, ImagePath, open_image

__all__ = [
    "MASK_SUFFIXES",
    "Coding",
    "indices_of",
    "labels_of",
    "open_mask",
    "read_mask",
    "values_in",
]

Reading = dict[int, int]  # the label of each number that occurs; UNKNOWN for no class


def read_mask(path: ImagePath, coding: Coding, contents: bytes | None = None) -> NDArray[np.uint8]:
    """Reads the labels of a mask file.

    Args:
        path: of the file.
        coding: what its values mean.
        contents: the bytes of the file if they have been read already.

    Returns:
        uint8 (H, W, 1), labels and VOID.

    Raises:
        InputError: the file cannot be read, or as in `labels_of`.
    """
    return labels_of(open_mask(path, coding, contents), path, coding)[..., None]


def open_mask(path: ImagePath, coding: Coding, contents: bytes | None = None) -> Image.Image:
    """Decodes a mask file, or draws it where its file holds outlines; then its values are labels.

    Args:
        path, coding, contents: as in `read_mask`.

    Raises:
        InputError: the file cannot be read, or an outline not be drawn.
    """
    if coding.drawn is not None:
        return Image.fromarray(coding.drawn(Path(path)))
    return open_image(path, contents=contents)


def labels_of(mask_file: Image.Image, path: ImagePath, coding: Coding) -> NDArray[np.uint8]:
    """The labels of a decoded mask.

    Args:
        mask_file: as `open_image` gives it.
        path: of the mask, for messages.
        coding: what its values mean.

    Returns:
        uint8 (H, W), labels and VOID.

    Raises:
        InputError: the mask has a value or a colour of no class, what it means is not certain, it
            has several pages, or as in `mask_pixels`.
    """
    if (pages := mask_file.info.get(PAGES, 1)) > 1:
        raise InputError(
            f"{path} has {pages} pages or frames, and a mask is one image: save the page that "
            "holds the labels as a file of its own."
        )
    pixels = mask_pixels(mask_file, path)
    read = _reading(pixels, path, coding)
    unknown = [number for number, label in read.items() if label == UNKNOWN]
    if unknown:
        refuse_unknown(path, coding, pixels, unknown)
    return _translated(pixels.numbers, read)


def values_in(mask_file: Image.Image, path: ImagePath) -> dict[MaskValue, int]:
    """The values or the colours that a decoded mask holds, and the pixels of each.

    A colour whose channels are equal is given as its value.

    Args:
        mask_file: as `open_image` gives it.
        path: of the mask, for messages.

    Raises:
        InputError: as in `mask_pixels`.
    """
    pixels = mask_pixels(mask_file, path)
    seen: dict[MaskValue, int] = {}
    for number in pixels.used:
        key = pixels.key(number)
        if not isinstance(key, int) and is_grey(key):
            key = key[0]
        seen[key] = seen.get(key, 0) + int(pixels.counts[number])
    return seen


def _translated(numbers: NDArray[Any], read: Reading) -> NDArray[np.uint8]:
    """The label of each number (H, W)."""
    if numbers.dtype == np.uint8 and all(number == label for number, label in read.items()):
        return numbers
    table = np.zeros(max(256, max(read) + 1), np.uint8)
    table[list(read)] = list(read.values())
    if numbers.dtype != np.uint8:
        return table[numbers]
    # Half as long as NumPy's way.
    labels = bytearray(numbers).translate(table.tobytes())
    return np.frombuffer(labels, np.uint8).reshape(numbers.shape)


def _reading(pixels: MaskPixels, path: ImagePath, coding: Coding) -> Reading:
    """The label of each number that occurs: by its value or by its colour, whichever is meant."""
    if not pixels.values or (pixels.has_palette and coding.names_colors_only):
        by_color = _by_color(pixels, coding)
        if not _is_complete(by_color) and not coding.grey_is_ambiguous:
            by_grey = _by_grey(pixels, coding.value_labels)
            return by_grey if _is_complete(by_grey) else by_color
        return by_color
    labels = coding.value_labels
    by_value = {number: labels.get(pixels.values[number], UNKNOWN) for number in pixels.used}
    if not pixels.colors:
        return by_value
    shown = _by_shown(pixels, coding)
    if not _is_complete(shown) or shown == by_value:
        return by_value
    if not _is_complete(by_value):
        return shown
    if pixels.has_palette:
        refuse_palette(path, coding, pixels, (by_value, shown))
    return by_value


def _by_shown(pixels: MaskPixels, coding: Coding) -> Reading:
    """The labels of what viewers show; nothing where two numbers look alike."""
    if len({pixels.colors[number] for number in pixels.used}) < len(pixels.used):
        return {}
    if pixels.has_palette and (coding.has_own_colors or coding.named_colors):
        by_color = _by_color(pixels, coding)
        if _is_complete(by_color):
            return by_color
    # That 255 is not labelled unless something else is said of it is no sign of what is meant.
    labels = {value: coding.value_labels[value] for value in coding.class_values}
    return _by_grey(pixels, labels)


def _by_color(pixels: MaskPixels, coding: Coding) -> Reading:
    labels = coding.color_labels
    return {number: labels.get(pixels.colors[number], UNKNOWN) for number in pixels.used}


def _by_grey(pixels: MaskPixels, labels: Mapping[int, int]) -> Reading:
    """The labels of the values in three equal channels."""
    return {
        number: labels.get(color[0], UNKNOWN) if is_grey(color) else UNKNOWN
        for number in pixels.used
        for color in [pixels.colors[number]]
    }


def _is_complete(reading: Reading) -> bool:
    return bool(reading) and UNKNOWN not in reading.values()
