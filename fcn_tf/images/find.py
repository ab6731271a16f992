"""The image files that a command line names."""

from __future__ import annotations

import functools
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fcn_tf.counted import counted
from fcn_tf.errors import InputError
from fcn_tf.images.formats import IMAGE_SUFFIXES, SHOWN_SUFFIXES
from fcn_tf.images.walk import Skipped, files_below

__all__ = ["IMAGE_SUFFIXES", "ImageFile", "find_images"]


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
    """Finds the images that a command line names, and prints what it leaves out.

    Args:
        arguments: files, folders (all images below them), patterns, and "-" for a list of
            these on standard input, one a line.
        out: folder of the results; the files in it are left out.
        shard: (index, count) to take only every count-th image, from number index on; None for
            all images.

    Returns:
        The images sorted by path, each once. None, and a line that says so, where the list on
        standard input is empty or no image falls to the shard.

    Raises:
        InputError: an argument names no image, or the results would lie among the images.
    """
    arguments = list(arguments)
    names = list(_names(arguments))
    if arguments and not names:
        print("The list on standard input names no image: there is nothing to do.", flush=True)
        return []
    found: set[Path] = set()
    folders: set[Path] = set()
    skipped = Skipped()
    for name in names:
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        images: list[Path] = []
        passed_over = Skipped()
        for match in map(Path, matches):
            if match.is_dir():
                folders.add(match.resolve())
                images += _below(match.resolve(), passed_over)
            else:
                folders.add(match.resolve().parent)
                images.append(match.parent.resolve() / match.name)
        if not images:
            there = f", but {passed_over}" if passed_over else ""
            raise InputError(
                f"{name}: no image is there{there}. Name files, folders, patterns, or - for a "
                f"list on standard input; in folders these are found: {SHOWN_SUFFIXES}."
            )
        found.update(images)
        skipped |= passed_over
    if skipped:
        print(f"Skipped: {skipped}.", flush=True)
    if out is not None:
        found = _without_results(found, Path(out).resolve())
    if not found:
        raise InputError("No image was named.")
    base = Path(os.path.commonpath(folders | {path.parent for path in found}))
    images_found = [ImageFile(path, path.relative_to(base)) for path in sorted(found)]
    return _of_shard(images_found, shard) if shard else images_found


def _names(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments, with the lines of standard input in place of "-"."""
    for argument in arguments:
        yield from _listed() if argument == "-" else [argument]


def _listed() -> Iterator[str]:
    """The lines of standard input that are not blank."""
    if sys.stdin is None:
        raise InputError("-: standard input is closed; give it a list of images, one a line.")
    # File names are bytes, and not all of them are text in UTF-8.
    for line in sys.stdin.buffer.read().split(b"\n"):
        if line.strip():
            yield os.fsdecode(line.removesuffix(b"\r"))


def _below(folder: Path, skipped: Skipped) -> list[Path]:
    """The images below a folder; what else is there is added to `skipped`."""
    images = []
    for file in files_below(folder, skipped):
        is_image = file.name.lower().endswith(IMAGE_SUFFIXES)
        if any(part.startswith(".") for part in file.relative_to(folder).parts):
            if is_image:
                skipped.add("hidden", file)
        elif is_image:
            images.append(file)
        else:
            skipped.add(file.suffix.lower() or "without a suffix", file)
    return images


def _without_results(found: set[Path], out: Path) -> set[Path]:
    """The images outside the folder of the results; how many lie in it is printed."""
    resolved = functools.cache(Path.resolve)  # a link may lead into the folder
    images = {path for path in found if not resolved(path.parent).is_relative_to(out)}
    if found and not images:
        raise InputError(f"--out {out} holds the images themselves: choose another folder.")
    if results := len(found) - len(images):
        some = counted(results, "image{}")
        print(f"Left out: {some} in {out}, the folder of the results.", flush=True)
    return images


def _of_shard(images: list[ImageFile], shard: tuple[int, int]) -> list[ImageFile]:
    index, count = shard
    if not (some := images[index::count]):
        print(f"Shard {index}/{count} gets none of {len(images)} images: there is nothing to do.")
    return some
