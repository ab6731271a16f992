"""A transposed convolution that interpolates each channel alone, if its kernel is bilinear."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fcn_tf.models.layers import Tensor, bilinear_kernel

# At a factor of 2 the maps are so small that a look at the kernel takes what it would save.
LEAST_FACTOR = 4


def is_bilinear(kernel: NDArray[np.float32], factor: int) -> bool:
    """Whether a transposed convolution of these numbers interpolates each channel bilinearly.

    Args:
        kernel: (k, k, D, C), as a `keras.layers.Conv2DTranspose` has it.
        factor: its stride.
    """
    side, _, channels_out, channels_in = kernel.shape
    if side not in (2 * factor - 1, 2 * factor) or channels_out != channels_in:
        return False
    return np.array_equal(kernel, bilinear_kernel(side, channels_in))


@keras.saving.register_keras_serializable("fcn_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """A transposed convolution that interpolates where it can.

    It has the class name of Keras' own layer, because a `.keras` file finds weights by that
    name. A bilinear kernel that is not trained multiplies each channel by the zeros of all the
    others. Interpolation leaves them out, and gives the same results except for rounding.

    Attributes:
        bilinear: whether the kernel is bilinear, for those who looked and will not change it. By
            default None: each call looks at the numbers of the kernel, and what is not bilinear is
            computed as it stands.
    """

    bilinear: bool | None = None

    def call(self, inputs: Tensor) -> Tensor:
        as_it_stands = super().call
        if self.bilinear is False or not self._fits_interpolation(inputs.shape[-1]):
            return as_it_stands(inputs)
        side, factor = self.kernel_size[0], self.strides[0]
        if self.bilinear:
            return interpolated(inputs, side, factor)
        return ops.cond(
            self._looks_bilinear(),
            lambda: interpolated(inputs, side, factor),
            lambda: as_it_stands(inputs),
        )

    def _fits_interpolation(self, channels: int) -> bool:
        side, factor = self.kernel_size[0], self.strides[0]
        is_square = self.kernel_size == (side, side) and self.strides == (factor, factor)
        is_plain = self.padding == "valid" and not self.use_bias and self.dilation_rate == (1, 1)
        is_wide_enough = factor >= LEAST_FACTOR and side in (2 * factor - 1, 2 * factor)
        is_fixed = not self.trainable and self.compute_dtype == "float32"
        return is_square and is_plain and is_wide_enough and is_fixed and channels == self.filters

    def _looks_bilinear(self) -> Tensor:
        one = bilinear_kernel(self.kernel_size[0], 1)
        expected = ops.multiply(one, ops.eye(self.filters))
        return ops.all(ops.equal(self.kernel, expected))


def interpolated(scores: Tensor, side: int, factor: int) -> Tensor:
    """What a transposed convolution without padding gives, whose kernel is bilinear.

    The map is interpolated along the width and then, as whole rows, along the height: each time
    a product with a matrix of two columns. The gradient is the same backwards.

    Args:
        scores: float32 (N, h, w, C).
        side: that of the kernel, 2 * factor or 2 * factor - 1.
        factor: its stride.

    Returns:
        (N, (h - 1) * factor + side, (w - 1) * factor + side, C).
    """
    axis = np.zeros(2 * factor, np.float32)
    axis[:side] = 1 - np.abs(np.arange(side) - (side - 1) / 2) / factor
    # The share that the cell before and the cell itself have in each of its pixels: an array of
    # NumPy, because JAX takes no tensor from outside into a gradient under `ops.cond`.
    shares = np.stack([axis[factor:], axis[:factor]], axis=1)  # (factor, 2)

    @ops.custom_gradient
    def enlarged(scores: Tensor) -> Any:
        def gradient(*given: Tensor, upstream: Tensor | None = None) -> Tensor:
            return _gathered(given[0] if upstream is None else upstream, shares)

        return _spread(scores, shares), gradient

    pixels = enlarged(scores)
    # The last row of an odd kernel's last cells is zero.
    return pixels if side == 2 * factor else pixels[:, :-1, :-1]


def _spread(scores: Tensor, shares: NDArray[np.float32]) -> Tensor:
    """(N, h, w, C) to (N, (h + 1) * factor, (w + 1) * factor, C); outside lie zeros."""
    n, height, width, channels = ops.shape(scores)
    factor = shares.shape[0]
    cells = ops.pad(scores, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pairs = ops.stack([cells[:, :, :-1], cells[:, :, 1:]], axis=3)  # (N, h + 2, w + 1, 2, C)
    row_length = (width + 1) * factor * channels
    rows = ops.reshape(ops.matmul(shares, pairs), (n, height + 2, row_length))
    pairs = ops.stack([rows[:, :-1], rows[:, 1:]], axis=2)  # (N, h + 1, 2, row length)
    pixels = ops.matmul(shares, pairs)
    return ops.reshape(pixels, (n, (height + 1) * factor, (width + 1) * factor, channels))


def _gathered(upstream: Tensor, shares: NDArray[np.float32]) -> Tensor:
    """The gradient of what `_spread` took, from that of what it gave."""
    n, height, width, channels = ops.shape(upstream)
    factor = shares.shape[0]
    height, width = height // factor - 1, width // factor - 1
    turned = np.ascontiguousarray(shares.T)  # (2, factor)
    rows = ops.reshape(upstream, (n, height + 1, factor, (width + 1) * factor * channels))
    of_pairs = ops.matmul(turned, rows)  # (N, h + 1, 2, row length)
    rows = of_pairs[:, :-1, 1] + of_pairs[:, 1:, 0]
    columns = ops.reshape(rows, (n, height, width + 1, factor, channels))
    of_pairs = ops.matmul(turned, columns)  # (N, h, w + 1, 2, C)
    return of_pairs[:, :, :-1, 1] + of_pairs[:, :, 1:, 0]
