"""GoogLeNet (Szegedy et al. 2015), without its auxiliary classifiers."""

from keras import layers

from fcn_tf.models.layers import LocalResponseNormalization, PadToGrid
from fcn_tf.models.trunks.convolutions import convolution, dropped

# Table 1 of Szegedy et al.: filters of 1x1; of 3x3 and its reduction; of 5x5 and its
# reduction; of the projection behind the pooling.
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
# The modules whose maps are the endpoints; a pool follows the first two.
ENDPOINTS = {"3b": "pool3", "4e": "pool4", "5b": "fc7"}


def googlenet(images, arguments):
    """GoogLeNet, scored straight after its last module (Long et al. 2015, section 4.1).

    Layers are named as in the Caffe release of it, without slashes.

    Args:
        images: KerasTensor (N, H, W, 3), preprocessed.
        arguments: `Arguments`.

    Returns:
        dict of KerasTensors: pool3 (N, H/8, W/8, 480 width), pool4 (N, H/16, W/16,
        832 width), fc7 (N, H/32, W/32, 1024 width).
    """
    dtype, width = arguments.dtype, arguments.width

    def conv(x, name, filters, kernel_size, **kwargs):
        return convolution(x, name, max(1, round(filters * width)), kernel_size, dtype, **kwargs)

    def pool(x, name, strides=2):
        return layers.MaxPooling2D(3, strides, padding="same", name=name, dtype=dtype)(x)

    def module(x, name, plain, reduce3, of3, reduce5, of5, projection):
        name = f"inception_{name}"
        branches = [
            conv(x, f"{name}_1x1", plain, 1),
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
    for name, filters in MODULES.items():
        x = module(x, name, *filters)
        if name in ENDPOINTS:
            endpoints[ENDPOINTS[name]] = x
            if name != "5b":
                x = pool(x, f"pool{name[0]}_3x3_s2")
    endpoints["fc7"] = dropped(endpoints["fc7"], "drop7", arguments)
    return endpoints
