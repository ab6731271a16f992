"""Images of more than 8 bits a channel: which values become 0 and 255.

A value v becomes (v - low) * 255 / (high - low), rounded to the nearest integer, halves up. Values
below low become 0 and those above high 255; such values are counted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.errors import InputError

ValueRange = tuple[float, float]
Bands = Sequence[int]
PNG = b"\x89PNG\r\n\x1a\n"
FILE_MODE = "file_mode"  # the key of `Image.info` for how a file holds its pixels
BANDS = "bands"  # the key of `Image.info` for the bands of a file that are red, green and blue
ROWS_AT_ONCE = 64  # float64 values of the whole image would take eight times its memory


class Clipped(NamedTuple):
    """An image with values outside of a range.

    Args:
        path: of its file.
        share: of its values that are outside, 0 to 1.
    """

    path: str
    share: float


def scaled_to_8_bits(
    values: NDArray[Any], value_range: ValueRange, path: Any, clipped: list[Clipped] | None = None
) -> NDArray[np.uint8]:
    """The values of a deep image as 0 to 255.

    Args:
        values: integers or floats, (H, W) or (H, W, C).
        value_range: the values that become 0 and 255.
        path: of the image's file, for messages.
        clipped: takes the image if it has values outside of the range.

    Raises:
        InputError: a value is NaN.
    """
    if values.dtype.kind == "f" and (nan := int(np.isnan(values).sum())):
        raise InputError(
            f"{path}: {nan} of its {values.size} values are NaN (no number): give them a value, "
            "the lowest of data.value_range for example."
        )
    low, high = value_range
    outside = int(((values < low) | (values > high)).sum())
    if outside and clipped is not None:
        clipped.append(Clipped(str(path), outside / values.size))
    if values.dtype == np.uint16 and values.size > 1 << 16:
        return _scaled(np.arange(1 << 16), low, high)[values]
    result = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        result[rows] = _scaled(values[rows], low, high)
    return result


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    inside = np.clip(values.astype(np.float64), low, high)
    return np.floor((inside - low) * 255 / (high - low) + 0.5).astype(np.uint8)


def clipping_line(clipped: Sequence[Clipped], value_range: ValueRange | None) -> str | None:
    """One line about the images with values outside of a range; None where there are none."""
    if not clipped or value_range is None:
        return None
    most = max(clipped, key=lambda one: one.share)
    count = len({one.path for one in clipped})
    images = "1 image has" if count == 1 else f"{count} images have"
    return (
        f"data.value_range [{value_range[0]:g}, {value_range[1]:g}]: {images} values outside of "
        f"it, which are clipped; {Path(most.path).name} has the most, {100 * most.share:.2g} %."
    )


def deep_values(
    image: Image.Image, mode: str, read_file: Callable[[], bytes]
) -> NDArray[Any] | None:
    """The values of an image of more than 8 bits a channel, with all their bits.

    Args:
        image: decoded, with one channel, or with more channels whose lower bits are lost.
        mode: how its file holds the pixels, by `file_mode`.
        read_file: gives the contents of its file; called where they are needed.

    Returns:
        (H, W) or (H, W, 3), RGB; None where no library at hand keeps the bits.
    """
    if image.mode.startswith(("I", "F")):
        if mode.startswith("L"):  # a PGM, which Pillow stretches to 16 bits
            return None
        values = np.asarray(image)
        # Pillow has no mode for integers of 32 bits without a sign.
        return values.view(np.uint32) if mode == "I;32N" else values
    contents, bands = read_file(), image.info.get(BANDS)
    if contents.startswith(PNG) and bands is None:
        # Imported here: a client that sends no such file does without TensorFlow.
        import tensorflow as tf

        return tf.io.decode_png(contents, channels=3, dtype=tf.uint16).numpy()
    return None if is_premultiplied(mode) else _rgb_of_tiff(contents, bands)


def is_premultiplied(mode: str) -> bool:
    """Whether a file holds colours that are multiplied by its alpha, by its `file_mode`."""
    return "a" in mode


def _rgb_of_tiff(contents: bytes, bands: Sequence[int] | None) -> NDArray[Any] | None:
    try:
        from fcn_tf.images.tiff import tiff_windows
    except ImportError:
        return None
    windows = tiff_windows(io.BytesIO(contents), of_deep=np.asarray, bands=bands)
    return None if windows is None else windows[:, :]
