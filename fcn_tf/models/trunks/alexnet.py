"""AlexNet as the authors made it convolutional."""

from keras import layers

from fcn_tf.models.layers import GroupedConv2D, LocalResponseNormalization
from fcn_tf.models.trunks.convolutions import convolution, dense_as_convolutions

FC6_KERNEL = 6


def alexnet(images, arguments):
    """AlexNet in the layout of the authors' voc-fcn-alexnet (their release's net.py).

    Krizhevsky et al. 2012 with pooling before the normalization, as in Caffe: two groups in
    conv2, conv4 and conv5.

    Args:
        images: KerasTensor (N, H, W, 3), preprocessed.
        arguments: `Arguments`.

    Returns:
        dict of one KerasTensor: fc7 (N, h, w, head_units), whose cell 0 has its centre at
        pixel 13.
    """
    dtype = arguments.dtype

    def conv(x, name, filters, kernel_size, **kwargs):
        # An even number, which two groups share.
        filters = 2 * round(filters * arguments.width / 2)
        return convolution(x, name, filters, kernel_size, dtype, **kwargs)

    def grouped(x, name, filters, kernel_size):
        return conv(x, name, filters, kernel_size, layer=GroupedConv2D, groups=2)

    def pool(x, number):
        # Rounded up, as in Caffe; behind a ReLU a zero is never the largest.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"pool{number}_pad", dtype=dtype)(x)
        return layers.MaxPooling2D(3, strides=2, name=f"pool{number}", dtype=dtype)(x)

    x = layers.ZeroPadding2D(arguments.geometry.pad_px, name="pad", dtype=dtype)(images)
    x = conv(x, "conv1", 96, 11, padding="valid", strides=4)
    x = LocalResponseNormalization(name="norm1", dtype=dtype)(pool(x, 1))
    x = grouped(x, "conv2", 256, 5)
    x = LocalResponseNormalization(name="norm2", dtype=dtype)(pool(x, 2))
    x = conv(x, "conv3", 384, 3)
    x = grouped(x, "conv4", 384, 3)
    x = grouped(x, "conv5", 256, 3)
    return {"fc7": dense_as_convolutions(pool(x, 5), arguments, FC6_KERNEL)}
