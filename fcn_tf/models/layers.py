"""The layers that FCNs need beside Keras' own.

They preprocess images, upsample bilinearly, crop and resize, and compute what the classic
trunks need. Maps are (N, H, W, C). All layers are written in `keras.ops` and run on the
TensorFlow, JAX and torch backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fcn_tf.config.networks import VGG_MEAN_BGR

# A tensor of any backend, or a symbolic `KerasTensor`: Keras has no types for either.
Tensor = Any
# A shape as Keras passes it: the batch first, None for a free side.
Shape = Sequence[int | None]

# Running statistics average over about the last 10 steps, as in PyTorch.
BATCH_NORM_MOMENTUM = 0.9


@keras.saving.register_keras_serializable("fcn_tf")
class CaffePreprocessing(keras.layers.Layer):
    """Turns RGB in 0..255 into BGR less the mean, the input of Caffe's VGG16.

    The layer computes in float32 under every policy, because bfloat16 is too coarse for a
    pixel value less a mean.

    Args:
        mean_bgr: three floats, the mean to subtract, in BGR order.
        kwargs: as `keras.layers.Layer`; a dtype is ignored.

    Attributes:
        flips: whether the channels change places; True by default. An export whose next layer
            has the flip in its kernel leaves it out.
    """

    flips = True

    def __init__(self, mean_bgr: Sequence[float] = VGG_MEAN_BGR, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean_bgr = tuple(mean_bgr)

    def call(self, images: Tensor) -> Tensor:
        rgb = ops.cast(images, "float32") - ops.array(self.mean_bgr[::-1], "float32")
        # Not a slice with a negative step: the torch backend has none.
        return ops.take(rgb, [2, 1, 0], axis=-1) if self.flips else rgb

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean_bgr": self.mean_bgr}


@keras.saving.register_keras_serializable("fcn_tf")
class Standardization(keras.layers.Layer):
    """Subtracts the mean from RGB in 0..255 and divides by the standard deviation.

    The layer computes in float32 under every policy.

    Args:
        mean_rgb: three floats in 0..255.
        std_rgb: three floats in 0..255.
        kwargs: as `keras.layers.Layer`; a dtype is ignored.
    """

    def __init__(self, mean_rgb: Sequence[float], std_rgb: Sequence[float], **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean_rgb = tuple(mean_rgb)
        self.std_rgb = tuple(std_rgb)

    def call(self, images: Tensor) -> Tensor:
        centred = ops.cast(images, "float32") - ops.array(self.mean_rgb, "float32")
        return centred / ops.array(self.std_rgb, "float32")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean_rgb": self.mean_rgb, "std_rgb": self.std_rgb}


def bilinear_kernel(size: int, channels: int) -> NDArray[np.float32]:
    """The kernel with which a transposed convolution interpolates bilinearly.

    The filter is `upsample_filt` of the authors' surgery.py: 1 - |i - center| / factor along
    each axis. Each channel is upsampled alone: the filter stands on the diagonal of the two
    channel axes, and everything else is zero.

    Args:
        size: side of the kernel: 2 * factor or 2 * factor - 1, where factor is the stride.
        channels: number of maps, in and out.

    Returns:
        float32 array (size, size, channels, channels).
    """
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 else factor - 0.5
    axis = 1 - np.abs(np.arange(size) - center) / factor
    kernel = np.zeros((size, size, channels, channels), np.float32)
    kernel[:, :, range(channels), range(channels)] = np.outer(axis, axis)[..., None]
    return kernel


@keras.saving.register_keras_serializable("fcn_tf")
class Bilinear(keras.initializers.Initializer):
    """Initializes the kernel of a `Conv2DTranspose` to bilinear interpolation.

    Raises:
        ValueError: the kernel is not (k, k, C, C).
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        height, width, channels_out, channels_in = shape
        if height != width or channels_in != channels_out:
            raise ValueError(f"A bilinear kernel is (k, k, C, C); got {tuple(shape)}.")
        return ops.convert_to_tensor(bilinear_kernel(height, channels_in), dtype)

    def get_config(self) -> dict[str, Any]:
        return {}


def scores_of(
    x: Tensor,
    num_classes: int,
    name: str = "score_fr",
    *,
    kernel_size: int = 1,
    kernel_initializer: str = "zeros",
) -> Tensor:
    """The float32 scores (N, H, W, num_classes) of a map, by a convolution that starts at zero.

    A warm start knows score layers by their names, which begin with "score".
    """
    return keras.layers.Conv2D(
        num_classes,
        kernel_size,
        padding="same",
        kernel_initializer=kernel_initializer,
        name=name,
        dtype="float32",
    )(x)


