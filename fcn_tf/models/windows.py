"""Which cells of its input each cell of a layer's output depends on, for the layers that are known.

The list is of layers whose every output depends on a window of the input, and on nothing else.
A layer that is not in it may depend on the whole map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from fcn_tf.models import layers as own
from fcn_tf.models.mirror import MirroredBorder
from fcn_tf.models.unpooling import MaxUnpooling2D, PoolingIndices
from fcn_tf.models.upsampling import Conv2DTranspose

Layer = Any  # an operation of a Keras model; most are a `keras.layers.Layer`
CHANNELS = (-1, 3)  # the axis of the channels in a map (N, H, W, C)


class NotLocal(Exception):
    """A layer may depend on the whole map, or on where the map begins; the message names it."""


class Size(NamedTuple):
    """What is known of the number of cells of a map along an axis: a multiple of `step`, + `rest`.

    (1, 0) where nothing is known.
    """

    step: int = 1
    rest: int = 0

    def after(self, stride: int, change: int) -> Size:
        """The size (n + change) // stride of a map of this size n."""
        if self.step % stride:
            return Size()
        return Size(self.step // stride, (self.rest + change) // stride)


UNKNOWN = Size()


class Window(NamedTuple):
    """The cells of the input that a cell of the output depends on, along an axis.

    Output cell j depends on the input's cells from (step * j + first) // parts to
    (step * j + last) // parts.

    Args:
        first, last: as above.
        step: input cells for each step of the output; the stride of a convolution.
        parts: steps of the output for each input cell; the stride of a transposed convolution.
        size: what is known of the output's size.
    """

    first: int
    last: int
    step: int = 1
    parts: int = 1
    size: Size = UNKNOWN

    def needed(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last input cell that the output's cells first to last depend on."""
        return (
            (self.step * first + self.first) // self.parts,
            (self.step * last + self.last) // self.parts,
        )


def window_of(layer: Layer, axis: int, size: Size) -> Window:
    """What the output of a layer in `WINDOWS` depends on.

    Args:
        layer: a layer of a Keras model.
        axis: 0 along the height, 1 along the width.
        size: what is known of the input's size along the axis.

    Raises:
        NotLocal: its arguments make it depend on more than a window.
    """
    return WINDOWS[type(layer)](layer, axis, size)


def named(layer: Layer) -> str:
    """What messages call a layer: 'Lambda "mean"'."""
    return f'{type(layer).__name__} "{layer.name}"'


def check_known(layer: Layer) -> None:
    """Refuses a layer of which it is not known what its output depends on.

    Raises:
        NotLocal: it is none of `WINDOWS` (a subclass may compute anything), does not work on maps
            (N, H, W, C), or has an activation that is not Keras'.
    """
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "")
    is_kerass = activation is None or getattr(keras.activations, name, None) is activation
    channels_last = getattr(layer, "data_format", "channels_last") == "channels_last"
    if type(layer) not in WINDOWS or not is_kerass or not channels_last:
        raise NotLocal(named(layer))


def _pointwise(layer: Layer, axis: int, size: Size) -> Window:
    return Window(0, 0, size=size)


def _over_channels(layer: Layer, axis: int, size: Size) -> Window:
    """What normalizes or joins along the channels alone, or with a number for each channel."""
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else (layer.axis,)
    if not set(axes) <= set(CHANNELS):
        raise NotLocal(named(layer))
    return Window(0, 0, size=size)


def _rescaling(layer: Layer, axis: int, size: Size) -> Window:
    if max(np.ndim(layer.scale), np.ndim(layer.offset)) > 1:  # numbers for each place of the map
        raise NotLocal(named(layer))
    return Window(0, 0, size=size)


def _prelu(layer: Layer, axis: int, size: Size) -> Window:
    if not {1, 2} <= set(layer.shared_axes or ()):  # a slope for each place of the map
        raise NotLocal(named(layer))
    return Window(0, 0, size=size)


def _dense(layer: Layer, axis: int, size: Size) -> Window:
    """Of a map (N, H, W, C) each cell by itself."""
    if len(layer.input.shape) != 4:
        raise NotLocal(named(layer))
    return Window(0, 0, size=size)


def _sliding(layer: Layer, axis: int, size: Size) -> Window:
    """A convolution or a pooling."""
    cells = getattr(layer, "kernel_size", None) or layer.pool_size
    stride: int = layer.strides[axis]
    reach: int = (cells[axis] - 1) * getattr(layer, "dilation_rate", (1, 1))[axis]
    if layer.padding == "valid":
        return Window(0, reach, stride, size=size.after(stride, stride - 1 - reach))
    # "same" divides the padding by the size, and the tiles of an image have other sizes than it.
    rests = [size.rest % stride] if size.step % stride == 0 else range(stride)
    paddings = {max(0, reach + 1 - (rest or stride)) // 2 for rest in rests}
    if len(paddings) > 1:
        raise NotLocal(f'{named(layer)} with strides and padding="same"')
    first = -paddings.pop()
    return Window(first, first + reach, stride, size=size.after(stride, stride - 1))


def _dilated_pooling(layer: Layer, axis: int, size: Size) -> Window:
    return Window(0, layer.dilation_rate[axis], size=size)


def _transposed(layer: Layer, axis: int, size: Size) -> Window:
    stride: int = layer.strides[axis]
    kernel: int = layer.kernel_size[axis]
    is_plain = layer.output_padding is None and set(layer.dilation_rate) == {1}
    if not is_plain or (layer.padding != "valid" and kernel < stride):
        raise NotLocal(named(layer))
    cut = (kernel - stride) // 2 if layer.padding == "same" else 0
    return Window(cut - kernel + stride, cut, parts=stride)


def _enlarged(layer: Layer, axis: int, size: Size) -> Window:
    factor: int = layer.size[axis]
    if layer.interpolation == "nearest":
        return Window(0, 0, parts=factor)
    if layer.interpolation != "bilinear":
        raise NotLocal(named(layer))
    # Between the cell whose centre lies before that of the output's cell, and the next.
    return Window(1 - factor, 1 + factor, step=2, parts=2 * factor)


def _shifted(before: int, size: Size = UNKNOWN) -> Window:
    """As many cells more before the map, or fewer."""
    return Window(-before, -before, size=size)


def _padded(layer: Layer, axis: int, size: Size) -> Window:
    before, after = layer.padding[axis]
    return _shifted(before, size.after(1, before + after))


def _cut(layer: Layer, axis: int, size: Size) -> Window:
    before, after = layer.cropping[axis]
    return _shifted(-before, size.after(1, -before - after))


def _to_grid(layer: Layer, axis: int, size: Size) -> Window:
    return _shifted(0, Size(layer.step_px, 0))


# Keras' own layers and this package's. Those that draw random numbers do so in training alone.
WINDOWS: dict[type, Callable[[Layer, int, Size], Window]] = {
    **dict.fromkeys(
        (
            *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity),
            *(layers.Dropout, layers.SpatialDropout2D, layers.AlphaDropout),
            *(layers.GaussianDropout, layers.GaussianNoise, layers.ActivityRegularization),
            *(layers.Add, layers.Subtract, layers.Multiply, layers.Average),
            *(layers.Maximum, layers.Minimum),
            *(own.CaffePreprocessing, own.Standardization, own.LocalResponseNormalization),
        ),
        _pointwise,
    ),
    **dict.fromkeys(
        (
            *(layers.BatchNormalization, layers.LayerNormalization, layers.UnitNormalization),
            *(layers.Normalization, layers.Concatenate, layers.Softmax),
        ),
        _over_channels,
    ),
    layers.Rescaling: _rescaling,
    layers.PReLU: _prelu,
    layers.Dense: _dense,
    **dict.fromkeys(
        (
            *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D),
            *(layers.MaxPooling2D, layers.AveragePooling2D, own.Conv2D, own.GroupedConv2D),
        ),
        _sliding,
    ),
    own.DilatedMaxPooling: _dilated_pooling,
    # What is beyond an odd side never is the largest, in a tile as in the image.
    PoolingIndices: lambda layer, axis, size: Window(0, 1, step=2, size=size.after(2, 1)),
    MaxUnpooling2D: lambda layer, axis, size: Window(0, 0, parts=2),
    layers.Conv2DTranspose: _transposed,
    Conv2DTranspose: _transposed,
    layers.UpSampling2D: _enlarged,
    layers.ZeroPadding2D: _padded,
    layers.Cropping2D: _cut,
    own.PadToGrid: _to_grid,
    # At the border the cell that is there stands in for one beyond, which is further away.
    own.EdgeCell: lambda layer, axis, size: _shifted(layer.before),
    MirroredBorder: lambda layer, axis, size: _shifted(layer.border_px),
    own.Crop: lambda layer, axis, size: _shifted(-layer.offset_px),
}
