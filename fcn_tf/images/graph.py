"""Images in TensorFlow graphs: the pixels that `read` says, decoded faster, as they are stored.

TensorFlow decodes the files whose pixels are the same either way. All others go to Pillow,
which also refuses what the rules refuse. Of a JPEG no more is decoded than the window that is
asked for. `orientation_graph` turns images by their EXIF orientation.

Contents and names are scalar strings. A window is (start, size), both int32 (2,): row and
column, height and width. None stands for the whole image.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.images.depth import Bands, ValueRange
from fcn_tf.images.read import read_header, read_rgb

Tensor = Any  # a tf.Tensor, or what tf.convert_to_tensor takes; TensorFlow has no types
Window = tuple[Tensor, Tensor]

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PN"
# Places in a PNG, as (start, length): width and height (big-endian), and bit depth.
PNG_SIZE = (16, 8)
PNG_DEPTH = (24, 1)
DEPTH_16_BIT = b"\x10"
# The method of Pillow, and of most other programs; TensorFlow's own choice is a faster one, which
# is up to 8 grey levels off.
EXACT = "INTEGER_ACCURATE"
CMYK_CHANNELS = 4
# A JPEG's colours are interpolated from 2 px around. A window is decoded with more than that.
JPEG_MARGIN_PX = 4


def image_size(contents: Tensor, name: Tensor = "the image") -> Tensor:
    """Height and width of the stored pixels, from the header of an image, int32 (2,).

    Args:
        contents: the bytes of the file.
        name: of the file, for messages.
    """
    return tf.case(
        [
            (starts_with(contents, JPEG), lambda: tf.io.extract_jpeg_shape(contents)[:2]),
            (starts_with(contents, PNG), lambda: png_size(contents)),
        ],
        default=lambda: header_by_pillow(contents, name)[:2],
    )


def header_by_pillow(contents: Tensor, name: Tensor) -> Tensor:
    """Height and width of the stored pixels and EXIF orientation, int32 (3,), by `read_header`.

    Args:
        contents, name: as in `image_size`.
    """

    def read(*given: Any) -> NDArray[np.int32]:
        header = read_header(*name_and_bytes(*given))
        return np.array([*header.stored_px, header.orientation], np.int32)

    header = tf.numpy_function(read, (name, contents), tf.int32, stateful=False)
    return tf.ensure_shape(header, (3,))


def png_size(contents: Tensor) -> Tensor:
    """Height and width from the header of a PNG, int32 (2,); below 0 where they overflow."""
    header = tf.io.decode_raw(tf.strings.substr(contents, *PNG_SIZE), tf.int32, False)
    return tf.ensure_shape(tf.reverse(header, [0]), (2,))


def is_deep_png(contents: Tensor) -> Tensor:
    """Whether a PNG has 16 bits a channel."""
    return tf.strings.substr(contents, *PNG_DEPTH) == DEPTH_16_BIT


def decode_image(
    contents: Tensor,
    window: Window | None = None,
    name: Tensor = "the image",
    value_range: ValueRange | None = None,
    bands: Bands | None = None,
) -> Tensor:
    """The stored pixels of an image, uint8 (h, w, 3) RGB: an EXIF orientation is left aside.

    Args:
        contents: the bytes of the file.
        window: the part that is wanted.
        name: of the file, for messages.
        value_range, bands: as in `read_rgb`.
    """

    def of_jpeg() -> Tensor:
        shape = tf.io.extract_jpeg_shape(contents)
        return tf.cond(
            # TensorFlow makes other colours of CMYK.
            shape[2] == CMYK_CHANNELS,
            by_pillow,
            lambda: _decode_jpeg(contents, window, shape[:2]),
        )

    def of_png() -> Tensor:
        # TensorFlow would keep the high bytes of 16 bits; Pillow's way refuses or scales them.
        return tf.cond(
            is_deep_png(contents),
            by_pillow,
            lambda: cut(tf.io.decode_png(contents, channels=3), window),
        )

    def by_pillow() -> Tensor:
        def read(*given: Any) -> NDArray[np.uint8]:
            path, encoded = name_and_bytes(*given)
            return read_rgb(
                path, contents=encoded, value_range=value_range, as_stored=True, bands=bands
            )

        return cut(from_python(read, (name, contents), channels=3), window)

    if bands is not None:
        return by_pillow()  # and by rasterio
    pixels = tf.case(
        [(starts_with(contents, JPEG), of_jpeg), (starts_with(contents, PNG), of_png)],
        default=by_pillow,
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def _decode_jpeg(contents: Tensor, window: Window | None, size_px: Tensor) -> Tensor:
    """The pixels of a grey or colour JPEG; those of a window are equal to those of the whole."""
    if window is None:
        return tf.io.decode_jpeg(contents, channels=3, dct_method=EXACT)
    start, size = window
    first = tf.maximum(start - JPEG_MARGIN_PX, 0)
    end = tf.minimum(start + size + JPEG_MARGIN_PX, size_px)
    larger = tf.io.decode_and_crop_jpeg(
        contents, tf.concat([first, end - first], 0), channels=3, dct_method=EXACT
    )
    return cut(larger, (start - first, size))


def from_python(
    read: Callable[..., NDArray[np.uint8]], inputs: tuple[Tensor, ...], channels: int
) -> Tensor:
    """Pixels, uint8 (H, W, channels), that a Python function reads while the graph runs.

    Args:
        read: a function of the values of the inputs, which gives the pixels.
        inputs: tensors.
        channels: the number of channels.
    """
    pixels = tf.numpy_function(read, inputs, tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, (None, None, channels))


def as_bytes(value: Any) -> bytes:
    """The bytes of a string that TensorFlow hands to a Python function."""
    # They are bytes in a graph, and an array without axes when run eagerly.
    return np.asarray(value, object).item()


def cut(pixels: Tensor, window: Window | None) -> Tensor:
    """A window of (H, W, C)."""
    if window is None:
        return pixels
    start, size = window
    return tf.slice(pixels, tf.concat([start, [0]], 0), tf.concat([size, [-1]], 0))


def starts_with(contents: Tensor, magic: bytes) -> Tensor:
    """Whether contents begin with these bytes."""
    return tf.strings.substr(contents, 0, len(magic)) == magic


def name_and_bytes(name: Any, contents: Any) -> tuple[str, bytes]:
    """A file's name and its contents, as TensorFlow hands them to a Python function."""
    return os.fsdecode(as_bytes(name)), as_bytes(contents)