@keras.saving.register_keras_serializable("fcn_tf")
class EdgeCell(keras.layers.Layer):
    """Repeats the outermost cells: (N, H, W, C) to (N, H + before + 1, W + before + 1, C).

    A transposed convolution treats everything outside its map as zero, which would fade the
    scores towards the border. One repeated cell makes it interpolate there as
    `tf.image.resize` does.

    Args:
        before: number of repeats at the top and at the left. There is always one at the
            bottom and one at the right.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, before: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before = before

    def call(self, scores: Tensor) -> Tensor:
        # Every backend and TFLite can concatenate; not all of them can pad symmetrically.
        first = [scores[:, :1]] * self.before
        scores = ops.concatenate([*first, scores, scores[:, -1:]], axis=1)
        first = [scores[:, :, :1]] * self.before
        return ops.concatenate([*first, scores, scores[:, :, -1:]], axis=2)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        n, height, width, channels = input_shape
        more = self.before + 1
        return (n, height and height + more, width and width + more, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "before": self.before}


@keras.saving.register_keras_serializable("fcn_tf")
class Crop(keras.layers.Layer):
    """Cuts the first map to the height and width of the second.

    Args:
        offset_px: number of rows cut at the top and of columns cut at the left.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, offset_px: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.offset_px = offset_px

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        scores, reference = inputs
        n, _, _, channels = ops.shape(scores)
        height, width = ops.shape(reference)[1:3]
        # ops.slice, because the gradient of an indexed slice is slow on TensorFlow's CPU.
        start = (0, self.offset_px, self.offset_px, 0)
        return ops.slice(scores, start, (n, height, width, channels))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        (n, _, _, channels), (_, height, width, _) = input_shape
        return (n, height, width, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "offset_px": self.offset_px}


