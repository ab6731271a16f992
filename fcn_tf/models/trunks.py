"""Trunks: classifiers without their last layer, as the source of features.

A trunk is a function `(images, ...) -> {endpoint: map}` with the endpoints
`pool3` (1/8), `pool4` (1/16) and `fc7` (1/32). Sizes round up: H/8 below
means ceil(H / 8), H being the height with the padding.
"""

from keras import layers

# Simonyan and Zisserman 2015, table 1, column D: convolutions and filters a block.
VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def vgg16(images, width, head_units, fc6_kernel, dropout, pad_px, fc6_padding, dtype):
    """VGG16 with its dense layers turned into convolutions (Long et al. 2015, section 3.1).

    Args:
        images: KerasTensor (N, H, W, 3), preprocessed.
        width: float, multiplies the filters of the 13 convolutions.
        head_units: int, filters of fc6 and fc7; 4096 in the paper.
        fc6_kernel: int, side of fc6's kernel; 7 in the paper.
        dropout: float in [0, 1), rate after fc6 and fc7, element by element.
        pad_px: int, zeros around the preprocessed images; conv1_1 then adds none.
        fc6_padding: "same", or "valid": fc7 is smaller by fc6_kernel - 1.
        dtype: dtype policy of the layers.

    Returns:
        dict of KerasTensors: pool3 (N, H/8, W/8, 256 width), pool4
        (N, H/16, W/16, 512 width), fc7 (N, H/32, W/32, head_units).
    """

    def convolution(x, name, filters, kernel_size, padding="same"):
        # He initialization: from scratch a net of this depth does not start under Glorot's.
        return layers.Conv2D(
            filters,
            kernel_size,
            padding=padding,
            activation="relu",
            kernel_initializer="he_normal",
            name=name,
            dtype=dtype,
        )(x)

    endpoints = {}
    x = layers.ZeroPadding2D(pad_px, name="pad", dtype=dtype)(images) if pad_px else images
    for block, (convolutions, filters) in enumerate(VGG16_BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            padding = "valid" if pad_px and (block, index) == (1, 1) else "same"
            x = convolution(x, f"conv{block}_{index}", round(filters * width), 3, padding)
        # "same" rounds up, as Caffe's pooling does.
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{block}", dtype=dtype)(x)
        endpoints[f"pool{block}"] = x  # (N, H / 2^block, W / 2^block, filters)
    for name, kernel_size, padding in (("fc6", fc6_kernel, fc6_padding), ("fc7", 1, "same")):
        x = convolution(x, name, head_units, kernel_size, padding)
        if dropout:
            x = layers.Dropout(dropout, name=f"drop{name[-1]}", dtype=dtype)(x)
    return {"pool3": endpoints["pool3"], "pool4": endpoints["pool4"], "fc7": x}


TRUNKS = {"vgg16": vgg16}
