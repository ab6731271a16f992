"""The EXIF orientation in TensorFlow graphs: images as viewers show them.

Plain files of JPEG and PNG are recognised here; of all others Pillow reads the orientation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fcn_tf.images.graph import (
    JPEG,
    PNG,
    Tensor,
    Window,
    decode_image,
    header_by_pillow,
    image_size,
    starts_with,
)
from fcn_tf.images.orientation import COLUMNS_REVERSED, ROWS_REVERSED, TRANSPOSED
from fcn_tf.images.read import Reading

# What stands before EXIF in JPEG and in PNG (as a chunk, or as text), and in the XMP of both; and
# how many bytes are searched for it at the beginning and, in a PNG, at the end.
EXIF_SIGNS = r"\C*(?:Exif|eXIf|Raw profile type|adobe)\C*"
SEARCHED_BYTES = 1 << 16
# How most JPEGs without EXIF begin: JFIF's header, of which 9 bytes vary, and a table.
PLAIN_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 9 + b"\xff\xdb"
PLAIN_JPEG_MASK = b"\xff" * 11 + b"\x00" * 9 + b"\xff\xff"


class Turn(NamedTuple):
    """How an image is turned.

    Args:
        stored_px: height and width of the stored pixels, int32 (2,).
        shown_px: those of the turned image, int32 (2,).
        orientation: what turns it, 1 to 8, an int32 scalar.
    """

    stored_px: Tensor
    shown_px: Tensor
    orientation: Tensor


def image_turn(
    contents: Tensor,
    name: Tensor = "the image",
    exif: str = "apply",
    mask_px: Callable[[], Tensor] | None = None,
) -> Turn:
    """How an image is turned, as `fcn_tf.images.orientation.chosen_orientation` says.

    Args:
        contents: the bytes of the file.
        name: of the file, for messages.
        exif: what `data.exif` says: "auto", "apply" or "ignore".
        mask_px: for "auto", gives the size of the image's mask, int32 (2,); called where it is
            needed.
    """

    def of_plain_jpeg() -> Turn:
        return _unturned(tf.io.extract_jpeg_shape(contents)[:2])

    def of_plain_file() -> Turn:
        return _unturned(image_size(contents, name))

    def of_others() -> Turn:
        header = header_by_pillow(contents, name)
        stored_px, orientation = header[:2], header[2]
        if exif == "ignore":
            return _unturned(stored_px)
        shown_px = _swapped_if(_is_one_of(orientation, TRANSPOSED), stored_px)
        if exif == "auto" and mask_px is not None:
            own_px = mask_px()
            fits_stored = tf.reduce_all(own_px == stored_px)
            fits_shown = tf.reduce_all(own_px == shown_px)
            orientation = tf.where(fits_stored & ~fits_shown, 1, orientation)
            shown_px = tf.where(orientation == 1, stored_px, shown_px)
        return Turn(stored_px, shown_px, orientation)

    def of_no_plain_jpeg() -> Turn:
        return tf.cond(_may_have_exif(contents), of_others, of_plain_file)

    return tf.cond(_is_plain_jpeg(contents), of_plain_jpeg, of_no_plain_jpeg)


def decode_turned(
    contents: Tensor,
    turn: Turn,
    window: Window | None = None,
    name: Tensor = "the image",
    reading: Reading = Reading(),  # noqa: B008 (it cannot be changed)
) -> Tensor:
    """The pixels of an image, uint8 (h, w, 3) RGB, as `read_rgb` gives them.

    Args:
        contents: the bytes of the file.
        turn: how the image is turned.
        window: the part that is wanted, of the turned image.
        name: of the file, for messages.
        reading: how the image becomes pixels; its `exif` is in `turn`.
    """

    values_of = reading.value_range, reading.bands

    def turned() -> Tensor:
        stored = None if window is None else _stored_window(window, turn)
        return _turned(decode_image(contents, stored, name, *values_of), turn.orientation)

    def unturned() -> Tensor:
        return decode_image(contents, window, name, *values_of)

    return tf.ensure_shape(tf.cond(turn.orientation == 1, unturned, turned), (None, None, 3))


def _unturned(stored_px: Tensor) -> Turn:
    return Turn(stored_px, stored_px, tf.constant(1))


def _stored_window(window: Window, turn: Turn) -> Window:
    """Where the pixels of a window of the turned image are stored."""
    start, size = (tf.convert_to_tensor(part, tf.int32) for part in window)
    reversals = (ROWS_REVERSED, COLUMNS_REVERSED)
    is_reversed = tf.stack([_is_one_of(turn.orientation, some) for some in reversals])
    start = tf.where(is_reversed, turn.shown_px - start - size, start)
    is_transposed = _is_one_of(turn.orientation, TRANSPOSED)
    return _swapped_if(is_transposed, start), _swapped_if(is_transposed, size)


def _turned(pixels: Tensor, orientation: Tensor) -> Tensor:
    """`fcn_tf.images.orientation.turn` of (H, W, C)."""
    steps: list[tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = [
        (TRANSPOSED, lambda stored: tf.transpose(stored, [1, 0, 2])),
        (ROWS_REVERSED, lambda stored: stored[::-1]),
        (COLUMNS_REVERSED, lambda stored: stored[:, ::-1]),
    ]
    for orientations, change in steps:
        pixels = tf.cond(
            _is_one_of(orientation, orientations),
            lambda change=change, before=pixels: change(before),
            lambda before=pixels: before,
        )
    return pixels


def _is_one_of(orientation: Tensor, some: tuple[int, ...]) -> Tensor:
    return tf.reduce_any(tf.equal(orientation, tf.constant(some)))


def _swapped_if(condition: Tensor, pair: Tensor) -> Tensor:
    return tf.where(condition, pair[::-1], pair)


def _is_plain_jpeg(contents: Tensor) -> Tensor:
    """Whether a JPEG begins with JFIF's header and a table. EXIF would stand between them.

    This is much faster than a search, and most files that were saved by a program are so.
    """
    pattern, mask = (np.frombuffer(some, np.uint8) for some in (PLAIN_JPEG, PLAIN_JPEG_MASK))
    head = tf.strings.substr(contents, 0, len(pattern))
    values = tf.io.decode_raw(head, tf.uint8, fixed_length=len(pattern))  # a file may be shorter
    return tf.reduce_all(tf.bitwise.bitwise_and(values, mask) == pattern)


def _may_have_exif(contents: Tensor) -> Tensor:
    """Whether Pillow has to look for an orientation: not in JPEG and PNG without a sign of EXIF."""

    def has_sign(part: Tensor) -> Tensor:
        return tf.strings.regex_full_match(part, EXIF_SIGNS)

    is_jpeg, is_png = starts_with(contents, JPEG), starts_with(contents, PNG)
    start = tf.maximum(0, tf.strings.length(contents) - SEARCHED_BYTES)
    first = tf.strings.substr(contents, 0, SEARCHED_BYTES)
    last = tf.strings.substr(contents, start, SEARCHED_BYTES)
    return ~(is_jpeg | is_png) | has_sign(first) | (is_png & has_sign(last))