@keras.saving.register_keras_serializable("fcn_tf")
class ResizeLike(keras.layers.Layer):
    """Resizes the first map bilinearly to the height and width of the second.

    Both maps cover the same area, as in torch's `interpolate` with align_corners=False.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        scores, reference = inputs
        # ops.image.resize needs sizes that are known when the graph is built.
        for axis in (1, 2):
            scores = self._stretched(scores, axis, ops.shape(reference)[axis])
        return scores

    def _stretched(self, scores: Tensor, axis: int, length: Tensor) -> Tensor:
        """Interpolates along one axis."""
        before = ops.shape(scores)[axis]
        scale = ops.cast(before, "float32") / ops.cast(length, "float32")
        places = (ops.arange(length, dtype="float32") + 0.5) * scale - 0.5
        places = ops.clip(places, 0.0, ops.cast(before - 1, "float32"))
        lower = ops.floor(places)
        share = ops.reshape(places - lower, (-1, 1, 1) if axis == 1 else (-1, 1))
        lower = ops.cast(lower, "int32")
        upper = ops.minimum(lower + 1, before - 1)
        first, second = (ops.take(scores, index, axis=axis) for index in (lower, upper))
        return first + (second - first) * share

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        (n, _, _, channels), (_, height, width, _) = input_shape
        return (n, height, width, channels)


@keras.saving.register_keras_serializable("fcn_tf")
class PadToGrid(keras.layers.Layer):
    """Pads with zeros at the bottom and the right until both sides are multiples of `step_px`.

    Args:
        step_px: the step of the grid.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, step_px: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step_px = step_px

    def call(self, images: Tensor) -> Tensor:
        n, height, width, channels = ops.shape(images)
        most = self.step_px - 1
        padded = ops.pad(images, ((0, 0), (0, most), (0, most), (0, 0)))
        sides = [(side + most) // self.step_px * self.step_px for side in (height, width)]
        return ops.slice(padded, (0, 0, 0, 0), (n, *sides, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        n, *sides, channels = input_shape
        return (n, *(side and -(-side // self.step_px) * self.step_px for side in sides), channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step_px": self.step_px}


@keras.saving.register_keras_serializable("fcn_tf")
class DilatedMaxPooling(keras.layers.Layer):
    """2 x 2 max pooling without its stride, dilated; the size of the map stays.

    Each cell becomes the largest of four: itself and the cells `dilation_rate` to the right,
    below, and both. No value of the map may be negative.

    Args:
        dilation_rate: distance between the cells that are compared.
        kwargs: as `keras.layers.Layer`.
    """

    pool_size, strides = (2, 2), (1, 1)

    def __init__(self, dilation_rate: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dilation_rate = (dilation_rate, dilation_rate)

    def call(self, x: Tensor) -> Tensor:
        rate = self.dilation_rate[0]
        # After a ReLU, a padded zero is never larger than the values of the map.
        padded = ops.pad(x, ((0, 0), (0, rate), (0, rate), (0, 0)))
        below = ops.maximum(padded[:, :-rate], padded[:, rate:])
        return ops.maximum(below[:, :, :-rate], below[:, :, rate:])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dilation_rate": self.dilation_rate[0]}


@keras.saving.register_keras_serializable("fcn_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """A grouped convolution: each group of channels has its own kernels.

    (N, H, W, C) to (N, H', W', filters). Keras' own layer compiles grouped convolutions with
    XLA on TensorFlow, and TFLite cannot convert the result.
    """

    def call(self, inputs: Tensor) -> Tensor:
        outputs = [
            ops.conv(
                part,
                kernel,
                strides=self.strides,
                padding=self.padding,
                dilation_rate=self.dilation_rate,
            )
            for part, kernel in zip(
                ops.split(inputs, self.groups, axis=-1),
                ops.split(ops.convert_to_tensor(self.kernel), self.groups, axis=-1),
                strict=True,
            )
        ]
        outputs = ops.concatenate(outputs, axis=-1)
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("fcn_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Caffe's LRN: x / (1 + alpha / 5 * sum of x ** 2 over 5 channels) ** 0.75.

    The shape (N, H, W, C) stays. Source: Krizhevsky et al. 2012, section 3.3. Alpha is 1e-4,
    that of Caffe's AlexNet and GoogLeNet; Caffe divides it by the number of channels.
    """

    def call(self, inputs: Tensor) -> Tensor:
        # In float32, because the square of 300 overflows float16.
        x = ops.cast(inputs, "float32")
        squares = ops.square(x)
        padded = ops.pad(squares, ((0, 0), (0, 0), (0, 0), (2, 2)))
        channels = x.shape[-1]
        total = sum(padded[..., first : first + channels] for first in range(5))
        root = ops.rsqrt(1 + 2e-5 * total)
        return ops.cast(x * root * ops.sqrt(root), inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@keras.saving.register_keras_serializable("fcn_tf")
class Conv2D(keras.layers.Conv2D):
    """A convolution that can be computed as one matrix product (im2col).

    It has the class name of Keras' own layer, because a `.keras` file finds weights by that
    name. For wide kernels on a small map, VGG's fc6 and fc7, oneDNN takes about half the time
    for the matrix products of the convolution and its two gradients, if the kernel is a
    variable.

    Attributes:
        as_patches: whether training computes the matrix product; False by default, and only
            used on the TensorFlow backend. The results are equal except for rounding. A
            convolution with strides, dilation, groups or a kernel that is not square is
            always computed the usual way.
    """

    as_patches = False

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if self.as_patches and training and self._fits_patches():
            return self._product_of_patches(inputs)
        return super().call(inputs)

    def _fits_patches(self) -> bool:
        is_dense = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        return is_dense and self.kernel_size[0] == self.kernel_size[1]

    def _product_of_patches(self, inputs: Tensor) -> Tensor:
        channels, side = inputs.shape[-1], self.kernel_size[0]
        if self.padding == "same":
            padding = ((side - 1) // 2, side // 2)
            inputs = ops.pad(inputs, ((0, 0), padding, padding, (0, 0)))
        n, height, width, _ = ops.shape(inputs)
        height, width = height - side + 1, width - side + 1
        windows = [
            ops.slice(inputs, (0, row, column, 0), (n, height, width, channels))
            for row in range(side)
            for column in range(side)
        ]
        cells = [ops.reshape(window, (-1, channels)) for window in windows]
        kernel = ops.reshape(self.kernel, (side**2, channels, self.filters))
        product = ops.reshape(_product(kernel, *cells), (n, height, width, self.filters))
        return self.activation(product + self.bias if self.use_bias else product)


@ops.custom_gradient
def _product(kernel: Tensor, *cells: Tensor) -> Any:  # (k * k, C, F), k * k of (R, C) -> (R, F)
    """The sum of cell @ kernel over the cells of a kernel, as one matrix product.

    The gradient multiplies with the kernel on the left, as it lies in memory. The result then
    splits into the gradients of the cells without a copy.
    """
    patches = ops.concatenate(cells, axis=-1)  # (R, k * k * C)

    def gradients(upstream: Tensor) -> tuple[Tensor, ...]:  # (R, F)
        of_cells = ops.matmul(kernel, ops.transpose(upstream))  # (k * k, C, R)
        # The kernel's gradient in float32, the dtype of its variable: a product in a
        # narrower dtype and a cast afterwards would take half as much memory again.
        patches_32, upstream_32 = ops.cast(patches, "float32"), ops.cast(upstream, "float32")
        of_kernel = ops.matmul(ops.transpose(patches_32), upstream_32)
        of_kernel = ops.reshape(of_kernel, kernel.shape)
        return of_kernel, *ops.unstack(ops.transpose(of_cells, (0, 2, 1)))

    return ops.matmul(patches, ops.reshape(kernel, (-1, kernel.shape[-1]))), gradients
