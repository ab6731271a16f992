"""A network as devices compute it: no channel is picked, and no shape is worked out at run time.

GPUs and NPUs take graphs of convolutions whose sizes are known. The network that is trained has
three things that they do not take: it flips RGB to BGR, it crops maps to the size of others, and it
resizes to the size of the image. Here the flip, and the division by a standard deviation, become
part of the first convolution's kernel; crops and resizing get fixed numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from fcn_tf.config.networks import GRID_PX
from fcn_tf.errors import InputError
from fcn_tf.exporting.upsampling import enlarged, transposed, window
from fcn_tf.models.fcn import FCN
from fcn_tf.models.layers import (
    CaffePreprocessing,
    Conv2D,
    Crop,
    PadToGrid,
    ResizeLike,
    Standardization,
)
from fcn_tf.models.mirror import MirroredBorder
from fcn_tf.models.unpooling import PoolingIndices
from fcn_tf.models.upsampling import Conv2DTranspose, is_bilinear

Tensor = Any  # a symbolic tensor: Keras has no types
# Of a network of any size, the sides at which its crops are measured: they are the same at all
# multiples of `GRID_PX`.
MEASURED_PX = 8 * GRID_PX


def device_graph(model: FCN, size_px: tuple[int, int] | None, kind: str = "float32") -> keras.Model:
    """The same network, in float32, as a plain Keras model for one image.

    Args:
        model: an `FCN`; it stays as it is.
        size_px: (height, width) of the image, or None for all multiples of `GRID_PX`.
        kind: of the TFLite file, as in `fcn_tf.exporting.tflite.convert`. It changes how the
            numbers are computed, and not what they are.

    Returns:
        A model of an RGB image in 0..255, float32 (1, H, W, 3), to its logits (1, H, W, C). They
        equal those of `model` up to rounding, border included.

    Raises:
        InputError: as `check_any_size`.
    """
    if size_px is None:
        check_any_size(model)
    twin = model.with_policy("float32")
    preprocessing = twin.get_layer("preprocessing")
    mean_rgb, matrix = _as_mean_and_matrix(preprocessing)
    first = first_convolution(twin, preprocessing)
    if first is not None:
        # The padding between is zeros, which a matrix leaves zero. A mean would not: it stays.
        first.kernel.assign(np.einsum("cd,hwdf->hwcf", matrix, first.kernel.numpy()))
    layers = _layers_for_devices(mean_rgb, matrix if first is None else None, kind)
    if size_px is None:
        _rebuilt(twin, (MEASURED_PX, MEASURED_PX), layers)
    return _rebuilt(twin, size_px, layers)


def check_any_size(model: keras.Model) -> None:
    """Refuses a network that has no graph for any size.

    Raises:
        InputError: it mirrors the image at its border. How often, depends on the size.
    """
    if any(isinstance(layer, MirroredBorder) for layer in model.layers):
        raise InputError(
            "tflite.size='any': a network of geometry=valid mirrors the image at its border, how "
            "often depends on the size. Give HEIGHTxWIDTH, or train with geometry=same."
        )


class LessMean(keras.layers.Layer):
    """RGB in 0..255 less a mean, float32 (N, H, W, 3).

    Args:
        mean_rgb: three floats in 0..255.
        in_two_parts: whether the file stores constants in float16, in which 116.779 would become
            116.75. It holds both parts of it.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, mean_rgb: NDArray[np.float64], in_two_parts: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean_rgb = mean_rgb
        self.in_two_parts = in_two_parts

    def call(self, images: Tensor) -> Tensor:
        if not self.in_two_parts:
            return images - ops.array(self.mean_rgb, "float32")
        whole = np.ceil(self.mean_rgb)
        # The ReLU, which changes nothing, keeps the converter from adding the parts up.
        above = ops.relu(images + ops.array(whole - self.mean_rgb, "float32"))
        return above - ops.array(whole, "float32")


