"""The image files that a command line names."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fcn_tf.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageFile:
    """An image that a command line names.

    Args:
        path: of the file.
        name: the path below the folder that all images of the command share. The files written
            for the image have the same place below the folder of the results.
    """

    path: Path
    name: Path


def find_images(
    arguments: Iterable[str],
    out: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
) -> list[ImageFile]:
    """Finds the images that a command line names.

    Args:
        arguments: files, folders (all images below them), patterns, and "-" for a list of
            these on standard input, one a line.
        out: folder of the results; the files in it are left out.
        shard: (index, count) to take only every count-th image, from number index on; None for
            all images.

    Returns:
        The images sorted by path, each once.

    Raises:
        InputError: an argument names no image, or the results would lie among the images.
    """
    found: set[Path] = set()
    folders: set[Path] = set()
    for name in _names(arguments):
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        images: list[Path] = []
        for match in map(Path, matches):
            if match.is_dir():
                folders.add(match.resolve())
                images += _below(match.resolve())
            else:
                folders.add(match.resolve().parent)
                images.append(match.parent.resolve() / match.name)
        if not images:
            raise InputError(
                f"{name}: no image is there. Name files, folders, patterns, or - for a list on "
                f"standard input; in folders these are found: {' '.join(IMAGE_SUFFIXES)}."
            )
        found.update(images)
    if out is not None:
        found = _without_results(found, Path(out).resolve())
    if not found:
        raise InputError("No image was named.")
    base = Path(os.path.commonpath(folders | {path.parent for path in found}))
    images_found = [ImageFile(path, path.relative_to(base)) for path in sorted(found)]
    return images_found[shard[0] :: shard[1]] if shard else images_found


def _names(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments, with the lines of standard input in place of "-"."""
    for argument in arguments:
        # File names are bytes, and not all of them are text in UTF-8.
        lines = os.fsdecode(sys.stdin.buffer.read()).splitlines() if argument == "-" else []
        yield from filter(None, lines or [argument])


def _below(folder: Path) -> Iterator[Path]:
    """The images below a folder, without hidden files and folders."""
    for parent, children, files in os.walk(folder):
        children[:] = [child for child in children if not child.startswith(".")]
        for file in files:
            if file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith("."):
                yield Path(parent, file)


def _without_results(found: set[Path], out: Path) -> set[Path]:
    """The images outside the folder of the results."""
    images = {path for path in found if out not in path.parents}
    if found and not images:
        raise InputError(f"--out {out} holds the images themselves: choose another folder.")
    return images
