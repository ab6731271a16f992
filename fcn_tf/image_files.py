"""Image files as the commands take them: found, and read."""

import glob
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fcn_tf.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageFile:
    """An image that was asked for.

    Args:
        path: of the file.
        name: the path below the folder that all images of the command share; what is
            written for it stands at the same place below the folder of the results.
    """

    path: Path
    name: Path


def find_images(arguments, out=None, shard=None):
    """The images that a command line names.

    Args:
        arguments: list of strings: files, folders (all images below them), patterns, and
            "-" for a list of these on standard input, one a line.
        out: folder of the results, which is not searched.
        shard: (index, count) to take every count-th image alone, or None.

    Returns:
        A list of `ImageFile`, in the order of their paths, each once.

    Raises:
        InputError: nothing is there under one of the names.
    """
    named = []
    for argument in arguments:
        named += sys.stdin.read().splitlines() if argument == "-" else [argument]
    out = Path(out).resolve() if out else None
    found, folders = set(), set()
    for name in filter(None, named):
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        images = []
        for match in map(Path, matches):
            if match.is_dir():
                folders.add(match.resolve())
                images += _below(match.resolve(), out)
            else:
                folders.add(match.resolve().parent)
                images.append(match.parent.resolve() / match.name)
        if not images:
            raise InputError(
                f"{name}: no image is there. Name files, folders, patterns, or - for a list on "
                f"standard input; in folders these are found: {' '.join(IMAGE_SUFFIXES)}."
            )
        found.update(images)
    if not found:
        raise InputError("No image was named.")
    base = Path(os.path.commonpath(folders | {path.parent for path in found}))
    images = [ImageFile(path, path.relative_to(base)) for path in sorted(found)]
    return images[shard[0] :: shard[1]] if shard else images


def _below(folder, out):
    """The images below a folder, without hidden ones and those that this package wrote."""
    for parent, children, files in os.walk(folder):
        parent = Path(parent)
        children[:] = [c for c in children if not c.startswith(".") and parent / c != out]
        for file in files:
            if file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith("."):
                yield parent / file


def open_image(path):
    """A decoded Pillow image.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: cannot be read as an image ({error}); replace it or take it out."
        ) from error
