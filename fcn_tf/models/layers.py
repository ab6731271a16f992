"""The layers that an FCN is built of beside Keras' own.

Preprocessing, bilinear upsampling and crop, and what the classic trunks had.

Maps are (N, H, W, C). Everything here is written in `keras.ops`, so that it
runs on the TensorFlow, JAX and torch backends alike.
"""

import keras
import numpy as np
from keras import ops

from fcn_tf.networks import VGG_MEAN_BGR

# Of the running statistics: the last 10 steps or so, as in PyTorch.
BATCH_NORM_MOMENTUM = 0.9


@keras.saving.register_keras_serializable("fcn_tf")
class CaffePreprocessing(keras.layers.Layer):
    """RGB in 0..255 to BGR less the mean, the input of Caffe's VGG16.

    It computes in float32 under every policy: bfloat16 cannot hold a pixel
    value less a mean.

    Args:
        mean_bgr: three floats, the mean to subtract, in BGR order.
    """

    def __init__(self, mean_bgr=VGG_MEAN_BGR, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean_bgr = tuple(mean_bgr)

    def call(self, images):
        # In two parts, each of which float16 holds: the constants of a TFLite file may be stored
        # in it, where 116.779 would be 116.75. What stands between keeps them from being folded.
        mean = np.array(self.mean_bgr)
        whole = np.round(mean)
        rgb = ops.cast(images, "float32") - ops.array((mean - whole)[::-1], "float32")
        # Not flip, which TFLite's converter gets wrong in int8: its two sides have scales of
        # their own, but the values are copied. No slice with a negative step either, which
        # the torch backend refuses.
        return ops.take(rgb, [2, 1, 0], axis=-1) - ops.array(whole, "float32")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mean_bgr": self.mean_bgr}


@keras.saving.register_keras_serializable("fcn_tf")
class Standardization(keras.layers.Layer):
    """RGB in 0..255, less the mean, by the standard deviation; float32 under every policy.

    Args:
        mean_rgb: three floats in 0..255.
        std_rgb: three floats in 0..255.
    """

    def __init__(self, mean_rgb, std_rgb, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean_rgb = tuple(mean_rgb)
        self.std_rgb = tuple(std_rgb)

    def call(self, images):
        centred = ops.cast(images, "float32") - ops.array(self.mean_rgb, "float32")
        return centred / ops.array(self.std_rgb, "float32")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mean_rgb": self.mean_rgb, "std_rgb": self.std_rgb}


def bilinear_kernel(size, channels):
    """The kernel with which a transposed convolution interpolates bilinearly.

    The filter is `upsample_filt` of the authors' surgery.py: along each axis
    1 - |i - center| / factor. It stands on the class diagonal, zeros elsewhere.

    Args:
        size: int, its side: 2 * factor, or 2 * factor - 1, where factor is the stride.
        channels: int, number of maps, in and out.

    Returns:
        float32 array (size, size, channels, channels).
    """
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 else factor - 0.5
    axis = 1 - np.abs(np.arange(size) - center) / factor
    kernel = np.zeros((size, size, channels, channels), "float32")
    kernel[:, :, range(channels), range(channels)] = np.outer(axis, axis)[..., None]
    return kernel


@keras.saving.register_keras_serializable("fcn_tf")
class Bilinear(keras.initializers.Initializer):
    """Initializes the kernel of a `Conv2DTranspose` to bilinear interpolation.

    Raises:
        ValueError: the kernel is not (k, k, C, C).
    """

    def __call__(self, shape, dtype=None):
        height, width, channels_out, channels_in = shape
        if height != width or channels_in != channels_out:
            raise ValueError(f"A bilinear kernel is (k, k, C, C); got {tuple(shape)}.")
        return ops.convert_to_tensor(bilinear_kernel(height, channels_in), dtype)

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable("fcn_tf")
class EdgeCell(keras.layers.Layer):
    """Repeats the outermost cells: (N, H, W, C) to (N, H + before + 1, W + before + 1, C).

    A transposed convolution sees nothing outside its map and would fade the
    scores towards the border; with one repeated cell it interpolates there as
    `tf.image.resize` does.

    Args:
        before: int, how often at the top and the left; at the bottom and the right once.
    """

    def __init__(self, before=1, **kwargs):
        super().__init__(**kwargs)
        self.before = before

    def call(self, scores):
        # Concatenation is what every backend and TFLite have; symmetric padding is not.
        first = [scores[:, :1]] * self.before
        scores = ops.concatenate([*first, scores, scores[:, -1:]], axis=1)
        first = [scores[:, :, :1]] * self.before
        return ops.concatenate([*first, scores, scores[:, :, -1:]], axis=2)

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        more = self.before + 1
        return (n, height and height + more, width and width + more, channels)

    def get_config(self):
        return {**super().get_config(), "before": self.before}


@keras.saving.register_keras_serializable("fcn_tf")
class Crop(keras.layers.Layer):
    """Cuts the first map to the height and width of the second.

    Args:
        offset_px: int, rows and columns dropped at the top and the left.
    """

    def __init__(self, offset_px, **kwargs):
        super().__init__(**kwargs)
        self.offset_px = offset_px

    def call(self, inputs):
        scores, reference = inputs
        n, _, _, channels = ops.shape(scores)
        height, width = ops.shape(reference)[1:3]
        # ops.slice, because the gradient of an indexed slice is slow on TensorFlow's CPU.
        start = (0, self.offset_px, self.offset_px, 0)
        return ops.slice(scores, start, (n, height, width, channels))

    def compute_output_shape(self, input_shape):
        (n, _, _, channels), (_, height, width, _) = input_shape
        return (n, height, width, channels)

    def get_config(self):
        return {**super().get_config(), "offset_px": self.offset_px}


@keras.saving.register_keras_serializable("fcn_tf")
class ResizeLike(keras.layers.Layer):
    """Bilinear interpolation of the first map to the height and width of the second.

    As torch's `interpolate` with align_corners=False: both maps cover the same area.
    """

    def call(self, inputs):
        scores, reference = inputs
        # ops.image.resize takes no sizes that are known only when it runs.
        for axis in (1, 2):
            scores = self._stretched(scores, axis, ops.shape(reference)[axis])
        return scores

    def _stretched(self, scores, axis, length):
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

    def compute_output_shape(self, input_shape):
        (n, _, _, channels), (_, height, width, _) = input_shape
        return (n, height, width, channels)


@keras.saving.register_keras_serializable("fcn_tf")
class PadToGrid(keras.layers.Layer):
    """Zeros at the bottom and the right, so that both sides are multiples of `step_px`.

    Args:
        step_px: int.
    """

    def __init__(self, step_px, **kwargs):
        super().__init__(**kwargs)
        self.step_px = step_px

    def call(self, images):
        n, height, width, channels = ops.shape(images)
        most = self.step_px - 1
        padded = ops.pad(images, ((0, 0), (0, most), (0, most), (0, 0)))
        sides = [(side + most) // self.step_px * self.step_px for side in (height, width)]
        return ops.slice(padded, (0, 0, 0, 0), (n, *sides, channels))

    def compute_output_shape(self, input_shape):
        n, *sides, channels = input_shape
        return (n, *(side and -(-side // self.step_px) * self.step_px for side in sides), channels)

    def get_config(self):
        return {**super().get_config(), "step_px": self.step_px}


@keras.saving.register_keras_serializable("fcn_tf")
class DilatedMaxPooling(keras.layers.Layer):
    """The largest of each cell and those `dilation_rate` cells on, (N, H, W, C) to the same.

    2 x 2 pooling whose stride was taken out, of maps that are nowhere negative.

    Args:
        dilation_rate: int.
    """

    pool_size, strides = (2, 2), (1, 1)

    def __init__(self, dilation_rate, **kwargs):
        super().__init__(**kwargs)
        self.dilation_rate = (dilation_rate, dilation_rate)

    def call(self, x):
        rate = self.dilation_rate[0]
        _, height, width, _ = ops.shape(x)
        # Behind a ReLU a zero never is larger than what is there.
        padded = ops.pad(x, ((0, 0), (0, rate), (0, rate), (0, 0)))
        below = ops.maximum(padded[:, :height], padded[:, rate:])
        return ops.maximum(below[:, :, :width], below[:, :, rate:])

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "dilation_rate": self.dilation_rate[0]}


@keras.saving.register_keras_serializable("fcn_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """A convolution in groups, each of its own channels, (N, H, W, C) to (N, H', W', filters).

    Keras' own compiles it with XLA on TensorFlow, which TFLite does not take.
    """

    def call(self, inputs):
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
    """x / (1 + alpha / 5 * sum of x ** 2 over 5 channels) ** 0.75, as Caffe's LRN.

    Of maps (N, H, W, C). Krizhevsky et al. 2012, section 3.3, with the alpha of Caffe's
    AlexNet and GoogLeNet, 1e-4, which is divided by the channels.
    """

    def call(self, inputs):
        # In float32: float16 has no square of 300.
        x = ops.cast(inputs, "float32")
        squares = ops.square(x)
        padded = ops.pad(squares, ((0, 0), (0, 0), (0, 0), (2, 2)))
        channels = x.shape[-1]
        total = sum(padded[..., first : first + channels] for first in range(5))
        root = ops.rsqrt(1 + 2e-5 * total)
        return ops.cast(x * root * ops.sqrt(root), inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("fcn_tf")
class Conv2D(keras.layers.Conv2D):
    """A convolution that can be computed as one product of matrices (im2col).

    It has the name of Keras' own, by which a `.keras` file keeps weights. Each cell's window is
    laid out as a row. For wide kernels on a small map, VGG's fc6 and fc7, oneDNN multiplies such
    matrices in about half the time of the convolution and of its two gradients, where the
    kernel is a variable.

    Attributes:
        as_patches: bool, False at first: whether it is computed so in training, on the
            TensorFlow backend. The numbers are the same but for rounding. With strides, dilated,
            in groups or with a kernel that is not square, it is computed as ever.
    """

    as_patches = False

    def call(self, inputs, training=None):
        is_dense = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        side, width = self.kernel_size
        if not (self.as_patches and training and is_dense and side == width):
            return super().call(inputs)
        channels = inputs.shape[-1]
        if self.padding == "same":
            reach = ((side - 1) // 2, side // 2)
            inputs = ops.pad(inputs, ((0, 0), reach, reach, (0, 0)))
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
def _product(kernel, *cells):  # (k * k, C, F), k * k of (R, C) -> (R, F)
    """The sum of the products of each of a kernel's cells, as one product.

    In the gradient of the rows the kernel is on the left, as it lies in memory, and the product
    falls apart into those of the cells without a copy in between.
    """
    patches = ops.concatenate(cells, axis=-1)  # (R, k * k * C)

    def gradients(upstream):  # (R, F)
        of_cells = ops.matmul(kernel, ops.transpose(upstream))  # (k * k, C, R)
        # The kernel's in float32, in which the variable takes it: in two of them, one to be cast
        # into the other, it would take half as much memory again.
        patches_32, upstream_32 = ops.cast(patches, "float32"), ops.cast(upstream, "float32")
        of_kernel = ops.matmul(ops.transpose(patches_32), upstream_32)
        of_kernel = ops.reshape(of_kernel, kernel.shape)
        return of_kernel, *ops.unstack(ops.transpose(of_cells, (0, 2, 1)))

    return ops.matmul(patches, ops.reshape(kernel, (-1, kernel.shape[-1]))), gradients
