"""The rule of what the pixels of a mask file are: labels and VOID, one byte each.

Pillow reads the file. `fcn_tf.images.graph` follows this rule inside TensorFlow graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.errors import InputError
from fcn_tf.images.read import PAGES, ImagePath, file_mode, is_deep, open_image


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean.

    Args:
        num_classes: the number of classes; the indices 0 to num_classes - 1 are labels.
        colors: the RGB triple of each class, 0..255, for masks in colour.
        ignore_label: the index, besides 255, that means "not labelled", or None.
    """

    num_classes: int
    colors: tuple[tuple[int, int, int], ...]
    ignore_label: int | None = None


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
    return labels_of(open_image(path, contents=contents), path, coding)[..., None]


def labels_of(mask_file: Image.Image, path: ImagePath, coding: Coding) -> NDArray[np.uint8]:
    """The labels of a decoded mask.

    Args:
        mask_file: as `open_image` gives it.
        path: of the mask, for messages.
        coding: what its values mean.

    Returns:
        uint8 (H, W), labels and VOID.

    Raises:
        InputError: the mask has a value or a colour of no class, several pages, or is no 8-bit
            image.
    """
    if (pages := mask_file.info.get(PAGES, 1)) > 1:
        raise InputError(
            f"{path} has {pages} pages or frames, and a mask is one image: save the page that "
            "holds the labels as a file of its own."
        )
    if mask_file.mode in ("RGB", "RGBA") and not is_deep(mask_file):
        return _from_colors(np.asarray(mask_file.convert("RGB")), path, coding)
    mask = indices_of(mask_file, path)
    if coding.ignore_label is not None:
        mask[mask == coding.ignore_label] = VOID
    outside = mask[(mask >= coding.num_classes) & (mask != VOID)]
    if outside.size:
        ignored = f", {coding.ignore_label}" if coding.ignore_label is not None else ""
        raise InputError(
            f"{path}: value {outside[0]} in {outside.size} pixels; allowed are "
            f"0..{coding.num_classes - 1} ({coding.num_classes} classes) and {VOID}{ignored} for "
            "what is not labelled (--data.ignore_label)."
        )
    return mask


def indices_of(mask_file: Image.Image, path: ImagePath) -> NDArray[np.uint8]:
    """The values of a decoded mask as they are in its file, uint8 (H, W); palettes do not matter.

    Raises:
        InputError: the mask is no 8-bit image with one channel.
    """
    if mask_file.mode not in ("L", "P", "1") or is_deep(mask_file):
        raise InputError(
            f"{path}: mode {file_mode(mask_file)}; a mask is an 8-bit PNG: class indices, "
            "greyscale or with a palette, or the classes' colours."
        )
    return np.array(mask_file, np.uint8)


def _from_colors(picture: NDArray[np.uint8], path: ImagePath, coding: Coding) -> NDArray[np.uint8]:
    """Labels (H, W) of a picture (H, W, 3) in the classes' colours."""
    table = np.array([*coding.colors, VOID_COLOR]) @ (1 << 16, 1 << 8, 1)
    values = np.array([*range(coding.num_classes), VOID], np.uint8)
    if coding.ignore_label is not None and coding.ignore_label < coding.num_classes:
        values[coding.ignore_label] = VOID
    # If a class has VOID's colour, its label comes first in the table and is the one found.
    table, first = np.unique(table, return_index=True)
    codes = picture.astype(np.int64) @ (1 << 16, 1 << 8, 1)  # (H, W)
    found = np.minimum(np.searchsorted(table, codes), len(table) - 1)
    unknown = table[found] != codes
    if unknown.any():
        color = tuple(picture[unknown][0].tolist())
        raise InputError(
            f"{path}: colour {color} in {unknown.sum()} pixels belongs to no class; the colours "
            "of the classes are those in labelmap.txt or behind the names in classes.txt, "
            "otherwise PASCAL VOC's."
        )
    return values[first][found]
