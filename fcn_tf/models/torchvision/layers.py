"""What torchvision's trunks and heads are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from fcn_tf.models.layers import BATCH_NORM_MOMENTUM, Shape, Tensor


def convolution(
    x: Tensor,
    name: str,
    filters: int,
    kernel_size: int,
    *,
    norm: str,
    dtype: Any,
    strides: int = 1,
    dilation_rate: int = 1,
    depthwise: bool = False,
    activation: str | None = "relu",
    epsilon: float = 1e-5,
) -> Tensor:
    """A convolution without bias, its batch normalization, and an activation.

    Args:
        x: (N, H, W, C).
        name: the convolution's name.
        filters: number of channels of the result; with `depthwise` it is that of `x`.
        kernel_size: side of the kernel, odd.
        norm: the normalization's name.
        dtype: dtype policy.
        strides: of both axes.
        dilation_rate: of both axes.
        depthwise: whether each channel has a kernel of its own, and no other.
        activation: Keras' name of it, or None.
        epsilon: of the normalization. The default is torchvision's.

    Returns:
        (N, ceil(H / strides), ceil(W / strides), filters).
    """
    padding_px = (kernel_size - 1) // 2 * dilation_rate
    if strides > 1 and padding_px:
        # Half of the kernel on every side, where TensorFlow's "same" would pad less.
        x = layers.ZeroPadding2D(padding_px, name=f"{name}_pad", dtype=dtype)(x)
    same = {
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": "valid" if strides > 1 else "same",
        "dilation_rate": dilation_rate,
        "use_bias": False,
        "name": name,
        "dtype": dtype,
    }
    if depthwise:
        x = layers.DepthwiseConv2D(depthwise_initializer="he_normal", **same)(x)
    else:
        x = layers.Conv2D(filters, kernel_initializer="he_normal", **same)(x)
    return normalized(x, norm, dtype=dtype, activation=activation, epsilon=epsilon)


def normalized(
    x: Tensor, name: str, *, dtype: Any, activation: str | None = "relu", epsilon: float = 1e-5
) -> Tensor:
    """Batch normalization and an activation, as `convolution` has them."""
    x = layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=epsilon, name=name, dtype=dtype
    )(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_{activation}", dtype=dtype)(x)


@keras.saving.register_keras_serializable("fcn_tf")
class JoinedConv2D(layers.Layer):
    """A 1 x 1 convolution of maps that are joined along their channels; the last is of one cell.

    That cell counts as if it were copied to the size of the others, as bilinear resizing of a
    single cell does it. The products of its channels are the same at every place, so they are
    worked out once. Devices get no shape to work out when they run.

    Args:
        filters: number of channels of the result.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape: Sequence[Shape]) -> None:
        channels = sum(shape[-1] or 0 for shape in input_shape)
        self.kernel = self.add_weight(
            shape=(1, 1, channels, self.filters), initializer="he_normal", name="kernel"
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        *maps, cell = inputs
        joined = ops.concatenate(maps, axis=-1)  # (N, H, W, C)
        channels = joined.shape[-1]
        kernel = ops.convert_to_tensor(self.kernel)
        everywhere = ops.conv(cell, kernel[:, :, channels:])  # (N, 1, 1, filters)
        return ops.conv(joined, kernel[:, :, :channels]) + everywhere

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (*input_shape[0][:3], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}
