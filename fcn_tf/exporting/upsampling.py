"""Transposed convolutions by cheaper operations.

Of known sizes, one that interpolates bilinearly is TFLite's RESIZE_BILINEAR. That takes each
channel alone, where the convolution multiplies each by the kernels of all.

TFLite's transposed convolution is told the size of its result. For a map of any size that is
worked out at run time, and a graph in which one size is, runs up to 15 times slower. A convolution
and `depth_to_space` find their sizes by themselves.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from fcn_tf.models.layers import EdgeCell

Tensor = Any  # a symbolic tensor: Keras has no types
# So many channels at most are enlarged together: of the kernel's numbers all but every so many are
# 0. With more parts, 8-bit files lose more time in joining them than they gain.
AT_ONCE = 8


def window(
    scores: Tensor, side: int, factor: int, *, offset_px: int, size_px: tuple[int, int]
) -> Tensor:
    """A window of what a bilinear transposed convolution without padding gives.

    Args:
        scores: (N, h, w, C), h and w known.
        side: that of the kernel.
        factor: its stride, an even number.
        offset_px: number of rows cut at the top and of columns cut at the left.
        size_px: (height, width) of the window.

    Returns:
        (N, height, width, C).
    """
    # Row y has cells on both sides if factor - 1 <= y <= h * factor - 1, or one row later for an
    # even kernel, whose cells lie between rows.
    is_odd = side % 2
    last = [offset_px + length_px - 1 for length_px in size_px]
    beyond = any(y >= m * factor for y, m in zip(last, scores.shape[1:3], strict=True))
    if beyond or offset_px < factor - is_odd:
        # What lies outside counts as zero.
        scores = keras.layers.ZeroPadding2D(1, dtype="float32")(scores)
        offset_px += factor
    cells = scores.shape[1:3]
    resized_px = tuple((m - 1) * factor + 1 if is_odd else m * factor for m in cells)
    scores = Resized(resized_px, align_corners=bool(is_odd), dtype="float32")(scores)
    before = offset_px - (factor - 1 if is_odd else factor // 2)
    cuts = [
        (before, whole - before - kept) for whole, kept in zip(resized_px, size_px, strict=True)
    ]
    return keras.layers.Cropping2D(cuts, dtype="float32")(scores)


def transposed(
    scores: Tensor,
    kernel: NDArray[np.float32],
    factor: int,
    bias: NDArray[np.float32] | None = None,
) -> Tensor:
    """What a transposed convolution without padding gives.

    Row y * factor + r of the result adds up scores[y - j] * kernel[j * factor + r] over j.

    Args:
        scores: (N, h, w, C).
        kernel: (k, k, D, C), as a `keras.layers.Conv2DTranspose` has it.
        factor: its stride, at least 2.
        bias: (D,), or None.

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
    padded = keras.layers.ZeroPadding2D(cells - 1, dtype="float32")(scores) if cells > 1 else scores
    result = _convolved_to_pixels(padded, whole, factor, bias)
    return keras.layers.Cropping2D(((0, beyond), (0, beyond)))(result) if beyond else result


def enlarged(scores: Tensor, factor: int) -> Tensor:
    """Bilinear resizing by a whole factor; both maps cover the same area.

    Args:
        scores: (N, h, w, C).
        factor: of the sides, at least 2.
    """
    # The share of a cell, and of the cells before and behind it, in each of its pixels.
    places = (np.arange(factor) + 0.5) / factor - 0.5
    shares = np.stack([np.maximum(-places, 0), 1 - np.abs(places), np.maximum(places, 0)])
    shares = np.einsum("jr,ic->jirc", shares, shares)
    edged = EdgeCell(dtype="float32")(scores)
    parts = []
    channels = scores.shape[-1]
    count = -(-channels // AT_ONCE)
    ends = [channels * number // count for number in range(count + 1)]  # of parts as good as equal
    for pair in itertools.pairwise(ends):
        part = edged[..., slice(*pair)]
        one_by_one = np.eye(part.shape[-1])
        kernel = np.einsum("jirc,de->jidrce", shares, one_by_one)
        kernel = kernel.reshape((3, 3, part.shape[-1], -1))
        parts.append(_convolved_to_pixels(part, kernel, factor))
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def _convolved_to_pixels(
    maps: Tensor, kernel: NDArray[Any], factor: int, bias: NDArray[np.float32] | None = None
) -> Tensor:
    """A convolution without padding, whose channels (row, column, C) become pixels; bias (C,)."""
    convolution = keras.layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[0],
        use_bias=bias is not None,
        kernel_initializer="zeros",
        dtype="float32",
    )
    convolution.build((None, None, None, kernel.shape[2]))
    convolution.kernel.assign(kernel)
    if bias is not None:
        convolution.bias.assign(np.tile(bias, factor**2))
    return DepthToSpace(factor, dtype="float32")(convolution(maps))


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


class Resized(keras.layers.Layer):
    """(N, h, w, C) to (N, H, W, C), bilinear.

    Args:
        size_px: (H, W).
        align_corners: whether the centres of the outermost cells lie on the outermost pixels; if
            not, both maps cover the same area.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, size_px: tuple[int, ...], align_corners: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_px = size_px
        self.align_corners = align_corners

    def call(self, maps: Tensor) -> Tensor:
        return tf.raw_ops.ResizeBilinear(
            images=maps,
            size=self.size_px,
            align_corners=self.align_corners,
            half_pixel_centers=not self.align_corners,
        )
