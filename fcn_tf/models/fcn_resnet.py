"""torchvision's FCNs: a dilated ResNet and a small head at 1/8, then bilinear resizing."""

from __future__ import annotations

from typing import Any

from keras import layers

from fcn_tf.config.networks import RESNETS, NetworkArguments
from fcn_tf.models.layers import BATCH_NORM_MOMENTUM, ResizeLike, Tensor

# torchvision's value, with which its weights were trained.
BATCH_NORM_EPSILON = 1e-5
# Of each stage: its stride, the dilation of its first block, and of its other blocks. The
# first block of a dilated stage still has the dilation of the stage before.
STAGES = ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))


def fcn_resnet(
    images: Tensor, pixels: Tensor, network: NetworkArguments, num_classes: int, dtype: Any
) -> Tensor:
    """torchvision's fcn_resnet50 or fcn_resnet101.

    A ResNet (He et al. 2016) of bottlenecks that have their stride in the 3 x 3 convolution;
    dilation replaces the strides of its last two stages. Layers have the names of the
    published tensors, with _ instead of each dot, but `score_fr` is their classifier.4.

    Args:
        images: (N, H, W, 3), whose size the logits get.
        pixels: the same images, preprocessed.
        network: the arguments of `build_fcn`. As published, width is 1 and dropout 0.1.
        num_classes: number of channels of the logits.
        dtype: dtype policy of all layers before the scores.

    Returns:
        float32 logits (N, H, W, num_classes).
    """
    unit = round(64 * network.width)

    def convolution(
        x: Tensor,
        name: str,
        filters: int,
        kernel_size: int,
        *,
        norm: str,
        strides: int = 1,
        dilation_rate: int = 1,
        relu: bool = True,
    ) -> Tensor:
        padding_px = (kernel_size - 1) // 2 * dilation_rate
        if strides > 1 and padding_px:
            # Half of the kernel on every side, where TensorFlow's "same" would pad less.
            x = layers.ZeroPadding2D(padding_px, name=f"{name}_pad", dtype=dtype)(x)
        x = layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if strides > 1 else "same",
            dilation_rate=dilation_rate,
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
            dtype=dtype,
        )(x)
        x = layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=norm, dtype=dtype
        )(x)
        return layers.ReLU(name=f"{norm}_relu", dtype=dtype)(x) if relu else x

    def bottleneck(
        x: Tensor, name: str, filters: int, *, strides: int, dilation_rate: int, is_first: bool
    ) -> Tensor:
        y = convolution(x, f"{name}_conv1", filters, 1, norm=f"{name}_bn1")
        y = convolution(
            y,
            f"{name}_conv2",
            filters,
            3,
            norm=f"{name}_bn2",
            strides=strides,
            dilation_rate=dilation_rate,
        )
        y = convolution(y, f"{name}_conv3", 4 * filters, 1, norm=f"{name}_bn3", relu=False)
        if is_first:
            name_of_x = f"{name}_downsample"
            x = convolution(
                x,
                f"{name_of_x}_0",
                4 * filters,
                1,
                norm=f"{name_of_x}_1",
                strides=strides,
                relu=False,
            )
        x = layers.Add(name=f"{name}_add", dtype=dtype)([x, y])
        return layers.ReLU(name=f"{name}_relu", dtype=dtype)(x)

    x = convolution(pixels, "backbone_conv1", unit, 7, norm="backbone_bn1", strides=2)  # H/2
    # After a ReLU, a padded zero is never the largest.
    x = layers.ZeroPadding2D(1, name="backbone_maxpool_pad", dtype=dtype)(x)
    x = layers.MaxPooling2D(3, 2, name="backbone_maxpool", dtype=dtype)(x)  # H/4
    blocks = RESNETS[network.variant]
    for number, (count, stage) in enumerate(zip(blocks, STAGES, strict=True), start=1):
        strides, first_rate, rate = stage
        for block in range(count):
            is_first = block == 0
            x = bottleneck(
                x,
                f"backbone_layer{number}_{block}",
                unit * 2 ** (number - 1),
                strides=strides if is_first else 1,
                dilation_rate=first_rate if is_first else rate,
                is_first=is_first,
            )
    # (N, H/8, W/8, 2048 width)
    x = convolution(x, "classifier_0", 8 * unit, 3, norm="classifier_1")
    if network.dropout:
        x = layers.Dropout(network.dropout, name="classifier_3", dtype=dtype)(x)
    scores = layers.Conv2D(
        num_classes, 1, kernel_initializer="zeros", name="score_fr", dtype="float32"
    )(x)
    return ResizeLike(name="resize", dtype="float32")([scores, images])
