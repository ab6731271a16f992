"""Joint augmentation of an image and its mask: scale, crop, rotation, flip, colour.

Every draw comes from a stateless generator keyed by the sample's seed, so a
sample is augmented the same way whatever thread works on it. The operations
run both in graph mode inside `tf.data` and eagerly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.config.schema import Flip
from fcn_tf.data.rotate import draw_turn
from fcn_tf.images.graph import Tensor, Window, cut

# Keys of draws that came later than the others, so that those stay what they were.
UPSIDE_DOWN, TURN = 3, 4


def augment(
    image: Tensor,
    mask: Tensor,
    seed: Tensor,
    *,
    crop_px: tuple[int, int] | None = None,
    scale_range: tuple[float, float] = (1.0, 1.0),
    flip: Flip = False,
    rotate_degrees: float = 0.0,
    color: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Draws one augmented view of a labelled image.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W, 1), class indices and VOID.
        seed: int (2,), the key of this sample's random numbers.
        crop_px: (height, width) of the result, filled up with the mean colour
            and VOID where the scaled image is smaller; None keeps the scaled size.
        scale_range: (low, high); the scale is drawn log-uniformly between them.
        flip: True or "horizontal" mirrors half of the draws left to right, "vertical" mirrors half
            of them top to bottom, "both" does one and the other.
        rotate_degrees: the crop is turned about its middle by an angle between this and its
            negative, and filled up where it leaves the image.
        color: in [0, 1); brightness, contrast and saturation are each
            multiplied by a number between 1 - color and 1 + color.

    Returns:
        image uint8 (h, w, 3) and mask uint8 (h, w, 1).
    """
    image, mask = tf.convert_to_tensor(image), tf.convert_to_tensor(mask)
    return augment_window(
        lambda window: (cut(image, window), cut(mask, window)),
        tf.shape(image)[:2],
        seed,
        crop_px=crop_px,
        scale_range=scale_range,
        flip=flip,
        rotate_degrees=rotate_degrees,
        color=color,
    )


def augment_window(
    read: Callable[[Window | None], tuple[Tensor, Tensor]],
    size: Tensor,
    seed: Tensor,
    *,
    crop_px: tuple[int, int] | None,
    scale_range: tuple[float, float],
    flip: Flip,
    rotate_degrees: float = 0.0,
    color: float,
) -> tuple[Tensor, Tensor]:
    """Does what `augment` does, but reads no more of the image than the crop needs.

    Args:
        read: a function of a window (start, size), or of None for the whole image. It gives
            image uint8 (h, w, 3) and mask uint8 (h, w, 1).
        size: int32 (2,), height and width of the image.
        seed, crop_px, scale_range, flip, rotate_degrees, color: as in `augment`. Colours vary
            about the mean of the whole image: with `color` all of it is read.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    crop, turn = draw_crop(size, seeds[0], crop_px, scale_range), None
    if rotate_degrees:
        turn = draw_turn(size, crop, tf.random.fold_in(seed, TURN), rotate_degrees)
    window = turn.window if turn else crop.window
    if color:
        image, mask = read(None)
        image = change_color(image, seeds[2], color)
        image, mask = cut(image, window), cut(mask, window)
    else:
        image, mask = read(window)
    across = flip in (True, "horizontal", "both")
    mirrored = tf.random.stateless_uniform((), seeds[1]) < (0.5 if across else 0.0)
    if turn:
        image, mask = turn.image(image), turn.mask(mask)
        image, mask = mirrored_along(1, mirrored, image, mask)
    else:
        image, mask = place_image(image, crop, mirrored), place_mask(mask, crop, mirrored)
    if flip in ("vertical", "both"):
        mirrored = tf.random.stateless_uniform((), tf.random.fold_in(seed, UPSIDE_DOWN)) < 0.5
        image, mask = mirrored_along(0, mirrored, image, mask)
    sides = crop_px or (None, None)
    return tf.ensure_shape(image, (*sides, 3)), tf.ensure_shape(mask, (*sides, 1))


class Crop(NamedTuple):
    """A part of an image, and its place in the result; each int32 (2,), rows and columns.

    Args:
        window: (start, size) of the part.
        scaled: the size to which it is scaled.
        before: the padding above and to the left.
        after: the padding below and to the right.
    """

    window: Window | None
    scaled: Tensor
    before: Tensor
    after: Tensor


def draw_crop(
    size: Tensor,
    seed: Tensor,
    crop_px: tuple[int, int] | None,
    scale_range: tuple[float, float],
) -> Crop:
    """Draws a scale and a place: which part of an image becomes which part of the result.

    The window is cut out of the source before it is scaled: the pixels that
    would be dropped are never computed.

    Args:
        size: int32 (2,), height and width of the image.
        seed, crop_px, scale_range: as in `augment`.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    low, high = (math.log(factor) for factor in scale_range)
    scale = tf.exp(tf.random.stateless_uniform((), seeds[0], low, high))
    whole = tf.maximum(1, to_int(to_float(size) * scale))
    target = whole if crop_px is None else tf.constant(crop_px)
    # Rounded up, so that a window within the image always fills the crop.
    window = tf.minimum(size, tf.cast(tf.math.ceil(to_float(target) / scale), tf.int32))
    scaled = tf.minimum(target, tf.maximum(1, to_int(to_float(window) * scale)))
    start = random_offset(size - window, seeds[1])
    before = random_offset(target - scaled, seeds[2])
    return Crop((start, window), scaled, before, target - scaled - before)


