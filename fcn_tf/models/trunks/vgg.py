"""VGG16 and VGG19, their dense layers turned into convolutions."""

from keras import layers

from fcn_tf.models.layers import DilatedMaxPooling
from fcn_tf.models.trunks.convolutions import convolution, dense_as_convolutions


def vgg(images, arguments, blocks):
    """VGG with its dense layers turned into convolutions (Long et al. 2015, section 3.1).

    An output stride below 32 takes the strides out of the last pools and dilates what
    follows them (section 3.2, filter rarefaction): the same kernels see the same pixels,
    at every place.

    Args:
        images: KerasTensor (N, H, W, 3), preprocessed.
        arguments: `Arguments`.
        blocks: (convolutions, filters) of each of the five blocks.

    Returns:
        dict of KerasTensors: pool3 (N, H/8, W/8, 256 width), pool4
        (N, H/16, W/16, 512 width), fc7 (N, H/32, W/32, head_units). Under a smaller output
        stride s those at more than s are (N, H/s, W/s, …).
    """
    dtype, pad_px = arguments.dtype, arguments.geometry.pad_px
    endpoints, stride, dilation = {}, 1, 1
    x = layers.ZeroPadding2D(pad_px, name="pad", dtype=dtype)(images) if pad_px else images
    for block, (convolutions, filters) in enumerate(blocks, start=1):
        filters = round(filters * arguments.width)
        for index in range(1, convolutions + 1):
            # The zeros around the image are conv1_1's padding too.
            padding = "valid" if pad_px and (block, index) == (1, 1) else "same"
            name = f"conv{block}_{index}"
            x = convolution(x, name, filters, 3, dtype, padding=padding, dilation_rate=dilation)
        if stride < arguments.output_stride:
            # "same" rounds up, as Caffe's pooling does.
            x = layers.MaxPooling2D(2, padding="same", name=f"pool{block}", dtype=dtype)(x)
            stride *= 2
        else:
            x = DilatedMaxPooling(dilation, name=f"pool{block}", dtype=dtype)(x)
            dilation *= 2
        endpoints[f"pool{block}"] = x  # (N, H / 2^block, W / 2^block, filters)
    fc7 = dense_as_convolutions(x, arguments, arguments.fc6_kernel, dilation)
    return {"pool3": endpoints["pool3"], "pool4": endpoints["pool4"], "fc7": fc7}
