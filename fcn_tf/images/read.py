"""The rule of what the pixels of an image file are: 8-bit RGB, for every command.

Pillow reads the file. Alpha is dropped, CMYK is converted, and the image is turned as its EXIF
orientation says. Values of more than 8 bits a channel are refused, or brought to 8 bits by
`depth`. `fcn_tf.images.graph` follows this rule inside TensorFlow graphs, and
`fcn_tf.images.masks` is the rule of mask files.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images import MAX_PIXELS
from fcn_tf.images.depth import (
    FILE_MODE,
    Bands,
    Clipped,
    ValueRange,
    deep_values,
    is_premultiplied,
    scaled_to_8_bits,
)
from fcn_tf.images.formats import lost_bits, open_in_process, pages_of
from fcn_tf.images.orientation import (
    ORIENTATION,
    TRANSPOSED,
    SizePx,
    orientation_of,
    shown_size,
    turn,
    turn_back,
)
from fcn_tf.images.raster import is_other_tiff, raster_header, raster_image

WINDOWS_PIXELS = 4_000_000  # a larger TIFF is read slice by slice
# What Pillow raises for a file that it cannot read.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
# The keys of `Image.info` that `open_image` adds; PAGES only where there are several.
WHITE_IS_ZERO = "white_is_zero"
PAGES = "pages"
PHOTOMETRIC = 262  # the TIFF field that says what the values mean; 0 for white as 0

ImagePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Reading:
    """How the files of labelled images become pixels.

    Args:
        exif: "auto", "apply" or "ignore", as `data.exif`.
        value_range: the values that become 0 and 255 in images of more than 8 bits a channel; None
            where such images are refused.
        bands: as in `open_image`.
    """

    exif: Literal["auto", "apply", "ignore"] = "auto"
    value_range: ValueRange | None = None
    bands: Bands | None = None


class Header(NamedTuple):
    """What the header of an image file says.

    Args:
        stored_px: height and width of the stored pixels.
        orientation: the EXIF orientation, 1 to 8.
        mode: how the file holds its pixels, as `file_mode`.
    """

    stored_px: SizePx
    orientation: int
    mode: str


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
    path: ImagePath,
    max_pixels: int = MAX_PIXELS,
    value_range: ValueRange | None = None,
    clipped: list[Clipped] | None = None,
    contents: bytes | None = None,
    bands: Bands | None = None,
    windows_of_any_size: bool = False,
) -> Pixels:
    """Opens an image for prediction.

    A large TIFF is read slice by slice if the extra `maps` is installed.

    Args:
        path: of the file.
        max_pixels: the largest image that is read, in px. The limit protects against small
            files that unpack to more than the memory holds.
        value_range, clipped, contents, bands: as in `read_rgb`.
        windows_of_any_size: no limit for what is read slice by slice.

    Returns:
        `Pixels` (H, W, 3), as viewers show them.

    Raises:
        InputError: as in `read_rgb`.
    """
    path = Path(path)
    is_tiff = contents is None and path.suffix.lower() in (".tif", ".tiff")
    if is_tiff and importlib.util.find_spec("rasterio"):
        from fcn_tf.images.tiff import tiff_windows

        windows = tiff_windows(
            path,
            of_deep=value_range
            and functools.partial(
                scaled_to_8_bits, value_range=value_range, path=path, clipped=clipped
            ),
            bands=bands,
        )
        pixels = windows.shape[0] * windows.shape[1] if windows else 0
        if windows and pixels > WINDOWS_PIXELS and (windows_of_any_size or pixels <= max_pixels):
            header = read_header(path, max_pixels=max_pixels)
            if header.orientation == 1 and not is_premultiplied(header.mode):
                return windows
    return read_rgb(
        path, max_pixels, contents, value_range=value_range, clipped=clipped, bands=bands
    )


def read_rgb(
    path: ImagePath,
    max_pixels: int | None = None,
    contents: bytes | None = None,
    *,
    value_range: ValueRange | None = None,
    clipped: list[Clipped] | None = None,
    as_stored: bool = False,
    bands: Bands | None = None,
) -> NDArray[np.uint8]:
    """Reads an image file.

    Args:
        path: of the file.
        max_pixels, contents: as in `open_image`.
        value_range: of an image of more than 8 bits a channel, the values that become 0 and 255.
        clipped: takes the image if it has values outside of `value_range`.
        as_stored: leaves the EXIF orientation aside.
        bands: as in `open_image`.

    Returns:
        uint8 (H, W, 3), RGB, as viewers show them.

    Raises:
        InputError: the file cannot be read or is too large, or it has more than 8 bits a channel
            and there is no `value_range`.

    Example:
        >>> read_rgb("street.jpg").shape
        (360, 480, 3)
    """
    image = open_image(path, max_pixels, contents, bands)
    rgb = to_rgb(image, path, value_range, contents=contents, clipped=clipped)
    return np.asarray(rgb if as_stored else turn(rgb, file_orientation(image)))


def to_rgb(
    image: Image.Image,
    path: ImagePath,
    value_range: ValueRange | None = None,
    *,
    contents: bytes | None = None,
    clipped: list[Clipped] | None = None,
) -> Image.Image:
    """Converts a Pillow image to 8-bit RGB; its EXIF orientation is left aside.

    Args:
        image: any Pillow image.
        path: of the image's file, for messages, and for values that Pillow cuts off.
        value_range, contents, clipped: as in `read_rgb`.

    Raises:
        InputError: the image has more than 8 bits a channel and there is no `value_range`, or
            Pillow does not convert its colours.
    """
    if not is_deep(image):
        try:
            return image.convert("RGB")
        except ValueError as error:
            raise InputError(
                f"{path}: its colours ({file_mode(image)}) cannot be converted; save it as RGB."
            ) from error
    mode, is_inverted = file_mode(image), image.info.get(WHITE_IS_ZERO, False)

    def read_file() -> bytes:
        with _readable(path):
            return Path(path).read_bytes() if contents is None else contents

    # Other modes have lost bits, which are in the file alone.
    is_in_memory = image.mode.startswith(("I", "F"))
    is_wanted = not is_inverted and (is_in_memory or value_range is not None)
    values = deep_values(image, mode, read_file) if is_wanted else None
    if value_range is None:
        raise InputError(
            f"{path}: it has more than 8 bits a channel ({mode}); networks take 8: save it with 8 "
            "bits, or train with --data.value_range [LOW, HIGH], the values that become 0 and "
            f"255.{_extremes(values)}"
        )
    if values is None:
        raise InputError(
            f"{path}: values of this kind ({mode}) cannot be read with all their bits; save it as "
            "a PNG of 16 bits, or with 8 bits a channel."
        )
    return Image.fromarray(scaled_to_8_bits(values, value_range, path, clipped)).convert("RGB")


def _extremes(values: NDArray[Any] | None) -> str:
    """The lowest and the highest of an image's values, for a message."""
    if values is None or np.isnan(values).all():
        return ""
    return f" The values in this image lie between {np.nanmin(values):g} and {np.nanmax(values):g}."


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits a channel, in its file or as Pillow holds it."""
    # A letter for the order of bytes tells these from "BGR;16", which is 16 bits a pixel.
    in_file = re.search(r";(9|1[0-6]|32|64)[BLN]$", file_mode(image)) is not None
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


def file_orientation(image: Image.Image) -> int:
    """The EXIF orientation of the file of an image that `open_image` decoded; 1 for any other."""
    return image.info.get(ORIENTATION, 1)


def open_image(
    path: ImagePath,
    max_pixels: int | None = None,
    contents: bytes | None = None,
    bands: Bands | None = None,
) -> Image.Image:
    """Decodes an image file, in the mode that it has; the pixels are as they are stored.

    `info` of the image holds its EXIF orientation and the mode of its file.

    Args:
        path: of the file.
        max_pixels: the largest image that is decoded, in px; None for Pillow's own limit.
        contents: the bytes of the file if they have been read already.
        bands: the numbers of the bands that are red, green and blue, from 1; None for those that
            the file says.

    Raises:
        InputError: the file cannot be read, or the image is larger, or it has other bands.
    """
    if bands is not None:
        return raster_image(path, contents, max_pixels, bands)
    try:
        return _open_by_pillow(path, max_pixels, contents)
    except InputError as error:
        if not is_other_tiff(path, contents, error):
            raise
        return raster_image(path, contents, max_pixels, reason=error)


def _open_by_pillow(path: ImagePath, max_pixels: int | None, contents: bytes | None) -> Image.Image:
    """As `open_image`, for what Pillow reads."""
    file = _file(path, contents)
    with (
        _readable(path),
        open_in_process(file, of_any_size=max_pixels is not None) as image,
    ):
        width_px, height_px = image.size
        if max_pixels is None or width_px * height_px <= max_pixels:
            mode, orientation = _mode_before_decoding(file, image), orientation_of(image)
            is_turned = image.format == "TIFF"  # by Pillow, and by it alone
            if is_turned and orientation in TRANSPOSED and contents is None:
                # Pillow would map the file into memory with its sides exchanged.
                return _open_by_pillow(path, max_pixels, Path(path).read_bytes())
            white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0
            is_paged = getattr(image, "is_animated", False)
            pages = pages_of(_file(path, contents)) if is_paged else 1
            image.load()
            stored = turn_back(image, orientation) if is_turned else image
            stored.info |= {FILE_MODE: mode, ORIENTATION: orientation}
            stored.info |= {WHITE_IS_ZERO: True} if white_is_zero else {}
            stored.info |= {PAGES: pages} if pages > 1 else {}
            return stored
    raise InputError(
        f"{path}: {height_px}x{width_px} px (height x width) are more than {max_pixels}; "
        "--max_pixels allows more."
    )


def read_header(
    path: ImagePath, contents: bytes | None = None, max_pixels: int | None = None
) -> Header:
    """Reads the header of an image file.

    Args:
        path, contents, max_pixels: as in `open_image`.

    Raises:
        InputError: the header cannot be read.
    """
    try:
        return _header_by_pillow(path, contents, max_pixels)
    except InputError as error:
        if not is_other_tiff(path, contents, error):
            raise
        return Header(*raster_header(path, contents, reason=error))


def _header_by_pillow(path: ImagePath, contents: bytes | None, max_pixels: int | None) -> Header:
    """As `read_header`, for what Pillow reads."""
    file = _file(path, contents)
    with (
        _readable(path),
        open_in_process(file, of_any_size=max_pixels is not None) as image,
    ):
        mode, orientation = _mode_before_decoding(file, image), orientation_of(image)
        size_px = image.height, image.width
        # Pillow gives a TIFF the size that it has when it is turned.
        stored_px = shown_size(size_px, orientation) if image.format == "TIFF" else size_px
        return Header(stored_px, orientation, mode)


def _mode_before_decoding(file: ImagePath | io.BytesIO, image: Image.Image) -> str:
    """How a file holds its pixels, with the bits that Pillow would cut off."""
    bits = lost_bits(file, image)
    # Pillow's mode of a deep PGM is I, as of a deep TIFF, but it stretches the values.
    mode = "L" if image.mode == "I" else image.mode
    return file_mode(image) if bits == 8 else f"{mode};{bits}N"


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
