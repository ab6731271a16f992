"""AlexNet as the authors made it convolutional."""

from __future__ import annotations

from typing import Any

from keras import layers

from fcn_tf.models.layers import GroupedConv2D, LocalResponseNormalization, Tensor
from fcn_tf.models.trunks.arguments import TrunkArguments
from fcn_tf.models.trunks.convolutions import convolution, dense_as_convolutions

FC6_KERNEL = 6


def alexnet(images: Tensor, arguments: TrunkArguments) -> dict[str, Tensor]:
    """AlexNet in the layout of the authors' voc-fcn-alexnet (net.py of their release).

    Krizhevsky et al. 2012, but pooled before the normalization, as in Caffe. conv2, conv4
    and conv5 have two groups.

    Args:
        images: preprocessed images (N, H, W, 3).
        arguments: the trunk's.

    Returns:
        One map: fc7 (N, h, w, head_units), whose cell 0 has its centre at pixel 13.
    """
    dtype = arguments.dtype

    def conv(x: Tensor, name: str, filters: int, kernel_size: int, **kwargs: Any) -> Tensor:
        # An even number of filters, which two groups can share.
        filters = 2 * round(filters * arguments.width / 2)
        return convolution(x, name, filters, kernel_size, dtype=dtype, **kwargs)

    def grouped(x: Tensor, name: str, filters: int, kernel_size: int) -> Tensor:
        return conv(x, name, filters, kernel_size, layer=GroupedConv2D, groups=2)

    def pool(x: Tensor, number: int) -> Tensor:
        # The size rounds up, as in Caffe; after a ReLU, a padded zero is never the largest.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"pool{number}_pad", dtype=dtype)(x)
        return layers.MaxPooling2D(3, strides=2, name=f"pool{number}", dtype=dtype)(x)

    x = layers.ZeroPadding2D(arguments.geometry.pad_px, name="pad", dtype=dtype)(images)
    x = conv(x, "conv1", 96, 11, padding="valid", strides=4)
    x = LocalResponseNormalization(name="norm1", dtype=dtype)(pool(x, 1))
    x = grouped(x, "conv2", 256, 5)
    x = LocalResponseNormalization(name="norm2", dtype=dtype)(pool(x, 2))
    x = conv(x, "conv3", 384, 3)
    x = grouped(x, "conv4", 384, 3)
    x = grouped(x, "conv5", 256, 3)
    return {"fc7": dense_as_convolutions(pool(x, 5), arguments, FC6_KERNEL)}
