"""torchvision's FCNs: a dilated ResNet and a small head, at 1/8, resized bilinearly."""

from keras import layers

from fcn_tf.models.layers import BATCH_NORM_MOMENTUM, ResizeLike

# torchvision's, and that of its weights.
BATCH_NORM_EPSILON = 1e-5


def fcn_resnet(images, pixels, blocks, num_classes, width, dropout, dtype):
    """fcn_resnet50 or fcn_resnet101 of torchvision.

    A ResNet (He et al. 2016) of bottlenecks whose stride is in the 3 x 3 convolution, the
    strides of its last two stages replaced by dilation. Layers are named as the published
    tensors, with _ for a dot; `score_fr` is their classifier.4.

    Args:
        images: KerasTensor (N, H, W, 3), whose size the logits get.
        pixels: the same, preprocessed.
        blocks: bottlenecks of each of the four stages.
        num_classes: int.
        width: float, multiplies the filters; 1 as published.
        dropout: float, before the scores; 0.1 as published.
        dtype: dtype policy of all layers before the scores.

    Returns:
        KerasTensor of float32 logits (N, H, W, num_classes).
    """
    unit = round(64 * width)

    def convolution(x, name, norm, filters, kernel_size, strides=1, dilation_rate=1, relu=True):
        reach = (kernel_size - 1) // 2 * dilation_rate
        if strides > 1 and reach:
            # Half of the kernel on every side, where "same" of TensorFlow would take less.
            x = layers.ZeroPadding2D(reach, name=f"{name}_pad", dtype=dtype)(x)
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

    def bottleneck(x, name, filters, strides, dilation_rate, is_first):
        y = convolution(x, f"{name}_conv1", f"{name}_bn1", filters, 1)
        y = convolution(y, f"{name}_conv2", f"{name}_bn2", filters, 3, strides, dilation_rate)
        y = convolution(y, f"{name}_conv3", f"{name}_bn3", 4 * filters, 1, relu=False)
        if is_first:
            names = f"{name}_downsample_0", f"{name}_downsample_1"
            x = convolution(x, *names, 4 * filters, 1, strides, relu=False)
        x = layers.Add(name=f"{name}_add", dtype=dtype)([x, y])
        return layers.ReLU(name=f"{name}_relu", dtype=dtype)(x)

    x = convolution(pixels, "backbone_conv1", "backbone_bn1", unit, 7, strides=2)  # H/2
    # Behind a ReLU a zero is never the largest.
    x = layers.ZeroPadding2D(1, name="backbone_maxpool_pad", dtype=dtype)(x)
    x = layers.MaxPooling2D(3, 2, name="backbone_maxpool", dtype=dtype)(x)  # H/4
    # The first block of a dilated stage still has the dilation before.
    stages = ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4))
    for number, (count, stage) in enumerate(zip(blocks, stages, strict=True), start=1):
        strides, first_rate, rate = stage
        for block in range(count):
            name = f"backbone_layer{number}_{block}"
            is_first = block == 0
            filters = unit * 2 ** (number - 1)
            dilation_rate = first_rate if is_first else rate
            x = bottleneck(x, name, filters, strides if is_first else 1, dilation_rate, is_first)
    # (N, H/8, W/8, 2048 width)
    x = convolution(x, "classifier_0", "classifier_1", 8 * unit, 3)
    if dropout:
        x = layers.Dropout(dropout, name="classifier_3", dtype=dtype)(x)
    scores = layers.Conv2D(
        num_classes, 1, kernel_initializer="zeros", name="score_fr", dtype="float32"
    )(x)
    return ResizeLike(name="resize", dtype="float32")([scores, images])