class OneConvolution(keras.layers.Layer):
    """A convolution that is dilated, or thins out its map, as devices compute it.

    Keras takes a map of unknown size apart into batches for a dilated one, and puts them together
    again: here it is one operation. LiteRT's GPU code passes over the strides of a kernel of 1x1
    whose numbers are 8-bit, and gives wrong scores: here the rows and columns are left out first.

    Args:
        convolution: a `keras.layers.Conv2D` or `DepthwiseConv2D`, whose weights are used.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, convolution: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convolution = convolution

    def call(self, maps: Tensor) -> Tensor:
        own = self.convolution
        rows, columns = own.strides
        maps = maps[:, ::rows, ::columns] if max(own.strides) > 1 else maps
        is_depthwise = isinstance(own, keras.layers.DepthwiseConv2D)
        operation = tf.raw_ops.DepthwiseConv2dNative if is_depthwise else tf.raw_ops.Conv2D
        maps = operation(
            input=maps,
            filter=own.kernel,
            strides=[1, 1, 1, 1],
            padding=own.padding.upper(),
            dilations=[1, *own.dilation_rate, 1],
        )
        return own.activation(maps + own.bias if own.use_bias else maps)


class HardSwish(keras.layers.Layer):
    """x * clip(x / 6 + 1/2, 0, 1), of operators that XNNPACK computes in 8 bits.

    XNNPACK, which computes TFLite files on processors, has no HARD_SWISH of 8 bits: at each the
    graph went to LiteRT's own code and back. A ReLU6 of x + 3 would become HARD_SWISH again.
    """

    def call(self, maps: Tensor) -> Tensor:
        return maps * (1 - ops.relu6(3 - maps) / 6)


def _as_mean_and_matrix(
    preprocessing: keras.layers.Layer,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The preprocessing as (RGB - mean) @ matrix: a mean (3,) and a matrix (3, 3)."""
    if isinstance(preprocessing, CaffePreprocessing):
        return np.array(preprocessing.mean_bgr)[::-1], np.eye(3)[::-1]
    assert isinstance(preprocessing, Standardization)
    return np.array(preprocessing.mean_rgb), np.diag(1 / np.array(preprocessing.std_rgb))


def first_convolution(
    network: keras.Model, preprocessing: keras.layers.Layer
) -> keras.layers.Conv2D | None:
    """The convolution that alone sees the preprocessed image, padded or not; None if there is none.

    None, too, where anything but padding lies between.
    """
    tensor = preprocessing.output
    while True:
        takers = [one for one in network.operations if one.input is tensor]
        if len(takers) != 1:
            return None
        taker = takers[0]
        if isinstance(taker, keras.layers.Conv2D) and taker.groups == 1:
            return taker
        if not isinstance(taker, (PadToGrid, keras.layers.ZeroPadding2D)):
            return None
        tensor = taker.output


