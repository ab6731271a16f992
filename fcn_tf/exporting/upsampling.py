"""Transposed convolutions for maps of any size: a convolution whose channels become pixels.

TFLite's transposed convolution is told the size of its result. For a map of any size that is
worked out at run time, and a graph in which one size is, runs up to 15 times slower. A convolution
and `depth_to_space` find their sizes by themselves.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.models.layers import EdgeCell, bilinear_kernel

Tensor = Any  # a symbolic tensor: Keras has no types


def transposed(scores: Tensor, kernel: NDArray[np.float32], factor: int) -> Tensor:
    """What a transposed convolution without padding gives.

    Row y * factor + r of the result adds up scores[y - j] * kernel[j * factor + r] over j.

    Args:
        scores: (N, h, w, C).
        kernel: (k, k, D, C), as a `keras.layers.Conv2DTranspose` has it.
        factor: its stride, at least 2.

    Returns:
        (N, (h - 1) * factor + k, (w - 1) * factor + k, D).
    """
    side, _, channels_out, channels_in = kernel.shape
    cells = -(-side // factor)  # of the scores, that a pixel is made of, along each axis
    beyond = cells * factor - side
    whole = np.pad(kernel, ((0, beyond), (0, beyond), (0, 0), (0, 0)))
    whole = whole.reshape((cells, factor, cells, factor, channels_out, channels_in))
    # The convolution begins with the last j. (j, i, C, r, c, D), then r, c and D as one.
    whole = np.transpose(whole[::-1, :, ::-1], (0, 2, 5, 1, 3, 4))
    whole = whole.reshape((cells, cells, channels_in, factor * factor * channels_out))
    convolution = keras.layers.Conv2D(
        whole.shape[-1], cells, use_bias=False, kernel_initializer="zeros", dtype="float32"
    )
    convolution.build((None, None, None, channels_in))
    convolution.kernel.assign(whole)
    result = convolution(keras.layers.ZeroPadding2D(cells - 1, dtype="float32")(scores))
    result = DepthToSpace(factor, dtype="float32")(result)
    return keras.layers.Cropping2D(((0, beyond), (0, beyond)))(result) if beyond else result


def enlarged(scores: Tensor, factor: int) -> Tensor:
    """Bilinear resizing by a whole, even factor; both maps cover the same area.

    Args:
        scores: (N, h, w, C).
        factor: of the sides.
    """
    edged = EdgeCell(dtype="float32")(scores)
    kernel = bilinear_kernel(2 * factor, scores.shape[-1])
    # The repeated cell, and half of a cell on each side.
    cut_px = factor + factor // 2
    cut = (cut_px, cut_px)
    return keras.layers.Cropping2D((cut, cut))(transposed(edged, kernel, factor))


class DepthToSpace(keras.layers.Layer):
    """(N, H, W, factor * factor * C) to (N, factor * H, factor * W, C).

    Args:
        factor: at least 2.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, maps: Tensor) -> Tensor:
        return tf.nn.depth_to_space(maps, self.factor)
