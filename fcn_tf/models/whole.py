"""Networks that are published as a whole, with a trunk, a preprocessing and a head of their own.

A builder maps RGB images in 0..255 (N, H, W, 3), the arguments of `build_fcn`, the number of
classes and a dtype policy to float32 logits (N, H, W, num_classes).
`fcn_tf.config.networks.WHOLE_NETWORKS` names the builder of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fcn_tf.config.networks import WHOLE_NETWORKS, NetworkArguments
from fcn_tf.models.layers import Tensor
from fcn_tf.models.segnet import segnet, segnet_basic
from fcn_tf.models.torchvision import torchvision_network
from fcn_tf.models.unet import unet

BUILDERS: dict[str, Callable[..., Tensor]] = {
    "torchvision": torchvision_network,
    "unet": unet,
    "segnet": segnet,
    "segnet_basic": segnet_basic,
}


def whole_network(
    images: Tensor, network: NetworkArguments, num_classes: int, dtype: Any
) -> Tensor:
    """The logits of a network of `WHOLE_NETWORKS`."""
    spec = WHOLE_NETWORKS[network.variant]
    return BUILDERS[spec.build](images, network, num_classes, dtype, **spec.options)
