"""U-Net (Ronneberger, Fischer and Brox 2015, figure 1).

Layers are named by their level: down1 … down5 along the contracting path, from fine to coarse, and
up4 … up1 back along the expansive path. Level l has cells of 2 ** (l - 1) px.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from keras import layers

from fcn_tf.config.networks import IMAGENET_RGB, NetworkArguments
from fcn_tf.models.layers import Crop, PadToGrid, Standardization, Tensor, scores_of
from fcn_tf.models.mirror import MirroredBorder
from fcn_tf.models.trunks.convolutions import convolution

FILTERS = (64, 128, 256, 512, 1024)  # of each level
# "Drop-out layers at the end of the contracting path": in the authors' network, behind the last two
# levels. What is copied from the first of them was dropped too.
DROPPED = (4, 5)
# Scores start as all convolutions do (section 3). Were they 0 at the start, as FCN's are, the path
# behind them would learn more slowly: nothing else carries the image to the scores.
SCORES_START = "he_normal"
GRID_PX = 2 ** (len(FILTERS) - 1)  # sides that every pool divides by 2 without a rest
# Of the geometry "valid":
MARGIN_PX = 92  # what the convolutions take away on each side
REST_PX = 4  # the scores' sides are so much more than a multiple of the grid: 388 = 24 * 16 + 4
CROPS = (88, 40, 16, 4)  # cells that are cut on each side of what level 1, 2, 3, 4 copies


def unet(images: Tensor, network: NetworkArguments, num_classes: int, dtype: Any) -> Tensor:
    """U-Net, whose image is enlarged so that scores have its size.

    Args:
        images: RGB in 0..255, (N, H, W, 3), whose size the logits get.
        network: the arguments of `build_fcn`. As published, width is 1 and geometry "valid";
            dropout is 0.5 in the authors' network.
        num_classes: number of channels of the logits.
        dtype: dtype policy of all layers before the scores.

    Returns:
        float32 logits (N, H, W, num_classes).
    """
    x = Standardization(*IMAGENET_RGB, name="preprocessing")(images)
    if network.geometry == "valid":
        x = MirroredBorder(MARGIN_PX, GRID_PX, REST_PX, name="mirror", dtype=dtype)(x)
    else:
        x = PadToGrid(GRID_PX, name="pad", dtype=dtype)(x)
    scores = unet_scores(x, network, num_classes, dtype)
    return Crop(0, name="score_fr_crop", dtype="float32")([scores, images])


def unet_scores(x: Tensor, network: NetworkArguments, num_classes: int, dtype: Any) -> Tensor:
    """The network of figure 1.

    Args:
        x: preprocessed images (N, H, W, 3), whose sides are multiples of 16, or with the geometry
            "valid" 12 more than that.
        network, num_classes, dtype: as `unet`.

    Returns:
        float32 scores (N, H, W, num_classes); with the geometry "valid" both sides are 184 shorter.
    """
    filters = [round(number * network.width) for number in FILTERS]
    two_convolutions = partial(_two_convolutions, padding=network.geometry, dtype=dtype)
    copied = []
    for level, number in enumerate(filters, start=1):
        if level > 1:
            x = layers.MaxPooling2D(2, name=f"pool{level - 1}", dtype=dtype)(x)
        x = two_convolutions(x, f"down{level}", number)
        if level in DROPPED and network.dropout:
            x = layers.Dropout(network.dropout, name=f"drop{level}", dtype=dtype)(x)
        copied.append(x)
    for level in range(len(filters) - 1, 0, -1):
        x = expanded(
            *(x, copied[level - 1], level),
            filters=filters[level - 1],
            padding=network.geometry,
            dtype=dtype,
        )
    return scores_of(x, num_classes, kernel_initializer=SCORES_START)


def expanded(
    x: Tensor,
    copied: Tensor | None,
    level: int,
    *,
    filters: int,
    dtype: Any,
    padding: str = "same",
) -> Tensor:
    """A level of the expansive path, from the map of the next coarser one.

    Args:
        x: (N, h, w, C).
        copied: the map of the contracting path at this level; None for a level without one.
        level: its number, which names the layers.
        filters: number of channels of the result.
        dtype: dtype policy.
        padding: "same", or "valid" as published.

    Returns:
        (N, 2 h, 2 w, filters); with "valid" both sides are 4 cells shorter.
    """
    x = layers.Conv2DTranspose(
        filters,
        2,
        strides=2,
        kernel_initializer="he_normal",
        name=f"up{level}",
        dtype=dtype,
    )(x)
    if copied is not None:
        if padding == "valid":
            copied = Crop(CROPS[level - 1], name=f"up{level}_crop", dtype=dtype)([copied, x])
        x = layers.Concatenate(name=f"up{level}_concat", dtype=dtype)([copied, x])
    return _two_convolutions(x, f"up{level}", filters, padding=padding, dtype=dtype)


def _two_convolutions(x: Tensor, name: str, filters: int, *, padding: str, dtype: Any) -> Tensor:
    for number in (1, 2):
        x = convolution(x, f"{name}_conv{number}", filters, 3, padding=padding, dtype=dtype)
    return x