def place_image(image: Tensor, crop: Crop, mirrored: Tensor) -> Tensor:
    """Scales a window (h, w, 3) bilinearly, pads it with the mean colour and mirrors it."""
    image = tf.image.resize(image, crop.scaled)
    # Bilinear stays in 0..255: rounding is all it needs.
    image = tf.cast(image + 0.5, tf.uint8)
    # Each pass over the pixels costs time, and most crops need neither of these two.
    padded = tf.reduce_any(crop.before + crop.after > 0)
    image = tf.cond(padded, lambda: pad(image, crop.before, crop.after, MEAN_RGB), lambda: image)
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def place_mask(mask: Tensor, crop: Crop, mirrored: Tensor) -> Tensor:
    """Scales a window (h, w, 1) to the nearest label, pads it with VOID and mirrors it.

    All of this is one choice of rows and one of columns. On TensorFlow's processor kernels that
    is much faster than resizing one channel. Columns are chosen as rows of the transpose.
    """
    size = tf.shape(mask)[:2]
    outside = tf.pad(mask[..., 0], [[0, 1], [0, 1]], constant_values=VOID)

    def chosen(axis: int) -> Tensor:
        centers = to_float(tf.range(crop.scaled[axis])) + 0.5
        step = to_float(size[axis]) / to_float(crop.scaled[axis])
        inside = tf.cast(centers * step, tf.int32)
        before, after = (tf.fill([n[axis]], size[axis]) for n in (crop.before, crop.after))
        return tf.concat([before, inside, after], 0)

    columns = chosen(1)
    columns = tf.cond(mirrored, lambda: tf.reverse(columns, [0]), lambda: columns)
    rows_first = tf.gather(outside, chosen(0))
    return tf.transpose(tf.gather(tf.transpose(rows_first), columns))[..., None]


def mirrored_along(
    axis: int, mirrored: Tensor, image: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """An image and its mask, in reverse order along an axis where `mirrored` says so."""
    return tf.cond(
        mirrored,
        lambda: (tf.reverse(image, [axis]), tf.reverse(mask, [axis])),
        lambda: (image, mask),
    )


def pad(x: Tensor, before: Tensor, after: Tensor, fill: Sequence[int]) -> Tensor:
    """Pads (H, W, C) with the C values of `fill`; `before` and `after` are int (2,)."""
    values = tf.constant(fill, x.dtype)

    def block(height: Tensor, width: Tensor) -> Tensor:
        return tf.broadcast_to(values, tf.stack([height, width, len(fill)]))

    height, width = tf.unstack(tf.shape(x)[:2])
    x = tf.concat([block(height, before[1]), x, block(height, after[1])], 1)
    width += before[1] + after[1]
    return tf.concat([block(before[0], width), x, block(after[0], width)], 0)


def change_color(image: Tensor, seed: Tensor, strength: float) -> Tensor:
    """Multiplies brightness, contrast and saturation by factors in 1 ± strength.

    Args:
        image: uint8 (H, W, 3).
        seed: int (2,).
        strength: in [0, 1).

    Returns:
        uint8 (H, W, 3).
    """
    brightness, contrast, saturation = tf.unstack(
        tf.random.stateless_uniform((3,), seed, 1 - strength, 1 + strength)
    )
    x = to_float(image) * brightness
    mean = tf.reduce_mean(tf.image.rgb_to_grayscale(x))
    x = (x - mean) * contrast + mean
    gray = tf.image.rgb_to_grayscale(x)
    return to_uint8((x - gray) * saturation + gray)


def random_offset(room: Tensor, seed: Tensor) -> Tensor:
    """Two random integers, int32 (2,), each uniform in 0..room."""
    draw = tf.random.stateless_uniform((2,), seed)
    return tf.minimum(tf.cast(draw * to_float(room + 1), tf.int32), room)


def to_float(x: Tensor) -> Tensor:
    """float32."""
    return tf.cast(x, tf.float32)


def to_int(x: Tensor) -> Tensor:
    """Rounded, int32."""
    return tf.cast(tf.round(x), tf.int32)


def to_uint8(x: Tensor) -> Tensor:
    """Rounded and clipped to 0..255, uint8."""
    return tf.cast(tf.clip_by_value(tf.round(to_float(x)), 0, 255), tf.uint8)
