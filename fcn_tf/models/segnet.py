"""SegNet and SegNet-Basic: an encoder, and a decoder that upsamples by the pooling indices.

Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation" (arXiv 1511.00561). Layers have the names that the authors published, but the
last, which gives the scores: it is `score_fr`, where they have conv1_1_D and conv_classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from keras import initializers, layers

from fcn_tf.config.networks import NetworkArguments
from fcn_tf.models.layers import (
    BATCH_NORM_MOMENTUM,
    CaffePreprocessing,
    Crop,
    LocalResponseNormalization,
    Tensor,
    scores_of,
)
from fcn_tf.models.unpooling import MaxUnpooling2D, PoolingIndices

EPSILON = 1e-9  # of every batch normalization, as published
# What a batch normalization adds at the start. Above 0, so that a ReLU passes some of it.
FIRST_BETA = 0.001
# Scores do not start at 0, as those of an FCN do: a decoder whose scores are 0 learns to tell
# objects from background, and hardly goes on from there.
SCORES_START = "he_normal"
# Bayesian SegNet (arXiv 1511.02680) drops features at this level and below: after the pool, and
# before the upsampling.
FIRST_DROPPED = 3


def segnet(
    images: Tensor,
    network: NetworkArguments,
    num_classes: int,
    dtype: Any,
    *,
    blocks: Sequence[tuple[int, int]],
) -> Tensor:
    """SegNet, whose encoder has the convolutions of a VGG and whose decoder mirrors it.

    Args:
        images: RGB in 0..255, (N, H, W, 3), whose size the logits get.
        network: the arguments of `build_fcn`. As published width is 1, and dropout 0, or 0.5 in
            Bayesian SegNet.
        num_classes: number of channels of the logits.
        dtype: dtype policy of all layers before the scores.
        blocks: (convolutions, filters) of each block of the encoder.

    Returns:
        float32 logits (N, H, W, num_classes).
    """
    # The published network takes BGR in 0..255, and subtracts no mean.
    x = CaffePreprocessing((0.0, 0.0, 0.0), name="preprocessing")(images)
    convolved = partial(_normalized, kernel_size=3, dtype=dtype)
    before_pools = []
    for block, (count, filters) in enumerate(blocks, start=1):
        for index in range(1, count + 1):
            x = convolved(x, f"{block}_{index}", filters=round(filters * network.width))
        before_pools.append(x)
        x = _pooled(x, block, network.dropout, dtype)
    for block, (count, filters) in reversed([*enumerate(blocks, start=1)]):
        x = _unpooled(x, before_pools[block - 1], block, dtype)
        for index in range(count, 1, -1):
            x = convolved(x, f"{block}_{index}_D", filters=round(filters * network.width))
        if block > 1:  # the first one has as many filters as the block that comes next
            filters = blocks[block - 2][1]
            x = convolved(x, f"{block}_1_D", filters=round(filters * network.width))
            x = _dropped(x, f"decdrop{block}", block, dropout=network.dropout, dtype=dtype)
    return scores_of(x, num_classes, kernel_size=3, kernel_initializer=SCORES_START)


def segnet_basic(images: Tensor, network: NetworkArguments, num_classes: int, dtype: Any) -> Tensor:
    """SegNet-Basic: four levels, one convolution of 7 x 7 each, no activation in the decoder.

    Args and returns as `segnet`.
    """
    x = CaffePreprocessing((0.0, 0.0, 0.0), name="preprocessing")(images)
    x = LocalResponseNormalization(name="norm", dtype=dtype)(x)
    filters = round(64 * network.width)
    convolved = partial(_normalized, filters=filters, kernel_size=7, dtype=dtype)
    before_pools = []
    for level in range(1, 5):
        x = convolved(x, str(level))
        before_pools.append(x)
        x = _pooled(x, level, network.dropout, dtype)
    for level in range(4, 0, -1):
        x = _unpooled(x, before_pools[level - 1], level, dtype)
        x = convolved(x, f"_decode{level}", activation=False)
        x = _dropped(x, f"decdrop{level}", level, dropout=network.dropout, dtype=dtype)
    return scores_of(x, num_classes, kernel_initializer=SCORES_START)


def _normalized(
    x: Tensor, name: str, *, filters: int, kernel_size: int, dtype: Any, activation: bool = True
) -> Tensor:
    """A convolution with bias, its batch normalization, and a ReLU; the size stays."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        kernel_initializer="he_normal",
        name=f"conv{name}",
        dtype=dtype,
    )(x)
    x = layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM,
        epsilon=EPSILON,
        beta_initializer=initializers.Constant(FIRST_BETA),
        name=f"conv{name}_bn",
        dtype=dtype,
    )(x)
    return layers.ReLU(name=f"relu{name}", dtype=dtype)(x) if activation else x


def _pooled(x: Tensor, level: int, dropout: float, dtype: Any) -> Tensor:
    """(N, H, W, C) to (N, H/2, W/2, C); "same" rounds the sides up, as Caffe's pooling does."""
    x = layers.MaxPooling2D(2, padding="same", name=f"pool{level}", dtype=dtype)(x)
    return _dropped(x, f"encdrop{level}", level, dropout=dropout, dtype=dtype)


def _unpooled(x: Tensor, before_pool: Tensor, level: int, dtype: Any) -> Tensor:
    """(N, H/2, W/2, C) to (N, H, W, C), the size of the map before the pool of the level."""
    indices = PoolingIndices(name=f"pool{level}_mask", dtype=dtype)(before_pool)
    x = MaxUnpooling2D(name=f"upsample{level}", dtype=dtype)([x, indices])
    return Crop(0, name=f"pool{level}_D", dtype=dtype)([x, before_pool])


def _dropped(x: Tensor, name: str, level: int, *, dropout: float, dtype: Any) -> Tensor:
    if not dropout or level < FIRST_DROPPED:
        return x
    return layers.Dropout(dropout, name=name, dtype=dtype)(x)
