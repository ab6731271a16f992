"""An image and its mask as files, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.depth import Clipped, clipping_line
from fcn_tf.images.masks import Coding, labels_of, open_mask
from fcn_tf.images.orientation import SizePx, chosen_orientation, shown_size, turn
from fcn_tf.images.read import Reading, file_orientation, open_image, to_rgb

# What is wrong, with the file or None for the data set as a whole.
Problem = tuple[Path | str | None, str]


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask."""

    image: Path
    mask: Path


# The image and the labels of a pair: `read_pair` with the options of the data.
ReadPair = Callable[[Pair], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


class Turned(NamedTuple):
    """An image whose file has an EXIF orientation.

    Args:
        is_turned: whether the image is read as viewers show it, and not as it is stored.
        is_unclear: whether it has the same size both ways, so that a mask fits either.
    """

    is_turned: bool
    is_unclear: bool


@dataclass(frozen=True)
class Notes:
    """What there is to say of the images that were read; threads may share it.

    Args:
        turned: those with an EXIF orientation.
        clipped: those with values outside of `Reading.value_range`.
    """

    turned: list[Turned] = field(default_factory=list)
    clipped: list[Clipped] = field(default_factory=list)

    def lines(self, count: int, reading: Reading) -> list[str]:
        """The notes in words.

        Args:
            count: the number of images that were read.
            reading: how they became pixels.
        """
        turned = sum(one.is_turned for one in self.turned)
        unclear = sum(one.is_turned and one.is_unclear for one in self.turned)
        stored = len(self.turned) - turned
        parts = []
        if turned:
            parts.append(f"{turned} of {count} images are turned by their EXIF orientation.")
        if stored:
            is_ignored = reading.exif == "ignore"
            why = " (data.exif=ignore)" if is_ignored else ", because their masks fit only so"
            parts.append(
                f"{stored} of {count} images have an EXIF orientation and are read as they are "
                f"stored{why}."
            )
        if stored and unclear:
            parts.append(
                f"Warning: for {unclear} of those that are turned the size does not tell which way "
                "their masks lie. If they were drawn like the others, give --data.exif ignore."
            )
        lines = [" ".join(parts), clipping_line(self.clipped, reading.value_range)]
        return [line for line in lines if line]


def read_pair(
    pair: Pair,
    coding: Coding,
    reading: Reading = Reading(),  # noqa: B008 (it cannot be changed)
    notes: Notes | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Reads an image and its mask.

    Args:
        pair: their files.
        coding: what the values of the mask mean.
        reading: how the image becomes pixels.
        notes: takes what there is to say of the image.

    Returns:
        image uint8 (H, W, 3) RGB and mask uint8 (H, W, 1) with labels and VOID.

    Raises:
        InputError: a file cannot be read, the image has more than 8 bits a channel and `reading`
            no range for it, the sizes differ, the mask has an EXIF orientation, or the mask has a
            value or a colour of no class.
    """
    image = open_image(pair.image, bands=reading.bands)
    mask_file = open_mask(pair.mask, coding)
    if text := size_problem(pair, image, mask_file, reading):
        raise InputError(text)
    labels = labels_of(mask_file, pair.mask, coding)
    notes = notes or Notes()
    rgb = to_rgb(image, pair.image, reading.value_range, clipped=notes.clipped)
    chosen = _chosen(image, mask_file, reading)
    if (own := file_orientation(image)) != 1:
        is_unclear = shown_size(size_px(image), own) == size_px(image)
        notes.turned.append(Turned(chosen != 1, is_unclear))
    return np.asarray(turn(rgb, chosen)), labels[..., None]


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
