"""VGG16 and VGG19, their dense layers turned into convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from keras import layers

from fcn_tf.models.layers import DilatedMaxPooling, PadToGrid, Tensor
from fcn_tf.models.trunks.arguments import TrunkArguments
from fcn_tf.models.trunks.convolutions import (
    convolution,
    dense_as_convolutions,
    with_dropout,
)


def vgg(
    images: Tensor, arguments: TrunkArguments, blocks: Sequence[tuple[int, int]]
) -> dict[str, Tensor]:
    """VGG with its dense layers turned into convolutions (Long et al. 2015, section 3.1).

    For an output stride below 32, the last pools lose their strides and the layers after
    them are dilated (section 3.2, filter rarefaction): the same kernels see the same pixels,
    at more places.

    Args:
        images: preprocessed images (N, H, W, 3).
        arguments: the trunk's.
        blocks: (convolutions, filters) of each of the five blocks.

    Returns:
        Maps pool3 (N, H/8, W/8, 256 width), pool4 (N, H/16, W/16, 512 width) and fc7
        (N, H/32, W/32, head_units). With an output stride s below 32, those that would be
        coarser than 1/s are (N, H/s, W/s, …). Or the maps of `gives_levels`, block1 (N, H, W,
        64 width) to block5 (N, H/16, W/16, 512 width), of the image filled up to a multiple of
        the last one's cells.
    """
    dtype, pad_px = arguments.dtype, arguments.geometry.pad_px
    if arguments.gives_levels:
        images = PadToGrid(2 ** (len(blocks) - 1), name="pad", dtype=dtype)(images)
    endpoints, stride, dilation = {}, 1, 1
    x = layers.ZeroPadding2D(pad_px, name="pad", dtype=dtype)(images) if pad_px else images
    for block, (convolutions, filters) in enumerate(blocks, start=1):
        for index in range(1, convolutions + 1):
            # The border of zeros around the image is conv1_1's padding too.
            is_padded = pad_px and (block, index) == (1, 1)
            x = convolution(
                x,
                f"conv{block}_{index}",
                round(filters * arguments.width),
                3,
                padding="valid" if is_padded else "same",
                dilation_rate=dilation,
                dtype=dtype,
            )
        endpoints[f"block{block}"] = x  # (N, H / 2^(block - 1), W / 2^(block - 1), filters)
        if arguments.gives_levels and block == len(blocks):
            return {**endpoints, f"block{block}": with_dropout(x, f"drop{block}", arguments)}
        if stride < arguments.output_stride:
            # "same" rounds the size up, as Caffe's pooling does.
            x = layers.MaxPooling2D(2, padding="same", name=f"pool{block}", dtype=dtype)(x)
            stride *= 2
        else:
            x = DilatedMaxPooling(dilation, name=f"pool{block}", dtype=dtype)(x)
            dilation *= 2
        endpoints[f"pool{block}"] = x  # (N, H / 2^block, W / 2^block, filters)
    fc7 = dense_as_convolutions(x, arguments, arguments.fc6_kernel, dilation)
    return {"pool3": endpoints["pool3"], "pool4": endpoints["pool4"], "fc7": fc7}
