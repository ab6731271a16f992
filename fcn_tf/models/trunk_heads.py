"""Heads of other families than FCN, on the trunks of `fcn_tf.models.trunks`.

Each takes the images RGB in 0..255 (N, H, W, 3), the trunk's maps by endpoint, the arguments of
`build_fcn`, the number of classes, and the dtype policy. It returns float32 logits
(N, H, W, num_classes). `fcn_tf.config.networks.TRUNK_HEADS` says which trunks each stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fcn_tf.config.networks import TRUNK_HEADS, TRUNKS, NetworkArguments
from fcn_tf.models.head import interpolated
from fcn_tf.models.layers import Crop, Tensor, scores_of
from fcn_tf.models.torchvision.heads import deeplab_scores
from fcn_tf.models.unet import expanded

# Of a level of U-Net's expansive path; VGG's widest blocks have as many.
MOST_FILTERS = 512
# Chen et al. 2017, section 4.2, at an output stride of 16.
ASPP_RATES = (6, 12, 18)


def unet(
    images: Tensor,
    endpoints: Mapping[str, Tensor],
    network: NetworkArguments,
    num_classes: int,
    *,
    dtype: Any,
) -> Tensor:
    """U-Net's expansive path (Ronneberger et al. 2015), whose contracting path is the trunk.

    A level has as many filters as the map that it copies, which is the number of U-Net's on VGG16.
    Where the trunk's finest map is not as fine as the image, the last level copies nothing, and
    has as many filters as the one before.
    """
    levels = {number: endpoints[name] for number, name in TRUNKS[network.trunk].levels.items()}
    x = levels[max(levels)]
    filters = MOST_FILTERS
    for level in range(max(levels) - 1, 0, -1):
        copied = levels.get(level)
        if copied is not None:
            filters = min(copied.shape[-1], MOST_FILTERS)
        x = expanded(x, copied, level, filters=filters, dtype=dtype)
    # They start at 0, as FCN's do: the maps of a trunk are not of size 1, and VGG's are of 100.
    scores = scores_of(x, num_classes)
    return Crop(0, name="score_fr_crop", dtype="float32")([scores, images])


def deeplab(
    images: Tensor,
    endpoints: Mapping[str, Tensor],
    network: NetworkArguments,
    num_classes: int,
    *,
    dtype: Any,
) -> Tensor:
    """DeepLab v3's atrous spatial pyramid pooling on the trunk's last map, at 1/16.

    The scores are interpolated as FCN's are, from where the trunk's cells lie.
    """
    stride = TRUNK_HEADS[network.variant].output_stride
    scores = deeplab_scores(endpoints["fc7"], ASPP_RATES, network, num_classes, dtype=dtype)
    return interpolated(
        "upscore",
        scores,
        factor=stride,
        centre_px=TRUNKS[network.trunk].centre * (stride - 1),
        reference=images,
    )


HEADS: dict[str, Callable[..., Tensor]] = {"unet": unet, "deeplabv3": deeplab}
