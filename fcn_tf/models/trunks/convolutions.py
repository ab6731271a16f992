"""The convolutions of the classic trunks, and their dense layers as convolutions."""

from __future__ import annotations

from typing import Any

from keras import layers

from fcn_tf.models.layers import Conv2D, Tensor
from fcn_tf.models.trunks.arguments import TrunkArguments


def convolution(
    x: Tensor,
    name: str,
    filters: int,
    kernel_size: int,
    *,
    layer: type = layers.Conv2D,
    padding: str = "same",
    **kwargs: Any,
) -> Tensor:
    """A convolution with bias and ReLU.

    Args:
        x: map (N, H, W, C).
        name: name of the layer.
        filters: number of channels of the result.
        kernel_size: side of the kernel.
        layer: class of the layer.
        padding: Keras' padding, "same" or "valid".
        kwargs: further arguments of the layer.

    Returns:
        A map (N, H, W, filters), smaller with strides or without padding.
    """
    # He initialization: trained from scratch, a net of this depth does not start to learn
    # from Glorot's.
    return layer(
        filters,
        kernel_size,
        activation="relu",
        kernel_initializer="he_normal",
        padding=padding,
        name=name,
        **kwargs,
    )(x)


def dense_as_convolutions(
    x: Tensor, arguments: TrunkArguments, fc6_kernel: int, dilation_rate: int = 1
) -> Tensor:
    """fc6 and fc7 on a map, each followed by dropout (Long et al. 2015, section 3.1).

    Args:
        x: map (N, H/32, W/32, C).
        arguments: the trunk's.
        fc6_kernel: side of fc6's kernel.
        dilation_rate: dilation of fc6.

    Returns:
        A map (N, H/32, W/32, head_units); fc6_kernel - 1 cells smaller if fc6 has no padding.
    """
    x = convolution(
        x,
        "fc6",
        arguments.head_units,
        fc6_kernel,
        layer=Conv2D,
        padding=arguments.geometry.fc6_padding,
        dilation_rate=dilation_rate,
        dtype=arguments.dtype,
    )
    x = with_dropout(x, "drop6", arguments)
    x = convolution(x, "fc7", arguments.head_units, 1, layer=Conv2D, dtype=arguments.dtype)
    return with_dropout(x, "drop7", arguments)


def with_dropout(x: Tensor, name: str, arguments: TrunkArguments) -> Tensor:
    """The map (N, H, W, C), followed by dropout unless its rate is 0."""
    if not arguments.dropout:
        return x
    return layers.Dropout(arguments.dropout, name=name, dtype=arguments.dtype)(x)