def _rebuilt(
    network: keras.Model,
    size_px: tuple[int, int] | None,
    layers: Mapping[type, Callable[..., Tensor]],
) -> keras.Model:
    """A network of the same layers; `layers` has the functions that call those of some types."""

    def called(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Tensor:
        call = layers.get(type(layer))
        return call(layer, *args) if call else layer(*args, **kwargs)

    image = keras.Input(batch_shape=(1, *(size_px or (None, None)), 3), name="image")
    return keras.models.clone_model(
        keras.Model(network.input, network.output),
        input_tensors=image,
        clone_function=lambda layer: layer,
        call_function=called,
    )


def with_mirror_images(maps: Tensor, axis: int, before: int, after: int) -> Tensor:
    """A map whose side along an axis is continued as `MirroredBorder` does it.

    Args:
        maps: (N, H, W, C), the side known.
        axis: 1 or 2.
        before, after: the cells that the side gets at its two ends.
    """
    most = maps.shape[axis] - 1  # what is there at once
    if most == 0:
        return ops.concatenate([maps] * (before + 1 + after), axis=axis)
    while before or after:
        now = min(before, most), min(after, most)
        widths = [now if number == axis else (0, 0) for number in range(4)]
        maps = ops.pad(maps, widths, mode="reflect")
        before, after = before - now[0], after - now[1]
    return maps


def _layers_for_devices(
    mean_rgb: NDArray[np.float64],
    matrix: NDArray[np.float64] | None,
    kind: str = "float32",
) -> dict[type, Callable[..., Tensor]]:
    """What takes the place of a layer, by its type.

    Each function remembers the numbers that it finds where sizes are known, and uses them where
    they are not.
    """
    cuts_px: dict[str, Any] = {}
    factors: dict[str, int] = {}
    # Bilinear upsamplings of known sizes: the result, the input, and the layer.
    bilinear: list[tuple[Tensor, Tensor, Conv2DTranspose]] = []

    def preprocessed(layer: keras.layers.Layer, images: Tensor) -> Tensor:
        pixels = images
        if mean_rgb.any():
            in_two_parts = kind == "float16"
            pixels = LessMean(mean_rgb, in_two_parts, name="less_mean", dtype="float32")(images)
        if matrix is None:
            return pixels
        convolution = keras.layers.Conv2D(3, 1, use_bias=False, name="in_order", dtype="float32")
        convolution.build((None, None, None, 3))
        convolution.kernel.assign(matrix[None, None])
        return convolution(pixels)

    def padded(layer: PadToGrid, images: Tensor) -> Tensor:
        sides = images.shape[1:3]
        if None in sides:
            return images
        more = [(0, -side % layer.step_px) for side in sides]
        return keras.layers.ZeroPadding2D(more)(images)

    def mirrored(layer: MirroredBorder, images: Tensor) -> Tensor:
        for axis in (1, 2):
            side = images.shape[axis]
            before, after = layer.border_px, layer.length_of(side) - side - layer.border_px
            images = with_mirror_images(images, axis, before, after)
        return images

    def cropped(layer: Crop, inputs: list[Tensor]) -> Tensor:
        scores, reference = inputs
        if None not in scores.shape:
            cuts_px[layer.name] = [
                (layer.offset_px, side - layer.offset_px - kept)
                for side, kept in zip(scores.shape[1:3], reference.shape[1:3], strict=True)
            ]
        for result, coarse, own in bilinear:
            if result is scores:
                return window(
                    *(coarse, own.kernel_size[0], own.strides[0]),
                    offset_px=layer.offset_px,
                    size_px=reference.shape[1:3],
                )
        return keras.layers.Cropping2D(cuts_px[layer.name])(scores)

    def resized(layer: ResizeLike, inputs: list[Tensor]) -> Tensor:
        scores, reference = inputs
        if None in scores.shape:
            return enlarged(scores, factors[layer.name])
        factors[layer.name] = reference.shape[1] // scores.shape[1]
        return ops.image.resize(scores, reference.shape[1:3], "bilinear")

    def enlarging(layer: keras.layers.Conv2DTranspose, maps: Tensor) -> Tensor:
        if None not in maps.shape:
            return layer(maps)
        bias = layer.bias.numpy() if layer.use_bias else None
        result = transposed(maps, layer.kernel.numpy(), layer.strides[0], bias)
        return layer.activation(result)

    def upsampled(layer: Conv2DTranspose, scores: Tensor) -> Tensor:
        layer.bilinear = False  # products of matrices are not for GPUs
        if None in scores.shape:
            return enlarging(layer, scores)
        kernel, factor = layer.kernel.numpy(), layer.strides[0]
        result = layer(scores)
        if factor % 2 == 0 and is_bilinear(kernel, factor):
            # The crop that follows computes it, and only what is kept; this result is not used.
            bilinear.append((result, scores, layer))
        return result

    def indexed(layer: PoolingIndices, maps: Tensor) -> Tensor:
        layer.has_even_sides = None in maps.shape  # of multiples of `GRID_PX` every map has
        return layer(maps)

    def convolved(layer: keras.layers.Layer, maps: Tensor) -> Tensor:
        thins_out = layer.kernel_size == (1, 1) and max(layer.strides) > 1
        if thins_out or max(layer.dilation_rate) > 1:
            return OneConvolution(layer, dtype="float32")(maps)
        return layer(maps)

    def activated(layer: keras.layers.Activation, maps: Tensor) -> Tensor:
        if kind == "int8" and layer.activation is keras.activations.hard_silu:
            return HardSwish(dtype="float32")(maps)
        return layer(maps)

    return {
        CaffePreprocessing: preprocessed,
        Standardization: preprocessed,
        PadToGrid: padded,
        MirroredBorder: mirrored,
        Crop: cropped,
        ResizeLike: resized,
        keras.layers.Conv2DTranspose: enlarging,
        Conv2DTranspose: upsampled,
        PoolingIndices: indexed,
        keras.layers.Activation: activated,
        keras.layers.Conv2D: convolved,
        keras.layers.DepthwiseConv2D: convolved,
        Conv2D: convolved,
    }
