"""Convolutions as the classic trunks have them, and their dense layers turned into such."""

from keras import layers

from fcn_tf.models.layers import Conv2D


def convolution(x, name, filters, kernel_size, dtype, layer=layers.Conv2D, **kwargs):
    """A convolution with bias and ReLU, "same" padding unless told otherwise.

    Args:
        x: KerasTensor (N, H, W, C).
        name: of the layer.
        filters, kernel_size, dtype, kwargs: as the layer takes them.
        layer: class of the layer.

    Returns:
        KerasTensor (N, H, W, filters), or smaller with strides or without padding.
    """
    # He initialization: from scratch a net of this depth does not start under Glorot's.
    return layer(
        filters,
        kernel_size,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
        dtype=dtype,
        **{"padding": "same", **kwargs},
    )(x)


def dense_as_convolutions(x, arguments, fc6_kernel, dilation_rate=1):
    """fc6 and fc7 on a map, each with dropout (Long et al. 2015, section 3.1).

    Args:
        x: KerasTensor (N, H/32, W/32, C).
        arguments: `Arguments`.
        fc6_kernel: int, the side of fc6's kernel.
        dilation_rate: int, fc6's.

    Returns:
        KerasTensor (N, H/32, W/32, head_units); fc6_kernel - 1 cells less where fc6 has no
        padding.
    """
    fc6 = ("fc6", fc6_kernel, dilation_rate, arguments.geometry.fc6_padding)
    for name, kernel_size, dilation, padding in (fc6, ("fc7", 1, 1, "same")):
        x = convolution(
            x,
            name,
            arguments.head_units,
            kernel_size,
            arguments.dtype,
            layer=Conv2D,
            padding=padding,
            dilation_rate=dilation,
        )
        x = dropped(x, f"drop{name[-1]}", arguments)
    return x


def dropped(x, name, arguments):
    """A map (N, H, W, C) with dropout, if there is any."""
    if not arguments.dropout:
        return x
    return layers.Dropout(arguments.dropout, name=name, dtype=arguments.dtype)(x)
