"""torchvision's MobileNetV3-Large for segmentation: the last stage is dilated, not strided.

keras.applications has the same classifier, but pads its strided layers as TensorFlow does, so that
torchvision's weights do not fit it.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, NamedTuple

from keras import layers

from fcn_tf.config.networks import NetworkArguments
from fcn_tf.models.layers import Tensor
from fcn_tf.models.torchvision.layers import convolution

EPSILON = 1e-3  # of the batch normalization, with which the weights were trained
LAST_FILTERS = 960


class Block(NamedTuple):
    """An inverted residual block (Howard et al. 2019, table 1).

    Args:
        kernel_size: side of the depthwise kernel.
        expanded: channels that the depthwise convolution has.
        filters: channels of the result.
        activation: Keras' name of it.
        squeezes: whether channels are scaled by their averages (squeeze-and-excite).
        strides: of the depthwise convolution.
        dilation_rate: of the depthwise convolution.
    """

    kernel_size: int
    expanded: int
    filters: int
    activation: str
    squeezes: bool = False
    strides: int = 1
    dilation_rate: int = 1


RELU, HARD_SWISH = "relu", "hard_silu"
BLOCKS = (
    Block(3, 16, 16, RELU),
    Block(3, 64, 24, RELU, strides=2),
    Block(3, 72, 24, RELU),
    Block(5, 72, 40, RELU, squeezes=True, strides=2),
    Block(5, 120, 40, RELU, squeezes=True),
    Block(5, 120, 40, RELU, squeezes=True),
    Block(3, 240, 80, HARD_SWISH, strides=2),
    Block(3, 200, 80, HARD_SWISH),
    Block(3, 184, 80, HARD_SWISH),
    Block(3, 184, 80, HARD_SWISH),
    Block(3, 480, 112, HARD_SWISH, squeezes=True),
    Block(3, 672, 112, HARD_SWISH, squeezes=True),
    # As published for classification, the first of these has a stride of 2 and none is dilated.
    Block(5, 672, 160, HARD_SWISH, squeezes=True, dilation_rate=2),
    Block(5, 960, 160, HARD_SWISH, squeezes=True, dilation_rate=2),
    Block(5, 960, 160, HARD_SWISH, squeezes=True, dilation_rate=2),
)
LOW = 4  # the number of the first block at 1/8, counted from 1


def mobilenetv3(pixels: Tensor, network: NetworkArguments, dtype: Any) -> dict[str, Tensor]:
    """The maps by endpoint.

    Args:
        pixels: preprocessed images (N, H, W, 3).
        network: the arguments of `build_fcn`. Numbers of filters stay multiples of 8.
        dtype: dtype policy.

    Returns:
        "low", (N, H/8, W/8, 40 width), and "high", (N, H/16, W/16, 960 width).
    """
    convolved = partial(convolution, activation=HARD_SWISH, epsilon=EPSILON, dtype=dtype)
    width = network.width
    filters = scaled(16, width)
    x = convolved(pixels, "backbone_0_0", filters, 3, norm="backbone_0_1", strides=2)  # H/2
    endpoints = {}
    for number, block in enumerate(BLOCKS, start=1):
        x = _block(x, f"backbone_{number}_block", block, width, dtype=dtype)
        if number == LOW:
            endpoints["low"] = x
    name, filters = f"backbone_{len(BLOCKS) + 1}", scaled(LAST_FILTERS, width)
    return {**endpoints, "high": convolved(x, f"{name}_0", filters, 1, norm=f"{name}_1")}


def scaled(filters: float, width: float = 1.0) -> int:
    """The multiple of 8 next to filters * width that is at least 0.9 of it, and at least 8."""
    wanted = filters * width
    found = max(8, int(wanted + 4) // 8 * 8)
    return found + 8 if found < 0.9 * wanted else found


def _block(x: Tensor, name: str, block: Block, width: float, *, dtype: Any) -> Tensor:
    """An inverted residual block; its parts are numbered as torchvision numbers them."""
    convolved = partial(convolution, activation=block.activation, epsilon=EPSILON, dtype=dtype)
    parts = (f"{name}_{number}" for number in itertools.count())
    before, expanded, filters = x, scaled(block.expanded, width), scaled(block.filters, width)
    if expanded != x.shape[-1]:
        part = next(parts)
        x = convolved(x, f"{part}_0", expanded, 1, norm=f"{part}_1")
    part = next(parts)
    x = convolved(
        x,
        f"{part}_0",
        expanded,
        block.kernel_size,
        norm=f"{part}_1",
        depthwise=True,
        strides=block.strides,
        dilation_rate=block.dilation_rate,
    )
    if block.squeezes:
        x = _squeezed(x, next(parts), dtype)
    part = next(parts)
    x = convolved(x, f"{part}_0", filters, 1, norm=f"{part}_1", activation=None)
    if block.strides > 1 or filters != before.shape[-1]:
        return x
    return layers.Add(name=f"{name}_add", dtype=dtype)([x, before])


def _squeezed(x: Tensor, name: str, dtype: Any) -> Tensor:
    """Each channel times a share in 0..1 that follows from the averages of all."""
    channels = x.shape[-1]
    convolved = partial(layers.Conv2D, kernel_size=1, dtype=dtype)
    cell = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_avgpool", dtype=dtype)(x)
    cell = convolved(scaled(channels // 4), activation="relu", name=f"{name}_fc1")(cell)
    cell = convolved(channels, activation="hard_sigmoid", name=f"{name}_fc2")(cell)
    return layers.Multiply(name=f"{name}_scaled", dtype=dtype)([x, cell])
