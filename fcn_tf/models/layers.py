"""The layers that an FCN adds to a classifier: preprocessing, bilinear upsampling, crop.

Maps are (N, H, W, C). Everything here is written in `keras.ops`, so that it
runs on the TensorFlow, JAX and torch backends alike.
"""

import keras
import numpy as np
from keras import ops

# Mean of ImageNet in BGR order, as keras.applications.vgg16 subtracts it.
VGG_MEAN_BGR = (103.939, 116.779, 123.68)
# The mean that the authors' networks subtract (voc_layers.py of their release), in BGR order.
CAFFE_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)


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


def bilinear_kernel(factor, channels):
    """The kernel with which a transposed convolution interpolates bilinearly.

    The filter is `upsample_filt` of the authors' surgery.py: along each axis
    1 - |i - center| / factor. It stands on the class diagonal, zeros elsewhere.

    Args:
        factor: int, the upsampling factor (the stride).
        channels: int, number of maps, in and out.

    Returns:
        float32 array (2 * factor, 2 * factor, channels, channels).
    """
    size = 2 * factor
    center = factor - 0.5
    axis = 1 - np.abs(np.arange(size) - center) / factor
    kernel = np.zeros((size, size, channels, channels), "float32")
    kernel[:, :, range(channels), range(channels)] = np.outer(axis, axis)[..., None]
    return kernel


@keras.saving.register_keras_serializable("fcn_tf")
class Bilinear(keras.initializers.Initializer):
    """Initializes the kernel of a `Conv2DTranspose` to bilinear interpolation.

    Raises:
        ValueError: the kernel is not (2 * s, 2 * s, C, C).
    """

    def __call__(self, shape, dtype=None):
        height, width, channels_out, channels_in = shape
        if height != width or height % 2 or channels_in != channels_out:
            raise ValueError(
                f"A bilinear kernel is (2 s, 2 s, C, C) for an upsampling by s; got {tuple(shape)}."
            )
        return ops.convert_to_tensor(bilinear_kernel(height // 2, channels_in), dtype)

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable("fcn_tf")
class EdgeCell(keras.layers.Layer):
    """Repeats the outermost cells once: (N, H, W, C) to (N, H + 2, W + 2, C).

    A transposed convolution sees nothing outside its map and would fade the
    scores towards the border; with one repeated cell it interpolates there as
    `tf.image.resize` does.
    """

    def call(self, scores):
        # Concatenation is what every backend and TFLite have; symmetric padding is not.
        scores = ops.concatenate([scores[:, :1], scores, scores[:, -1:]], axis=1)
        return ops.concatenate([scores[:, :, :1], scores, scores[:, :, -1:]], axis=2)

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, height and height + 2, width and width + 2, channels)


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
