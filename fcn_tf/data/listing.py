"""The pairs of two folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fcn_tf.data.pairs import Pair, Problem
from fcn_tf.errors import InputError
from fcn_tf.images.find import IMAGE_SUFFIXES


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
        raise InputError(f"{image_dir} holds no image ({' '.join(IMAGE_SUFFIXES)}).")
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
