"""An encoded image inside a SavedModel: its pixels, or the reason why it has none.

TensorFlow's decoders fail a whole call, and with it the requests of others that a server joined. A
`tf.data` pipeline of one element drops the element instead: `Dataset.ignore_errors`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fcn_tf.images.graph import (
    CMYK_CHANNELS,
    EXACT,
    JPEG,
    PNG,
    is_deep_png,
    png_size,
    starts_with,
)

Tensor = Any  # a tf.Tensor: TensorFlow has no types

NEITHER = "image_bytes holds neither a JPEG nor a PNG."
CMYK = "image_bytes holds a JPEG in CMYK: send it as RGB."
DEEP = "image_bytes holds a PNG of 16 bits a channel: send it with 8 bits."
BROKEN = "image_bytes holds a JPEG or PNG that cannot be decoded: it is cut off or damaged."


def pixels_or_reason(contents: Tensor, max_pixels: int) -> tuple[Tensor, Tensor]:
    """Decodes an image; one that is refused or broken fails nothing.

    Args:
        contents: the bytes of a file, a scalar string.
        max_pixels: of the largest image that is decoded. The size is read from the header, before
            any memory is taken for pixels.

    Returns:
        uint8 (H, W, 3), RGB, as it is stored, and an empty string; or no pixels, (0, 0, 3), and
        the reason, a scalar string.
    """
    none = tf.zeros((0, 0, 3), tf.uint8)

    def decoded(contents: Tensor) -> tuple[Tensor, Tensor]:
        reason = _refusal(contents, max_pixels)
        pixels = tf.cond(reason == "", lambda: _decoded(contents), lambda: none)
        return tf.ensure_shape(pixels, (None, None, 3)), reason

    found = tf.data.Dataset.from_tensors(contents).map(decoded).ignore_errors()
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    # Nothing comes out where the decoder fails: then this follows.
    broken = tf.data.Dataset.from_tensors((none, tf.constant(BROKEN)))
    return found.concatenate(broken).take(1).with_options(options).get_single_element()


def _refusal(contents: Tensor, max_pixels: int) -> Tensor:
    """Why an image is not decoded, by its header, a scalar string; empty where it is."""
    is_jpeg, is_png = starts_with(contents, JPEG), starts_with(contents, PNG)
    size, is_cmyk, is_deep = tf.case(
        [(is_jpeg, lambda: _jpeg_header(contents)), (is_png, lambda: _png_header(contents))],
        default=lambda: (tf.zeros(2, tf.int32), tf.constant(False), tf.constant(False)),
    )
    is_within = tf.reduce_all(size > 0) & (tf.reduce_prod(tf.cast(size, tf.int64)) <= max_pixels)
    height, width = tf.unstack(tf.strings.as_string(size))
    outside = [
        *("image_bytes holds an image of ", height, "x", width, " px (height x width); "),
        f"it must have between 1 and {max_pixels} pixels (max_pixels of the export).",
    ]
    return tf.case(
        [
            (~(is_jpeg | is_png), lambda: tf.constant(NEITHER)),
            (is_cmyk, lambda: tf.constant(CMYK)),
            (is_deep, lambda: tf.constant(DEEP)),
            (~is_within, lambda: tf.strings.join(outside)),
        ],
        default=lambda: tf.constant(""),
    )


def _decoded(contents: Tensor) -> Tensor:
    """uint8 (H, W, 3) of a JPEG or a PNG."""
    return tf.cond(
        starts_with(contents, JPEG),
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method=EXACT),
        lambda: tf.io.decode_png(contents, channels=3),
    )


def _jpeg_header(contents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Height and width, whether it is CMYK, and whether it has more than 8 bits a channel."""
    shape = tf.io.extract_jpeg_shape(contents)
    return shape[:2], shape[2] == CMYK_CHANNELS, tf.constant(False)


def _png_header(contents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of a PNG."""
    return png_size(contents), tf.constant(False), is_deep_png(contents)
