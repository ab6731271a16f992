"""The rule of what the pixels of an image file are: 8-bit RGB, for every command.

Pillow reads the file; alpha is dropped, CMYK is converted, and an EXIF orientation is left aside.
`fcn_tf.images.graph` follows this rule inside TensorFlow graphs, and `fcn_tf.images.masks` is
the rule of mask files.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images import MAX_PIXELS
from fcn_tf.images.formats import lost_bits, open_in_process, pages_of

WINDOWS_PIXELS = 4_000_000  # a larger TIFF is read slice by slice
# What Pillow raises for a file that it cannot read.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
# The keys of `Image.info` that `open_image` adds; PAGES only where there are several.
FILE_MODE = "file_mode"
PAGES = "pages"

ImagePath = str | os.PathLike[str]


class Pixels(Protocol):
    """An image whose slices are uint8 arrays: a NumPy array, or a file that is read in parts.

    `shape` is (H, W, 3), and channels are RGB.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, slices: Any, /) -> Any: ...


def open_pixels(
    path: ImagePath, max_pixels: int = MAX_PIXELS, contents: bytes | None = None
) -> Pixels:
    """Opens an image for prediction.

    A large TIFF is read slice by slice if the extra `geo` is installed.

    Args:
        path: of the file.
        max_pixels: the largest image that is read, in px. The limit protects against small
            files that unpack to more than the memory holds.
        contents: as in `open_image`.

    Returns:
        `Pixels` (H, W, 3).

    Raises:
        InputError: the file cannot be read, is too large, or has more than 8 bits a channel.
    """
    path = Path(path)
    is_tiff = contents is None and path.suffix.lower() in (".tif", ".tiff")
    if is_tiff and importlib.util.find_spec("rasterio"):
        from fcn_tf.images.tiff import tiff_windows

        windows = tiff_windows(path)
        if windows and WINDOWS_PIXELS < windows.shape[0] * windows.shape[1] <= max_pixels:
            return windows
    limit_of_pillow = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # max_pixels takes its place
    try:
        return read_rgb(path, max_pixels, contents)
    finally:
        Image.MAX_IMAGE_PIXELS = limit_of_pillow


def read_rgb(
    path: ImagePath, max_pixels: int | None = None, contents: bytes | None = None
) -> NDArray[np.uint8]:
    """Reads an image file.

    Args:
        path: of the file.
        max_pixels, contents: as in `open_image`.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: the file cannot be read, is too large, or has more than 8 bits a channel.

    Example:
        >>> read_rgb("street.jpg").shape
        (360, 480, 3)
    """
    return np.asarray(to_rgb(open_image(path, max_pixels, contents), path))


def to_rgb(image: Image.Image, path: ImagePath) -> Image.Image:
    """Converts a Pillow image to 8-bit RGB.

    Args:
        image: any Pillow image.
        path: of the image's file, for the message.

    Raises:
        InputError: the image has more than 8 bits a channel, which Pillow would cut off.
    """
    if is_deep(image):
        raise InputError(
            f"{path}: it has more than 8 bits a channel ({file_mode(image)}); networks take 8: "
            "save it with 8 bits a channel."
        )
    return image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits a channel, in its file or as Pillow holds it."""
    # A letter for the order of bytes tells these from "BGR;16", which is 16 bits a pixel.
    in_file = re.search(r";(9|1[0-6])[BLN]$", file_mode(image)) is not None
    return in_file or image.mode.startswith(("I", "F"))


def file_mode(image: Image.Image) -> str:
    """How an image's file holds its pixels, as Pillow's raw modes say it: "RGB;16B", "L;4".

    Pillow forgets this once an image is decoded; `open_image` keeps it. For an image that was
    decoded elsewhere this is Pillow's mode.
    """
    if FILE_MODE in image.info:
        return image.info[FILE_MODE]
    for tile in getattr(image, "tile", []):
        raw_mode = tile[3] if isinstance(tile[3], str) else (tile[3] or (None,))[0]
        if isinstance(raw_mode, str):
            return raw_mode
    return image.mode


def open_image(
    path: ImagePath, max_pixels: int | None = None, contents: bytes | None = None
) -> Image.Image:
    """Decodes an image file, in the mode that it has.

    Args:
        path: of the file.
        max_pixels: the largest image that is decoded, in px; None for Pillow's own limit.
        contents: the bytes of the file if they have been read already.

    Raises:
        InputError: the file cannot be read, or the image is larger.
    """
    file = _file(path, contents)
    with _readable(path), open_in_process(file) as image:
        width_px, height_px = image.size
        if max_pixels is None or width_px * height_px <= max_pixels:
            bits = lost_bits(file, image)
            mode = file_mode(image) if bits == 8 else f"{image.mode};{bits}N"
            is_paged = getattr(image, "is_animated", False)
            pages = pages_of(_file(path, contents)) if is_paged else 1
            image.load()
            image.info[FILE_MODE] = mode
            if pages > 1:
                image.info[PAGES] = pages
            return image
    raise InputError(
        f"{path}: {height_px}x{width_px} px (height x width) are more than {max_pixels}; "
        "--max_pixels allows more."
    )


def read_size_px(path: ImagePath, contents: bytes | None = None) -> tuple[int, int]:
    """Height and width of an image, in px, from the header of its file.

    Args:
        path, contents: as in `open_image`.

    Raises:
        InputError: the header cannot be read.
    """
    with _readable(path), open_in_process(_file(path, contents)) as image:
        return image.height, image.width


def resize(
    array: NDArray[Any],
    size_px: Sequence[int],
    how: Image.Resampling = Image.Resampling.BILINEAR,
) -> NDArray[Any]:
    """Brings an array (H, W) or (H, W, 3), uint8, or float32 (H, W), to a size (height, width)."""
    if array.shape[:2] == tuple(size_px):
        return np.asarray(array)
    return np.asarray(Image.fromarray(array).resize((size_px[1], size_px[0]), how))


def _file(path: ImagePath, contents: bytes | None) -> ImagePath | io.BytesIO:
    return path if contents is None else io.BytesIO(contents)


@contextlib.contextmanager
def _readable(path: ImagePath) -> Iterator[None]:
    """Turns what Pillow raises for a broken file into an error that names the file."""
    try:
        yield
    except UNREADABLE as error:
        raise InputError(
            f"{path}: cannot be read as an image ({error}); replace it or take it out."
        ) from error
