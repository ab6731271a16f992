import keras
import numpy as np
import pytest
from keras import layers

from fcn_tf.models import build_fcn
from fcn_tf.models import layers as own
from fcn_tf.models.margin import layer_of_whole_image, margin_px

NARROWEST = {"width": 1 / 64, "head_units": 4}


@pytest.mark.parametrize(
    ("variant", "arguments", "margin"),
    [
        # Up to block 5 a cell sees 2 + 4 + 12 + 24 + 48 px beyond itself, and one cell more for
        # the upsampling: 90 + 32 = 122, in steps of 32. fc6 reaches 3 cells of 32 px further.
        ("fcn32s", {"fc6_kernel": 1}, 128),
        ("fcn32s", {"fc6_kernel": 7}, 224),
        ("fcn8s", {"fc6_kernel": 7}, 224),
        # A dilated network sees the same, and has a cell every 8 px.
        ("fcn32s", {"output_stride": 8}, 224),
        ("fcn_resnet50", {}, None),
    ],
)
def test_the_margin_of_a_tile(variant, arguments, margin):
    assert margin_px(build_fcn(variant, 2, **{**NARROWEST, **arguments})) == margin


def network(*parts):
    """A model of images (N, H, W, 3) that ends in maps of their size; a part may be a function."""
    x = images = keras.Input((None, None, 3))
    for part in parts:
        x = part([x, images]) if isinstance(part, own.Crop) else part(x)
    return keras.Model(images, x)


def in_channels(x):
    """What looks at each pixel by itself."""
    x = layers.Dense(4, activation="tanh")(layers.Rescaling([1, 2, 3], [0, 1, 0])(x))
    y = layers.PReLU("uniform", shared_axes=[1, 2])(layers.BatchNormalization()(x))
    y = layers.LayerNormalization()(layers.Dropout(0.5)(layers.Activation("gelu")(y)))
    return layers.Softmax()(layers.Concatenate()([layers.Add()([x, y]), layers.ELU()(x)]))


def two_ways(x):
    """A wide window, and two narrow ones one after the other."""
    y = layers.Conv2D(2, 1)(layers.Conv2D(2, 1)(x))
    return layers.Maximum()([layers.Conv2D(2, 5, padding="same")(x), y])


LOCAL = {
    "pixels by themselves": ([in_channels], 0),
    "across alone": ([layers.Conv2D(2, (1, 3), padding="same")], 32),
    "two ways": ([two_ways], 32),
    "5 x 3": ([layers.Conv2D(2, (5, 3), padding="same")], 32),
    # Rows beyond 33 px: 11 cells of 3 px on each side.
    "dilated": ([layers.DepthwiseConv2D(23, dilation_rate=3, padding="same")], 64),
    "separable": ([layers.SeparableConv2D(2, 3, padding="same")], 32),
    # The windows of 2 x 2 begin 2 px above and to the left of the image.
    "shifted windows": (
        [
            layers.ZeroPadding2D(((2, 3), (4, 3))),
            layers.MaxPooling2D(2),
            layers.Cropping2D(((1, 0), (2, 0))),
            layers.UpSampling2D(2, interpolation="bilinear"),
            own.Crop(0),
        ],
        32,
    ),
    # Of a multiple of 32 px a stride begins at the first pixel, whatever the size.
    "strides on the grid": (
        [
            own.PadToGrid(32),
            layers.Conv2D(2, 3, strides=2, padding="same"),
            layers.ZeroPadding2D(((0, 1), (0, 1))),
            layers.Conv2D(2, 3, strides=2),
            layers.Conv2DTranspose(2, 9, strides=4, padding="same"),
            own.Crop(0),
        ],
        32,
    ),
    "pooled without a stride": ([layers.ReLU(), own.DilatedMaxPooling(40)], 64),
    # A tile begins where a cell does: nothing is seen beyond the cell, until the convolution.
    "cells of the grid": (
        [own.PadToGrid(32), layers.AveragePooling2D(32), layers.UpSampling2D(32), own.Crop(0)],
        0,
    ),
    "bilinear": (
        [
            *(own.PadToGrid(32), layers.AveragePooling2D(32)),
            *(layers.UpSampling2D(32, interpolation="bilinear"), own.Crop(0)),
        ],
        32,
    ),
    "after the upsampling": (
        [
            *(own.PadToGrid(32), layers.AveragePooling2D(32), layers.UpSampling2D(32)),
            *(own.Crop(0), layers.Conv2D(2, 3, padding="same")),
        ],
        32,
    ),
}


