"""Images and their masks as files: found in two folders, and read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.formats import IMAGE_SUFFIXES, SHOWN_SUFFIXES
from fcn_tf.images.masks import Coding, labels_of
from fcn_tf.images.read import open_image, to_rgb

# What is wrong, with the file or None for the data set as a whole.
Problem = tuple[Path | str | None, str]


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask."""

    image: Path
    mask: Path


def list_pairs(
    image_dir: Path,
    mask_dir: Path,
    *,
    some_unlabelled: bool = False,
    problems: list[Problem] | None = None,
) -> list[Pair]:
    """The pairs of two folders, by stem, sorted.

    Args:
        image_dir: the folder of the images.
        mask_dir: the folder of the masks.
        some_unlabelled: whether images without a mask are left out. They are refused otherwise.
        problems: takes a `Problem` for each file without a partner, in place of an error.

    Raises:
        InputError: no folder of masks, no image, two files of one stem, or a file without a
            partner.
    """
    if not mask_dir.is_dir():
        raise InputError(f"{image_dir} has no folder of masks beside it: {mask_dir} is missing.")
    images = by_stem(image_dir, IMAGE_SUFFIXES)
    masks = by_stem(mask_dir, (".png",))
    if some_unlabelled:
        images = _labelled(images, masks)
    for what, there, here, other_dir in (
        ("mask", masks, images, image_dir),
        ("image", images, masks, mask_dir),
    ):
        alone = [there[stem] for stem in sorted(there.keys() - here.keys())]
        if problems is not None:
            problems += [(path, f"{what} without a partner") for path in alone]
        elif alone:
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise InputError(
                f"{what} {alone[0]}{more} has no partner of the same stem in {other_dir}: "
                "add it, or move the file out of the way."
            )
    if not images:
        raise InputError(f"{image_dir} holds no image ({SHOWN_SUFFIXES}).")
    return [Pair(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]


def _labelled(images: dict[str, Path], masks: dict[str, Path]) -> dict[str, Path]:
    """The images that have a mask; the number of the others is printed."""
    labelled = {stem: path for stem, path in images.items() if stem in masks}
    if left_out := len(images) - len(labelled):
        folder = next(iter(images.values())).parent
        print(f"{left_out} images in {folder} have no mask and are left out.", flush=True)
    return labelled


def by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """The files of a folder with one of the suffixes, by stem; hidden files are left out.

    Raises:
        InputError: two of them have the same stem.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise InputError(
                    f"{files[path.stem]} and {path.name} have the same stem: keep one of them."
                )
            files[path.stem] = path
    return files


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
