"""An image and its mask as files, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.masks import Coding, labels_of
from fcn_tf.images.read import open_image, to_rgb

# What is wrong, with the file or None for the data set as a whole.
Problem = tuple[Path | str | None, str]


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask."""

    image: Path
    mask: Path


# The image and the labels of a pair: `read_pair` with the options of the data.
ReadPair = Callable[[Pair], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def read_pair(pair: Pair, coding: Coding) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Reads an image and its mask.

    Args:
        pair: their files.
        coding: what the values of the mask mean.

    Returns:
        image uint8 (H, W, 3) RGB and mask uint8 (H, W, 1) with labels and VOID.

    Raises:
        InputError: a file cannot be read, the image has more than 8 bits a channel, the sizes
            differ, or the mask has a value or a colour of no class.
    """
    image = open_image(pair.image)
    mask_file = open_image(pair.mask)
    if text := size_problem(pair, image, mask_file):
        raise InputError(text)
    labels = labels_of(mask_file, pair.mask, coding)
    return np.asarray(to_rgb(image, pair.image)), labels[..., None]


def fault_in(read: ReadPair, pair: Pair) -> str | None:
    """Why training refuses a pair: the message of the error of reading it, or None."""
    try:
        read(pair)
    except InputError as error:
        return str(error)
    return None


def size_problem(pair: Pair, image: Image.Image, mask_file: Image.Image) -> str | None:
    """The message where the sizes of an image and its mask differ, or None."""
    if image.size == mask_file.size:
        return None
    return (
        f"{pair.mask}: {describe_size(mask_file)}, but {pair.image.name} is "
        f"{describe_size(image)} (height x width); both must have one size."
    )


def describe_size(image: Image.Image) -> str:
    """The size of an image, for messages: height x width."""
    return f"{image.height}x{image.width} px"
