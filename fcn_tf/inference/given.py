"""Whatever a caller gives as an image, opened."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from typing import Any

import numpy as np
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.depth import Bands, ValueRange
from fcn_tf.images.formats import pages_of
from fcn_tf.images.read import open_pixels, to_rgb

IMAGE_IS = (
    "an image is a path, the bytes of an image file, a file that is open for reading bytes, a "
    "Pillow image, or an array uint8 (height, width, 3), RGB; several images are a list of these."
)
IN_MEMORY = "The image"  # its name in messages


def opened(image: Any, value_range: ValueRange | None = None, bands: Bands | None = None) -> Any:
    """An image as an array, or as what is sliced like one.

    Args:
        image: uint8 (H, W, 3) RGB, a path, the bytes of an image file, an open file, a Pillow
            image, or anything with a shape (H, W, 3) and a dtype whose slices become such arrays.
        value_range: of images of more than 8 bits, as `data.value_range`; None refuses them.
        bands: of files, as `data.bands`; arrays and Pillow images have theirs.

    Raises:
        InputError: it is none of these, or the file cannot be read.
    """
    if isinstance(image, (str, os.PathLike)):
        return _read(image, value_range, bands)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _read(IN_MEMORY, value_range, bands, bytes(image))
    if isinstance(image, Image.Image):
        image = np.asarray(to_rgb(image, IN_MEMORY, value_range))
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or dtype is None:
        if not callable(getattr(image, "read", None)):
            raise InputError(f"{type(image).__name__} is no image: {IMAGE_IS}")
        return _read(IN_MEMORY, value_range, bands, _contents(image))
    # By its name: torch and TensorFlow have dtypes of their own.
    if not re.search(r"\buint8\b", str(dtype)) or len(shape) != 3 or shape[2] != 3:
        raise InputError(f"{dtype} {tuple(shape)} is no image: {IMAGE_IS}")
    if 0 in shape:
        raise InputError("An image has at least one pixel.")
    if not isinstance(image, np.ndarray):
        _check_slices(image)
    return image


def _read(
    path: str | os.PathLike[str],
    value_range: ValueRange | None,
    bands: Bands | None,
    contents: bytes | None = None,
) -> Any:
    """An image file, or its bytes, opened; a warning says where it holds more than one image."""
    pixels = open_pixels(path, value_range=value_range, contents=contents, bands=bands)
    pages = pages_of(path if contents is None else io.BytesIO(contents))
    if pages > 1:
        text = f"{path} has {pages} pages or frames, of which the first is predicted."
        warnings.warn(text, stacklevel=5)  # where the predictor is called
    return pixels


def _contents(file: Any) -> bytes:
    """What an open file holds, from its beginning."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a stream has no beginning
        file.seek(0)
    try:
        contents = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"The image's file cannot be read: {error}.") from error
    if not isinstance(contents, bytes):
        raise InputError('The image\'s file is open as text: open it as bytes, mode "rb".')
    return contents


def _check_slices(image: Any) -> None:
    """Refuses what NumPy cannot read, an array on another device for instance."""
    try:
        np.asarray(image[:1, :1])
    except Exception as error:  # every library raises its own
        raise InputError(f"NumPy cannot read the image: {' '.join(str(error).split())}") from error
