"""The EXIF orientation in TensorFlow graphs: images as viewers show them.

Plain files of JPEG and PNG are recognised here; of all others Pillow reads the orientation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from fcn_tf.images.depth import ValueRange
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

# What stands before EXIF in JPEG and in PNG (as a chunk, or as text), and in the XMP of both; and
# how many bytes are searched for it at the beginning and, in a PNG, at the end.
EXIF_SIGNS = r"\C*(?:Exif|eXIf|Raw profile type|adobe)\C*"
SEARCHED_BYTES = 1 << 16


class GraphHeader(NamedTuple):
    """`fcn_tf.images.read.Header` in a graph: int32 (2,), and an int32 scalar."""

    stored_px: Tensor
    orientation: Tensor


def image_header(contents: Tensor, name: Tensor = "the image") -> GraphHeader:
    """Size and EXIF orientation of an image, as `read_header` gives them.

    Args:
        contents, name: as in `image_size`.
    """

    def without_exif() -> Tensor:
        return tf.concat([image_size(contents, name), [1]], 0)

    header = tf.cond(
        _may_have_exif(contents), lambda: header_by_pillow(contents, name), without_exif
    )
    return GraphHeader(header[:2], header[2])


def fitting_header(exif: str, header: GraphHeader, mask_px: Callable[[], Tensor]) -> GraphHeader:
    """How a labelled image is turned, as `fcn_tf.images.orientation.chosen_orientation` says.

    Args:
        exif: what `data.exif` says: "auto", "apply" or "ignore".
        header: of the image.
        mask_px: gives the size of the mask, int32 (2,); called where it is needed.
    """
    if exif == "apply":
        return header
    if exif == "ignore":
        return GraphHeader(header.stored_px, tf.constant(1))

    def chosen() -> Tensor:
        size_px = mask_px()
        fits_stored = tf.reduce_all(size_px == header.stored_px)
        fits_shown = tf.reduce_all(size_px == shown_px(header))
        return tf.where(fits_stored & ~fits_shown, 1, header.orientation)

    orientation = tf.cond(header.orientation == 1, lambda: header.orientation, chosen)
    return GraphHeader(header.stored_px, orientation)


def decode_turned(
    contents: Tensor,
    header: GraphHeader,
    window: Window | None = None,
    name: Tensor = "the image",
    value_range: ValueRange | None = None,
) -> Tensor:
    """The pixels of an image, uint8 (h, w, 3) RGB, as `read_rgb` gives them.

    Args:
        contents: the bytes of the file.
        header: the size of its stored pixels, and how they are turned.
        window: the part that is wanted, of the turned image.
        name: of the file, for messages.
        value_range: as in `read_rgb`.
    """
    if window is not None:
        window = _stored_window(window, header)
    pixels = decode_image(contents, window, name, value_range)
    turned = tf.cond(
        header.orientation == 1, lambda: pixels, lambda: _turn(pixels, header.orientation)
    )
    return tf.ensure_shape(turned, (None, None, 3))


def shown_px(header: GraphHeader) -> Tensor:
    """Height and width of an image as viewers show it, int32 (2,)."""
    return _swapped_if(_is_one_of(header.orientation, TRANSPOSED), header.stored_px)


def _stored_window(window: Window, header: GraphHeader) -> Window:
    """Where the pixels of a window of the turned image are stored."""
    start, size = (tf.convert_to_tensor(part, tf.int32) for part in window)
    reversals = (ROWS_REVERSED, COLUMNS_REVERSED)
    is_reversed = tf.stack([_is_one_of(header.orientation, some) for some in reversals])
    start = tf.where(is_reversed, shown_px(header) - start - size, start)
    is_transposed = _is_one_of(header.orientation, TRANSPOSED)
    return _swapped_if(is_transposed, start), _swapped_if(is_transposed, size)


def _turn(pixels: Tensor, orientation: Tensor) -> Tensor:
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


def _may_have_exif(contents: Tensor) -> Tensor:
    """Whether Pillow has to look for an orientation: not in plain files of JPEG and PNG."""

    def has_sign(part: Tensor) -> Tensor:
        return tf.strings.regex_full_match(part, EXIF_SIGNS)

    def of_png() -> Tensor:
        start = tf.maximum(0, tf.strings.length(contents) - SEARCHED_BYTES)
        return has_sign(first) | has_sign(tf.strings.substr(contents, start, SEARCHED_BYTES))

    first = tf.strings.substr(contents, 0, SEARCHED_BYTES)
    return tf.case(
        [
            (starts_with(contents, JPEG), lambda: has_sign(first)),
            (starts_with(contents, PNG), of_png),
        ],
        default=lambda: tf.constant(True),
    )
