"""Image files for which Pillow is not the right reader: rasterio reads them, with the extra `maps`.

These are TIFF files of kinds that Pillow does not know, and all files whose bands are named.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from fcn_tf.errors import InputError
from fcn_tf.images.depth import BANDS, FILE_MODE, Bands
from fcn_tf.images.formats import open_in_process
from fcn_tf.images.orientation import ORIENTATION, SizePx, orientation_of

if TYPE_CHECKING:
    from fcn_tf.images.tiff import TiffWindows

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are of files above 4 GB
BIG_TIFF = 43
HOW = "pip install 'fcn_tf[maps]'"

Path_ = str | os.PathLike[str]


def has_rasterio() -> bool:
    """Whether the extra `maps` is installed."""
    return importlib.util.find_spec("rasterio") is not None


def is_other_tiff(path: Path_, contents: bytes | None, error: InputError) -> bool:
    """Whether a file that Pillow does not read is a TIFF, so that rasterio may read it.

    Args:
        path: of the file.
        contents: its bytes if they have been read already.
        error: what there is to say without rasterio.

    Raises:
        InputError: it is a TIFF, and the extra is not installed.
    """
    is_unread = error.__cause__ is not None
    is_bomb = isinstance(error.__cause__, Image.DecompressionBombError)
    if not is_unread or is_bomb or not _head(path, contents).startswith(TIFF):
        return False
    if not has_rasterio():
        raise InputError(f"{error} If it is whole, {HOW} may read it: more kinds of TIFF.")
    return True


def raster_image(
    path: Path_,
    contents: bytes | None = None,
    max_pixels: int | None = None,
    bands: Bands | None = None,
    reason: InputError | None = None,
) -> Image.Image:
    """An image as rasterio reads it, for `read.to_rgb`; its pixels are as they are stored.

    Args:
        path, contents, max_pixels, bands: as in `read.open_image`.
        reason: the error where rasterio does not read it either.

    Raises:
        InputError: it cannot be read, is larger, or has other bands.
    """
    windows = _windows(path, contents, bands, reason)
    height_px, width_px = windows.shape[:2]
    largest = max_pixels if max_pixels is not None else 2 * (Image.MAX_IMAGE_PIXELS or 1 << 62)
    if height_px * width_px > largest:
        raise InputError(
            f"{path}: {height_px}x{width_px} px (height x width) are more than {largest}; "
            "--max_pixels allows more."
        )
    image = windows.as_pillow()
    image.info |= {FILE_MODE: windows.mode, ORIENTATION: orientation(path, contents)}
    image.info |= {} if bands is None else {BANDS: tuple(bands)}
    return image


def raster_header(
    path: Path_, contents: bytes | None, reason: InputError
) -> tuple[SizePx, int, str]:
    """Height and width, EXIF orientation, and how the file holds its pixels, as `read.Header`.

    Args:
        path, contents, reason: as in `raster_image`.
    """
    windows = _windows(path, contents, None, reason, is_header=True)
    height_px, width_px = windows.shape[:2]
    return (height_px, width_px), orientation(path, contents), windows.mode


def _windows(
    path: Path_,
    contents: bytes | None,
    bands: Bands | None,
    reason: InputError | None,
    is_header: bool = False,
) -> TiffWindows:
    if not has_rasterio():
        raise InputError(f"{path}: data.bands is read by rasterio: {HOW}.")
    from fcn_tf.images.tiff import tiff_windows

    source = path if contents is None else io.BytesIO(contents)
    windows = tiff_windows(source, np.asarray, bands, name=path, is_header=is_header)
    if windows is None:
        raise reason or InputError(f"{path}: its bands cannot be read as an image of one depth.")
    return windows


def orientation(path: Path_, contents: bytes | None = None) -> int:
    """The EXIF orientation, also of a TIFF that Pillow does not know."""
    with contextlib.suppress(Exception), open_in_process(_source(path, contents)) as image:
        return orientation_of(image)
    tags = tiff_tags(path, contents)
    turned = tags.get(ExifTags.Base.Orientation, 1) if tags else 1
    return int(turned) if turned in range(1, 9) else 1


def tiff_tags(
    path: Path_, contents: bytes | None = None
) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """The fields of the first page of a TIFF of any kind; None of another file or a broken one."""
    with contextlib.suppress(Exception):
        source = _source(path, contents)
        with source if isinstance(source, io.BytesIO) else Path(source).open("rb") as file:
            head = file.read(8)
            if not head.startswith(TIFF):
                return None
            if BIG_TIFF in head[2:4]:
                head += file.read(8)
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
            return tags
    return None


def _head(path: Path_, contents: bytes | None) -> bytes:
    if contents is not None:
        return contents[:4]
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return file.read(4)
    return b""


def _source(path: Path_, contents: bytes | None) -> Path_ | io.BytesIO:
    return path if contents is None else io.BytesIO(contents)
