"""torchvision's networks: FCN, DeepLab v3 and LR-ASPP, on dilated ResNets and MobileNetV3.

Layers have the names of the published tensors, with _ instead of each dot, but those that give
scores, whose names begin with score_. `fcn_tf.config.networks.WHOLE_NETWORKS` names the trunk and
the head of each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fcn_tf.config.networks import IMAGENET_RGB, NetworkArguments
from fcn_tf.models.layers import ResizeLike, Standardization, Tensor
from fcn_tf.models.torchvision.heads import HEADS
from fcn_tf.models.torchvision.mobilenet import mobilenetv3
from fcn_tf.models.torchvision.resnet import BLOCKS, resnet

TRUNKS: dict[str, Callable[..., dict[str, Tensor]]] = {
    **{name: partial(resnet, blocks=blocks) for name, blocks in BLOCKS.items()},
    "mobilenetv3": mobilenetv3,
}


def torchvision_network(
    images: Tensor,
    network: NetworkArguments,
    num_classes: int,
    dtype: Any,
    *,
    trunk: str,
    head: str,
) -> Tensor:
    """A network of torchvision.

    Args:
        images: RGB in 0..255, (N, H, W, 3), whose size the logits get.
        network: the arguments of `build_fcn`. As published, width is 1, and dropout and output
            stride are those of `WHOLE_NETWORKS`.
        num_classes: number of channels of the logits.
        dtype: dtype policy of all layers before the scores.
        trunk: a key of `TRUNKS`.
        head: a key of `heads.HEADS`.

    Returns:
        float32 logits (N, H, W, num_classes).
    """
    pixels = Standardization(*IMAGENET_RGB, name="preprocessing")(images)
    endpoints = TRUNKS[trunk](pixels, network, dtype)
    scores = HEADS[head](endpoints, network, num_classes, dtype)
    return ResizeLike(name="resize", dtype="float32")([scores, images])
