"""Encoded images to pixels, of JPEG no more than the window that is asked for.

Contents are scalar strings, in graph mode. A window is (start, size), both int32 (2,),
row and column, height and width; None stands for the whole image.
"""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PN"
# Where a PNG has its width and height (big-endian), and its bit depth and colour type.
PNG_SIZE = (16, 8)
PNG_KIND = (24, 2)
GREY_8_BIT = b"\x08\x00"


def image_size(contents):
    """Height and width from the header, int32 (2,)."""

    def of_another():
        return tf.ensure_shape(tf.numpy_function(_size, (contents,), tf.int32), (2,))

    return tf.case(
        [
            (starts_with(contents, JPEG), lambda: tf.io.extract_jpeg_shape(contents)[:2]),
            (starts_with(contents, PNG), lambda: png_size(contents)),
        ],
        default=of_another,
    )


def png_size(contents):
    """Height and width from the header of a PNG, int32 (2,); below 0 where they overflow."""
    header = tf.io.decode_raw(tf.strings.substr(contents, *PNG_SIZE), tf.int32, False)
    return tf.ensure_shape(tf.reverse(header, [0]), (2,))


def decode_image(contents, window=None):
    """Pixels, uint8 (h, w, 3) RGB; alpha is dropped, EXIF left aside."""

    def of_jpeg():
        if window is None:
            return tf.io.decode_jpeg(contents, channels=3)
        return tf.io.decode_and_crop_jpeg(contents, tf.concat(window, 0), channels=3)

    def of_png():
        return cut(tf.io.decode_png(contents, channels=3), window)

    def of_another():
        pixels = tf.numpy_function(_pixels, (contents,), tf.uint8)
        return cut(tf.ensure_shape(pixels, (None, None, 3)), window)

    pixels = tf.case(
        [(starts_with(contents, JPEG), of_jpeg), (starts_with(contents, PNG), of_png)],
        default=of_another,
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def is_grey_png(contents):
    """Whether it is an 8-bit greyscale PNG, whose values TensorFlow gives as they are."""
    grey = tf.strings.substr(contents, *PNG_KIND) == GREY_8_BIT
    return tf.logical_and(starts_with(contents, PNG), grey)


def cut(pixels, window):
    """A window of (H, W, C)."""
    if window is None:
        return pixels
    start, size = window
    return pixels[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]


def starts_with(contents, magic):
    """Whether contents begin with these bytes."""
    return tf.strings.substr(contents, 0, len(magic)) == magic


def _open(contents):
    # Bytes in a graph, an array without axes eagerly.
    return Image.open(io.BytesIO(np.asarray(contents, object).item()))


def _size(contents):
    with _open(contents) as image:
        return np.array([image.height, image.width], np.int32)


def _pixels(contents):
    with _open(contents) as image:
        return np.asarray(image.convert("RGB"))
