"""torchvision's dilated ResNets: a stride of 8 or 16, where classification has 32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from keras import layers

from fcn_tf.config.networks import NetworkArguments
from fcn_tf.models.layers import Tensor
from fcn_tf.models.torchvision.layers import convolution

# The number of blocks of each stage (He et al. 2016, table 1).
BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


class Stage(NamedTuple):
    """The stride of a stage, the dilation of its first block, and that of its other blocks."""

    strides: int
    first_rate: int
    rate: int


def stages(output_stride: int) -> Iterator[Stage]:
    """The four stages, of which the last are dilated where a stride would be too large.

    The first block of a dilated stage still has the dilation of the stage before.

    Args:
        output_stride: px between the cells of the last map: 8, 16 or 32.
    """
    stride, rate = 4, 1
    for wanted in (1, 2, 2, 2):
        if stride * wanted <= output_stride:
            stride *= wanted
            yield Stage(wanted, rate, rate)
        else:
            yield Stage(1, rate, wanted * rate)
            rate *= wanted


def resnet(
    pixels: Tensor, network: NetworkArguments, dtype: Any, *, blocks: Sequence[int]
) -> dict[str, Tensor]:
    """A ResNet of bottlenecks that have their stride in the 3 x 3 convolution.

    Args:
        pixels: preprocessed images (N, H, W, 3).
        network: the arguments of `build_fcn`.
        dtype: dtype policy.
        blocks: the number of blocks of each stage.

    Returns:
        "high", (N, H/s, W/s, 2048 width), s the output stride.
    """
    unit, convolved = round(64 * network.width), partial(convolution, dtype=dtype)

    def bottleneck(
        x: Tensor, name: str, filters: int, *, strides: int, dilation_rate: int, is_first: bool
    ) -> Tensor:
        y = convolved(x, f"{name}_conv1", filters, 1, norm=f"{name}_bn1")
        y = convolved(
            y,
            f"{name}_conv2",
            filters,
            3,
            norm=f"{name}_bn2",
            strides=strides,
            dilation_rate=dilation_rate,
        )
        y = convolved(y, f"{name}_conv3", 4 * filters, 1, norm=f"{name}_bn3", activation=None)
        if is_first:
            name_of_x = f"{name}_downsample"
            x = convolved(
                x,
                f"{name_of_x}_0",
                4 * filters,
                1,
                norm=f"{name_of_x}_1",
                strides=strides,
                activation=None,
            )
        x = layers.Add(name=f"{name}_add", dtype=dtype)([x, y])
        return layers.ReLU(name=f"{name}_relu", dtype=dtype)(x)

    x = convolved(pixels, "backbone_conv1", unit, 7, norm="backbone_bn1", strides=2)  # H/2
    # After a ReLU, a padded zero is never the largest.
    x = layers.ZeroPadding2D(1, name="backbone_maxpool_pad", dtype=dtype)(x)
    x = layers.MaxPooling2D(3, 2, name="backbone_maxpool", dtype=dtype)(x)  # H/4
    of_stages = zip(blocks, stages(network.output_stride), strict=True)
    for number, (count, stage) in enumerate(of_stages, start=1):
        rates = [stage.first_rate] + [stage.rate] * (count - 1)
        if network.multi_grid and number == len(blocks):
            rates = [stage.rate * factor for factor in network.multi_grid]
        for block in range(count):
            is_first = block == 0
            x = bottleneck(
                x,
                f"backbone_layer{number}_{block}",
                unit * 2 ** (number - 1),
                strides=stage.strides if is_first else 1,
                dilation_rate=rates[block],
                is_first=is_first,
            )
    return {"high": x}
