"""An image and its mask as files, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.depth import Clipped
from fcn_tf.images.masks import Coding, labels_of
from fcn_tf.images.orientation import SizePx, chosen_orientation, shown_size, turn
from fcn_tf.images.read import Reading, file_orientation, open_image, read_header, to_rgb

# What is wrong, with the file or None for the data set as a whole.
Problem = tuple[Path | str | None, str]


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask."""

    image: Path
    mask: Path


# The image and the labels of a pair: `read_pair` with the options of the data.
ReadPair = Callable[[Pair], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def read_pair(
    pair: Pair,
    coding: Coding,
    reading: Reading = Reading(),  # noqa: B008 (it cannot be changed)
    clipped: list[Clipped] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Reads an image and its mask.

    Args:
        pair: their files.
        coding: what the values of the mask mean.
        reading: how the image becomes pixels.
        clipped: takes the image if it has values outside of the range of `reading`.

    Returns:
        image uint8 (H, W, 3) RGB and mask uint8 (H, W, 1) with labels and VOID.

    Raises:
        InputError: a file cannot be read, the image has more than 8 bits a channel and `reading`
            no range for it, the sizes differ, the mask has an EXIF orientation, or the mask has a
            value or a colour of no class.
    """
    image = open_image(pair.image)
    mask_file = open_image(pair.mask)
    if text := size_problem(pair, image, mask_file, reading):
        raise InputError(text)
    labels = labels_of(mask_file, pair.mask, coding)
    rgb = to_rgb(image, pair.image, reading.value_range, clipped=clipped)
    return np.asarray(turn(rgb, _chosen(image, mask_file, reading))), labels[..., None]


def fault_in(read: ReadPair, pair: Pair) -> str | None:
    """Why training refuses a pair: the message of the error of reading it, or None."""
    try:
        read(pair)
    except InputError as error:
        return str(error)
    return None


def size_problem(
    pair: Pair,
    image: Image.Image,
    mask_file: Image.Image,
    reading: Reading = Reading(),  # noqa: B008
) -> str | None:
    """The message where a mask does not lie on its image, or None.

    Args:
        pair: their files.
        image, mask_file: as `open_image` gives them.
        reading: how the image becomes pixels.
    """
    own = file_orientation(mask_file)
    if own != 1 and reading.exif != "ignore":
        return (
            f"{pair.mask}: it has an EXIF orientation ({own}), so that it is not clear how it lies "
            "on its image; save it without, or give --data.exif ignore."
        )
    orientation = _chosen(image, mask_file, reading)
    if shown_size(size_px(image), orientation) == size_px(mask_file):
        return None
    turned = f" and EXIF orientation {orientation}" if orientation != 1 else ""
    return (
        f"{pair.mask}: {describe_size(mask_file)}, but {pair.image.name} is "
        f"{describe_size(image)}{turned} (height x width); both must have one size."
    )


def orientation_line(pairs: Sequence[Pair], exif: str) -> str | None:
    """One line about images with an EXIF orientation; None where there are none.

    Args:
        pairs: their files; those that cannot be read do not count.
        exif: what `data.exif` says.
    """
    turned = stored = unclear = 0
    for pair in pairs:
        try:
            header = read_header(pair.image)
            if header.orientation == 1:
                continue
            mask_px = read_header(pair.mask).stored_px
        except InputError:
            continue
        shown_px = shown_size(header.stored_px, header.orientation)
        if chosen_orientation(exif, header.orientation, header.stored_px, mask_px) == 1:
            stored += 1
        else:
            turned += 1
            unclear += shown_px == header.stored_px
    parts = []
    if turned:
        parts.append(f"{turned} of {len(pairs)} images are turned by their EXIF orientation.")
    if stored:
        why = " (data.exif=ignore)" if exif == "ignore" else ", because their masks fit only so"
        parts.append(
            f"{stored} of {len(pairs)} images have an EXIF orientation and are read as they are "
            f"stored{why}."
        )
    if stored and unclear:
        parts.append(
            f"Warning: for {unclear} of those that are turned the size does not tell which way "
            "their masks lie. If they were drawn like the others, give --data.exif ignore."
        )
    return " ".join(parts) or None


def size_px(image: Image.Image) -> SizePx:
    """Height and width of a decoded image."""
    return image.height, image.width


def _chosen(image: Image.Image, mask_file: Image.Image, reading: Reading) -> int:
    """How an image is turned that has this mask."""
    return chosen_orientation(
        reading.exif, file_orientation(image), size_px(image), size_px(mask_file)
    )


def describe_size(image: Image.Image) -> str:
    """The size of an image, for messages: height x width."""
    return f"{image.height}x{image.width} px"
