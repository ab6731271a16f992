"""Rotation of a crop: one sampling of the image scales, turns and places it.

Pixels from outside the crop turn into it. What lies outside the image is filled up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.images.graph import Tensor, Window

if TYPE_CHECKING:
    from fcn_tf.data.augment import Crop

# Pixels beyond the corners of what is sampled that interpolation may ask for.
MARGIN_PX = 2


class Turn(NamedTuple):
    """Where the pixels of a result lie in an image.

    Args:
        window: (start, size) of the part of the image that has to be read, int32 (2,) each.
        matrix: float32 (2, 2); row and column in that part for a step of a row or a column.
        origin: float32 (2,); row and column in that part of the result's first pixel.
        size: int32 (2,), height and width of the result.
    """

    window: Window
    matrix: Tensor
    origin: Tensor
    size: Tensor

    def image(self, pixels: Tensor) -> Tensor:
        """The result of an image's part (h, w, 3): bilinear, filled up with the mean colour."""
        mean = tf.constant(MEAN_RGB, tf.float32)
        sampled = self._sampled(tf.cast(pixels, tf.float32) - mean, "BILINEAR", fill=0.0)
        return tf.cast(sampled + mean + 0.5, tf.uint8)

    def mask(self, labels: Tensor) -> Tensor:
        """The result of a mask's part (h, w, 1): the nearest label, filled up with VOID."""
        return self._sampled(labels, "NEAREST", fill=float(VOID))

    def _sampled(self, pixels: Tensor, interpolation: str, fill: float) -> Tensor:
        (y_of_row, y_of_column), (x_of_row, x_of_column) = map(tf.unstack, tf.unstack(self.matrix))
        first_y, first_x = tf.unstack(self.origin)
        # TensorFlow has columns before rows: x of the part, then y, from x and y of the result.
        transform = [x_of_column, x_of_row, first_x, y_of_column, y_of_row, first_y, 0.0, 0.0]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels[None],
            transforms=tf.stack(transform)[None],
            output_shape=self.size,
            fill_value=fill,
            interpolation=interpolation,
            fill_mode="CONSTANT",
        )[0]


def draw_turn(size: Tensor, crop: Crop, seed: Tensor, degrees: float) -> Turn:
    """Draws an angle, and says where the pixels of a crop lie that is turned about its middle.

    Args:
        size: int32 (2,), height and width of the image.
        crop: the crop before it is turned.
        seed: int (2,), the key of the draw.
        degrees: the angle is drawn evenly between -degrees and degrees.
    """
    largest = math.radians(degrees)
    return turned(size, crop, tf.random.stateless_uniform((), seed, -largest, largest))


def turned(size: Tensor, crop: Crop, radians: Tensor) -> Turn:
    """As `draw_turn`, by a given angle, anticlockwise."""
    assert crop.window is not None
    places = *crop.window, crop.scaled, crop.before, crop.after
    start, window, scaled, before, after = (tf.cast(place, tf.float32) for place in places)
    cos, sin = tf.cos(radians), tf.sin(radians)
    # Of the scaled window: the place of a pixel's centre, less the middle, is turned.
    rotation = tf.stack([tf.stack([cos, sin]), tf.stack([-sin, cos])])
    factor = window / scaled
    matrix = factor[:, None] * rotation
    middle = scaled / 2

    def in_image(place: Tensor) -> Tensor:
        """A place (2,) of the scaled window, in pixels of the image."""
        return start + factor * (middle + tf.linalg.matvec(rotation, place - middle))

    ends = tf.unstack(-before), tf.unstack(scaled + after)
    corners = tf.stack([in_image(tf.stack([y, x])) for y, x in _corners(*ends)])
    first = tf.cast(tf.floor(tf.reduce_min(corners, 0)), tf.int32) - MARGIN_PX
    last = tf.cast(tf.math.ceil(tf.reduce_max(corners, 0)), tf.int32) + MARGIN_PX
    first, last = tf.maximum(first, 0), tf.minimum(last, size)
    # Centres lie half a pixel behind the edges from which places count.
    origin = in_image(0.5 - before) - 0.5 - tf.cast(first, tf.float32)
    result = crop.before + crop.scaled + crop.after
    return Turn((first, last - first), matrix, origin, result)


def _corners(first: list[Tensor], last: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    (top, left), (bottom, right) = first, last
    return [(top, left), (top, right), (bottom, left), (bottom, right)]