@pytest.mark.parametrize(("parts", "margin"), LOCAL.values(), ids=LOCAL)
def test_tiles_with_the_margin_give_what_the_image_gives(parts, margin):
    """Every tile of 32 px of an image whose sides are odd, cut out with the margin."""
    model = network(*parts)
    assert margin_px(model) == margin
    assert layer_of_whole_image(model) is None
    image = np.random.default_rng(0).random((1, 139, 75, 3), np.float32)
    whole = np.asarray(model(image, training=False))
    for top in range(0, 139, 32):
        for left in range(0, 75, 32):
            above, before = max(0, top - margin), max(0, left - margin)
            fed = image[:, above : top + 32 + margin, before : left + 32 + margin]
            tile = np.asarray(model(fed, training=False))[:, top - above :, left - before :]
            expected = whole[:, top : top + 32, left : left + 32]
            np.testing.assert_allclose(tile[:, :32, :32], expected, atol=1e-5)


class Sharpened(layers.Conv2D):
    """A convolution that might do anything else besides."""


def weighed(of_image):
    """Multiplies each channel by a weight that another layer makes of the whole map."""
    return lambda x: layers.Multiply()([x, of_image(x)])


NOT_LOCAL = {
    "GlobalMaxPooling2D": [weighed(layers.GlobalMaxPooling2D(keepdims=True))],
    "GlobalAveragePooling2D": [weighed(layers.GlobalAveragePooling2D(keepdims=True))],
    "GroupNormalization": [layers.GroupNormalization(1)],
    "LayerNormalization": [layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False)],
    "UnitNormalization": [layers.UnitNormalization(axis=(1, 2))],
    "Softmax": [layers.Softmax(axis=1)],
    "Lambda": [layers.Lambda(lambda x: x - keras.ops.mean(x))],
    "Mean": [lambda x: x - keras.ops.mean(x, axis=(1, 2), keepdims=True)],
    "Conv2D": [layers.Conv2D(2, 1, activation=lambda x: x - keras.ops.mean(x))],
    "Sharpened": [Sharpened(2, 1)],
    "ResizeLike": [lambda x: own.ResizeLike()([layers.MaxPooling2D(2)(x), x])],
    "UpSampling2D": [layers.UpSampling2D(2, interpolation="bicubic")],
    "Concatenate": [lambda x: layers.Concatenate(axis=1)([x, x])],
    "Functional": [lambda x: network(layers.Conv2D(2, 1))(x)],
    # Its windows begin one pixel earlier in an image with an odd side.
    "Conv2D with strides": [layers.Conv2D(2, 3, strides=2, padding="same")],
    # Cells of 64 px, and of 3: a tile of the grid begins within one.
    "MaxPooling2D of 64": [layers.MaxPooling2D(8), layers.MaxPooling2D(8)],
    "MaxPooling2D": [layers.MaxPooling2D(3)],
}


@pytest.mark.parametrize(("kind", "parts"), NOT_LOCAL.items(), ids=NOT_LOCAL)
def test_a_layer_that_may_see_the_whole_image_is_named(kind, parts):
    model = network(layers.Conv2D(3, 3, padding="same"), *parts)
    assert margin_px(model) is None
    assert layer_of_whole_image(model).startswith(f'{kind.split()[0]} "')


def test_a_layer_that_is_called_twice_is_not_followed():
    twice = layers.Conv2D(3, 3, padding="same")
    assert layer_of_whole_image(network(twice, twice)) == "a layer that is called more than once"
    twice, then = layers.Conv2D(3, 3, padding="same"), layers.ReLU(name="then")
    assert layer_of_whole_image(network(twice, twice, then)).startswith(
        'ReLU "then", which follows'
    )


def test_slopes_for_each_place_and_channels_in_front_are_not_local():
    images = keras.Input((64, 64, 3))
    assert margin_px(keras.Model(images, layers.PReLU()(images))) is None
    assert margin_px(keras.Model(images, layers.Rescaling(np.ones((64, 64, 1)))(images))) is None
    in_front = layers.Conv2D(2, 1, data_format="channels_first")
    assert margin_px(keras.Model(images, in_front(images))) is None
