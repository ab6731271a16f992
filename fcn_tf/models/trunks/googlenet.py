"""GoogLeNet (Szegedy et al. 2015), without its auxiliary classifiers."""

from __future__ import annotations

from typing import Any

from keras import layers

from fcn_tf.models.layers import LocalResponseNormalization, PadToGrid, Tensor
from fcn_tf.models.trunks.arguments import TrunkArguments
from fcn_tf.models.trunks.convolutions import convolution, with_dropout

# Szegedy et al., table 1. The filters of each module's convolutions: 1x1; 3x3's reduction and
# 3x3; 5x5's reduction and 5x5; the projection after the pooling.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# The modules whose maps are the endpoints. A pool follows the first two.
ENDPOINTS = {"3b": "pool3", "4e": "pool4", "5b": "fc7"}


def googlenet(images: Tensor, arguments: TrunkArguments) -> dict[str, Tensor]:
    """GoogLeNet, scored directly after its last module (Long et al. 2015, section 4.1).

    Layers are named as in its Caffe release, without slashes.

    Args:
        images: preprocessed images (N, H, W, 3).
        arguments: the trunk's.

    Returns:
        Maps pool3 (N, H/8, W/8, 480 width), pool4 (N, H/16, W/16, 832 width) and fc7
        (N, H/32, W/32, 1024 width).
    """
    dtype, width = arguments.dtype, arguments.width

    def conv(x: Tensor, name: str, filters: int, kernel_size: int, **kwargs: Any) -> Tensor:
        filters = max(1, round(filters * width))
        return convolution(x, name, filters, kernel_size, dtype=dtype, **kwargs)

    def pool(x: Tensor, name: str, strides: int = 2) -> Tensor:
        return layers.MaxPooling2D(3, strides, padding="same", name=name, dtype=dtype)(x)

    def module(x: Tensor, number: str) -> Tensor:
        of1, reduce3, of3, reduce5, of5, projection = MODULES[number]
        name = f"inception_{number}"
        branches = [
            conv(x, f"{name}_1x1", of1, 1),
            conv(conv(x, f"{name}_3x3_reduce", reduce3, 1), f"{name}_3x3", of3, 3),
            conv(conv(x, f"{name}_5x5_reduce", reduce5, 1), f"{name}_5x5", of5, 5),
            conv(pool(x, f"{name}_pool", 1), f"{name}_pool_proj", projection, 1),
        ]
        return layers.Concatenate(name=f"{name}_output", dtype=dtype)(branches)

    x = PadToGrid(32, name="pad", dtype="float32")(images)
    x = pool(conv(x, "conv1_7x7_s2", 64, 7, strides=2), "pool1_3x3_s2")
    x = LocalResponseNormalization(name="pool1_norm1", dtype=dtype)(x)
    x = conv(conv(x, "conv2_3x3_reduce", 64, 1), "conv2_3x3", 192, 3)
    x = pool(LocalResponseNormalization(name="conv2_norm2", dtype=dtype)(x), "pool2_3x3_s2")
    endpoints = {}
    for number in MODULES:
        x = module(x, number)
        if number in ENDPOINTS:
            endpoints[ENDPOINTS[number]] = x
            if number != "5b":
                x = pool(x, f"pool{number[0]}_3x3_s2")
    endpoints["fc7"] = with_dropout(endpoints["fc7"], "drop7", arguments)
    return endpoints
