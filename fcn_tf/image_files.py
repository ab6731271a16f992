"""Image files as the commands take them: found, and read."""

import glob
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_tf.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MAX_PIXELS = 2 * 89_478_485  # where Pillow refuses an image by default
WINDOWS_PIXELS = 4_000_000  # above which a TIFF is read slice by slice


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
        out: folder of the results; what lies in it is not taken.
        shard: (index, count) to take every count-th image alone, or None.

    Returns:
        A list of `ImageFile`, in the order of their paths, each once.

    Raises:
        InputError: nothing is there under one of the names, or the results would lie
            among the images.
    """
    named = []
    for argument in arguments:
        # File names are bytes, which need not be text in UTF-8.
        listed = argument == "-" and os.fsdecode(sys.stdin.buffer.read()).splitlines()
        named += listed or [argument]
    out = Path(out).resolve() if out else None
    found, folders = set(), set()
    for name in filter(None, named):
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        images = []
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
    results = {path for path in found if out in path.parents}
    if results and results == found:
        raise InputError(f"--out {out} holds the images themselves: choose another folder.")
    found -= results
    if not found:
        raise InputError("No image was named.")
    base = Path(os.path.commonpath(folders | {path.parent for path in found}))
    images = [ImageFile(path, path.relative_to(base)) for path in sorted(found)]
    return images[shard[0] :: shard[1]] if shard else images


def _below(folder):
    """The images below a folder, without hidden ones."""
    for parent, children, files in os.walk(folder):
        children[:] = [child for child in children if not child.startswith(".")]
        for file in files:
            if file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith("."):
                yield Path(parent, file)


def open_pixels(path, max_pixels=MAX_PIXELS):
    """An image to predict, as something with a shape (H, W, 3) whose slices are uint8 RGB.

    A large TIFF is read slice by slice where the extra `geo` is installed.

    Args:
        path: of the file.
        max_pixels: int, the largest image that is read: a guard against small files that
            unpack to a full memory.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    path = Path(path)
    if path.suffix.lower() in (".tif", ".tiff") and importlib.util.find_spec("rasterio"):
        from fcn_tf.windows import tiff_windows

        windows = tiff_windows(path)
        if windows and WINDOWS_PIXELS < windows.shape[0] * windows.shape[1] <= max_pixels:
            return windows
    pillows_own = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # ours stands in its place
    try:
        return np.asarray(rgb(open_image(path, max_pixels), path))
    finally:
        Image.MAX_IMAGE_PIXELS = pillows_own


def resize(array, size_px, how=Image.Resampling.BILINEAR):
    """Brings an array (H, W) or (H, W, 3), uint8, or float32 (H, W), to a size (height, width)."""
    if array.shape[:2] == tuple(size_px):
        return np.asarray(array)
    return np.asarray(Image.fromarray(array).resize((size_px[1], size_px[0]), how))


def rgb(image, path):
    """A Pillow image in RGB.

    Raises:
        InputError: it has more than 8 bits a channel, which Pillow would cut off.
    """
    if image.mode.startswith(("I", "F")):
        raise InputError(
            f"{path}: it has more than 8 bits a channel ({image.mode}); networks take 8: bring it "
            "to them first."
        )
    return image.convert("RGB")


def open_image(path, max_pixels=None):
    """A decoded Pillow image.

    Args:
        path: of the file.
        max_pixels: int, the largest image that is decoded, or None for Pillow's own limit.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        with Image.open(path) as image:
            if max_pixels is None or image.width * image.height <= max_pixels:
                image.load()
                return image
            size_px = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: cannot be read as an image ({error}); replace it or take it out."
        ) from error
    width_px, height_px = size_px
    raise InputError(
        f"{path}: {width_px}×{height_px} px are more than {max_pixels}; --max_pixels allows more."
    )
