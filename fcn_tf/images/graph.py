"""Images in TensorFlow graphs: the pixels that `read` says, decoded faster.

TensorFlow decodes the files whose pixels are the same either way. All others go to Pillow,
which also refuses what the rules refuse. A JPEG may differ from Pillow's by a few grey
levels, and no more of it is decoded than the window that is asked for.

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

from fcn_tf.images.read import read_rgb, read_size_px

Tensor = Any  # a tf.Tensor, or what tf.convert_to_tensor takes; TensorFlow has no types
Window = tuple[Tensor, Tensor]

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PN"
# Places in a PNG, as (start, length): width and height (big-endian), and bit depth.
PNG_SIZE = (16, 8)
PNG_DEPTH = (24, 1)
DEPTH_16_BIT = b"\x10"


def image_size(contents: Tensor, name: Tensor = "the image") -> Tensor:
    """Height and width from the header of an image, int32 (2,).

    Args:
        contents: the bytes of the file.
        name: of the file, for messages.
    """

    def by_pillow() -> Tensor:
        size = tf.numpy_function(
            lambda *given: np.array(read_size_px(*name_and_bytes(*given)), np.int32),
            (name, contents),
            tf.int32,
        )
        return tf.ensure_shape(size, (2,))

    return tf.case(
        [
            (starts_with(contents, JPEG), lambda: tf.io.extract_jpeg_shape(contents)[:2]),
            (starts_with(contents, PNG), lambda: png_size(contents)),
        ],
        default=by_pillow,
    )


def png_size(contents: Tensor) -> Tensor:
    """Height and width from the header of a PNG, int32 (2,); below 0 where they overflow."""
    header = tf.io.decode_raw(tf.strings.substr(contents, *PNG_SIZE), tf.int32, False)
    return tf.ensure_shape(tf.reverse(header, [0]), (2,))


def decode_image(
    contents: Tensor, window: Window | None = None, name: Tensor = "the image"
) -> Tensor:
    """The pixels of an image, uint8 (h, w, 3) RGB, as `read_rgb` gives them.

    Args:
        contents: the bytes of the file.
        window: the part that is wanted.
        name: of the file, for messages.
    """

    def of_jpeg() -> Tensor:
        if window is None:
            return tf.io.decode_jpeg(contents, channels=3)
        return tf.io.decode_and_crop_jpeg(contents, tf.concat(window, 0), channels=3)

    def of_png() -> Tensor:
        # TensorFlow would keep the high bytes of 16 bits; Pillow's way refuses them.
        is_deep = tf.strings.substr(contents, *PNG_DEPTH) == DEPTH_16_BIT
        return tf.cond(
            is_deep, by_pillow, lambda: cut(tf.io.decode_png(contents, channels=3), window)
        )

    def by_pillow() -> Tensor:
        def read(*given: Any) -> NDArray[np.uint8]:
            path, encoded = name_and_bytes(*given)
            return read_rgb(path, contents=encoded)

        return cut(from_python(read, (name, contents), channels=3), window)

    pixels = tf.case(
        [(starts_with(contents, JPEG), of_jpeg), (starts_with(contents, PNG), of_png)],
        default=by_pillow,
    )
    return tf.ensure_shape(pixels, (None, None, 3))


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
    return pixels[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]


def starts_with(contents: Tensor, magic: bytes) -> Tensor:
    """Whether contents begin with these bytes."""
    return tf.strings.substr(contents, 0, len(magic)) == magic


def name_and_bytes(name: Any, contents: Any) -> tuple[str, bytes]:
    """A file's name and its contents, as TensorFlow hands them to a Python function."""
    return os.fsdecode(as_bytes(name)), as_bytes(contents)
