"""An image and its mask as files: read, brought to RGB and labels, and what is wrong with them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.errors import InputError
from fcn_tf.image_files import open_image


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean.

    Args:
        num_classes: int, indices 0 to num_classes - 1 are labels.
        colors: the RGB triple of each class, for masks in colour.
        ignore_label: the index, besides 255, that means "not labelled", or None.
    """

    num_classes: int
    colors: tuple[tuple[int, int, int], ...]
    ignore_label: int | None = None


def read_pair(pair, coding):
    """Reads an image and its mask.

    Args:
        pair: a `Pair`.
        coding: a `Coding`.

    Returns:
        image uint8 (H, W, 3) RGB and mask uint8 (H, W, 1) with labels and VOID.

    Raises:
        InputError: unreadable, sizes that differ, a value or a colour of no class.
    """
    image = open_image(pair.image)
    mask_file = open_image(pair.mask)
    if text := size_problem(pair, image, mask_file):
        raise InputError(text)
    return np.asarray(image.convert("RGB")), labels_of(mask_file, pair.mask, coding)[..., None]


def read_mask(path, coding):
    """The labels of a mask's file, uint8 (H, W, 1).

    Raises:
        InputError: unreadable, or as `labels_of`.
    """
    return labels_of(open_image(path), path, coding)[..., None]


def size_problem(pair, image, mask_file):
    """What to say of sizes that differ, or None."""
    if image.size == mask_file.size:
        return None
    return (
        f"{pair.mask}: {describe_size(mask_file)}, but {pair.image.name} is "
        f"{describe_size(image)}; both must have one size."
    )


def labels_of(mask_file, path, coding):
    """The labels of a decoded mask, uint8 (H, W).

    Raises:
        InputError: a value or a colour of no class, or another kind of image.
    """
    if mask_file.mode in ("RGB", "RGBA"):
        return _from_colors(np.asarray(mask_file.convert("RGB")), path, coding)
    if mask_file.mode not in ("L", "P", "1"):
        raise InputError(
            f"{path}: mode {mask_file.mode}; a mask is an 8-bit PNG: class indices, greyscale or "
            "with a palette, or the classes' colours."
        )
    mask = np.array(mask_file, np.uint8)
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


def _from_colors(picture, path, coding):
    """Labels (H, W) of a picture (H, W, 3) in the classes' colours."""
    table = np.array([*coding.colors, VOID_COLOR]) @ (1 << 16, 1 << 8, 1)
    values = np.array([*range(coding.num_classes), VOID], np.uint8)
    if coding.ignore_label is not None and coding.ignore_label < coding.num_classes:
        values[coding.ignore_label] = VOID
    # A class may have VOID's colour: its own label then stands first and is the one found.
    table, first = np.unique(table, return_index=True)
    codes = picture.astype(np.int64) @ (1 << 16, 1 << 8, 1)  # (H, W)
    found = np.minimum(np.searchsorted(table, codes), len(table) - 1)
    unknown = table[found] != codes
    if unknown.any():
        color = tuple(picture[unknown][0].tolist())
        raise InputError(
            f"{path}: colour {color} in {unknown.sum()} pixels is that of no class; the classes' "
            "colours stand in labelmap.txt or behind the names in classes.txt, else they are "
            "PASCAL VOC's."
        )
    return values[first][found]


def describe_size(image):
    return "{}×{} px".format(*image.size)
