from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.models.layers import (
    Bilinear,
    CaffePreprocessing,
    Conv2D,
    Crop,
    DilatedMaxPooling,
    EdgeCell,
    GroupedConv2D,
    LocalResponseNormalization,
    PadToGrid,
    ResizeLike,
    Standardization,
    bilinear_kernel,
)


def test_bilinear_kernel_of_factor_2_by_hand():
    # 1 - |i - 1.5| / 2 for i = 0..3
    axis = np.array([0.25, 0.75, 0.75, 0.25])
    kernel = bilinear_kernel(4, 3)
    for i in range(3):
        for j in range(3):
            expected = np.outer(axis, axis) if i == j else np.zeros((4, 4))
            np.testing.assert_array_equal(kernel[:, :, i, j], expected)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_upsampling_equals_bilinear_resize_up_to_the_border(factor):
    scores = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype("float32")
    size = (5 * factor, 7 * factor)
    upsample = keras.layers.Conv2DTranspose(
        3, 2 * factor, strides=factor, use_bias=False, kernel_initializer=Bilinear()
    )
    crop = Crop(factor + factor // 2)
    upsampled = crop([upsample(EdgeCell()(scores)), np.zeros((2, *size, 1), "float32")])
    np.testing.assert_allclose(upsampled, tf.image.resize(scores, size, "bilinear"), atol=2e-6)


def test_preprocessing_turns_rgb_into_bgr_less_the_mean():
    pixel = np.array([[[[10, 20, 30]]]], np.uint8)
    np.testing.assert_allclose(
        CaffePreprocessing()(pixel)[0, 0, 0], [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-6
    )
    scaled = np.array([[[[10, 20, 199.3]]]], np.float32)  # for which bfloat16 is too coarse
    blue = CaffePreprocessing(dtype="mixed_bfloat16")(scaled)[0, 0, 0, 0]
    assert float(blue) == pytest.approx(199.3 - 103.939, rel=1e-6)


def test_a_kernel_that_cannot_be_bilinear_is_refused():
    with pytest.raises(ValueError, match="k, k, C, C"):
        Bilinear()((4, 4, 2, 3))


def test_bilinear_kernel_of_an_odd_side_by_hand():
    # 1 - |i - 1| / 2 for i = 0..2
    axis = np.array([0.5, 1.0, 0.5])
    np.testing.assert_array_equal(bilinear_kernel(3, 1)[..., 0, 0], np.outer(axis, axis))


def test_standardization():
    pixel = np.array([[[[10, 20, 30]]]], np.uint8)
    layer = Standardization((1.0, 2.0, 3.0), (2.0, 3.0, 4.0), dtype="mixed_bfloat16")
    np.testing.assert_allclose(layer(pixel)[0, 0, 0], [9 / 2, 18 / 3, 27 / 4], rtol=1e-6)
    scaled = np.array([[[[10, 20, 199.3]]]], np.float32)
    assert float(layer(scaled)[0, 0, 0, 2]) == pytest.approx((199.3 - 3) / 4, rel=1e-6)


def test_local_response_normalization_is_that_of_tensorflow():
    x = 50 * np.random.default_rng(0).random((2, 3, 4, 9), np.float32)
    # Caffe divides alpha by the channels, TensorFlow does not.
    expected = tf.nn.local_response_normalization(x, 2, bias=1.0, alpha=1e-4 / 5, beta=0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(x), expected, rtol=1e-5)
    # Values whose squares float16 cannot hold.
    large = np.array([300.0, 1, 2, 3, 4, 5], np.float32).reshape(1, 1, 1, 6)
    half = LocalResponseNormalization(dtype="mixed_float16")(large)
    assert half.dtype == "float16"
    np.testing.assert_allclose(half, LocalResponseNormalization()(large), rtol=2e-3)


def test_a_grouped_convolution_is_one_for_each_half():
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 6)).astype("float32")
    layer = GroupedConv2D(4, 3, padding="same", groups=2)
    layer.build(x.shape)
    layer.kernel.assign(np.random.default_rng(1).normal(size=layer.kernel.shape))
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])
    kernel = layer.kernel.numpy()  # (3, 3, 3, 4)
    halves = [
        tf.nn.conv2d(x[..., 3 * i : 3 * i + 3], kernel[..., 2 * i : 2 * i + 2], 1, "SAME")
        for i in range(2)
    ]
    np.testing.assert_allclose(layer(x), tf.concat(halves, -1) + layer.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("padding", "side", "dtype", "tolerance"),
    [
        ("same", 7, "float32", 1e-5),
        ("same", 6, "float32", 1e-5),
        ("same", 1, "float32", 1e-5),
        ("valid", 7, "float32", 1e-5),
        ("valid", 6, "float32", 1e-5),
        ("same", 7, "mixed_bfloat16", 2**-5),
    ],
)
def test_a_convolution_as_patches_times_a_matrix(padding, side, dtype, tolerance):
    """Result and gradients equal those of the convolution, for unknown sizes as well."""
    layer = Conv2D(16, side, padding=padding, activation="relu", dtype=dtype)
    layer.build((None, None, None, 8))
    random = np.random.default_rng(0)
    layer.bias.assign(random.normal(size=16))
    x = tf.constant(random.normal(size=(2, 12, 15, 8)), tf.float32)
    factors = tf.constant(random.normal(size=16), tf.float32)

    def answer_and_gradients(as_patches, x):
        layer.as_patches = as_patches
        with tf.GradientTape() as tape:
            tape.watch(x)
            answer = tf.cast(layer(x, training=True), tf.float32)
            loss = tf.reduce_sum(answer**2 * factors)
        return answer, *tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])

    free = tf.TensorSpec((None, None, None, 8))
    convolved, as_patches = (
        tf.function(partial(answer_and_gradients, way), input_signature=[free])(x)
        for way in (False, True)
    )
    for expected, found in zip(convolved, as_patches, strict=True):
        assert np.abs(expected - found).max() < tolerance * np.abs(expected).max()
    if dtype == "mixed_bfloat16":  # the kernel's gradient is not rounded to bfloat16
        rounded = tf.cast(tf.cast(as_patches[2], tf.bfloat16), tf.float32)
        assert (rounded != as_patches[2]).numpy().any()
    assert convolutions_in(answer_and_gradients, True, x) == 0
    assert convolutions_in(answer_and_gradients, False, x) == 3


def convolutions_in(function, *arguments):
    """The number of convolutions and of their gradients in the graph of a function."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    return sum(operation.type.startswith("Conv2D") for operation in graph.get_operations())


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2},
        {"dilation_rate": 2},
        {"use_bias": False},
        {"groups": 2},
        {"kernel_size": (3, 5)},
    ],
)
def test_other_convolutions_ignore_as_patches(options):
    x = np.random.default_rng(0).random((1, 12, 15, 8), np.float32)
    layer = Conv2D(**{"filters": 16, "kernel_size": 3, **options})
    expected = layer(x, training=True)
    layer.as_patches = True
    np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-5)


def test_resizing_equals_tensorflow_at_sizes_unknown_to_the_graph():
    scores = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype("float32")
    free = tf.TensorSpec((None, None, None, 3))
    resize = tf.function(lambda *maps: ResizeLike()(maps), input_signature=[free, free])
    for size in ((1, 1), (5, 7), (33, 50), (3, 40)):
        expected = tf.image.resize(scores, size, "bilinear")
        answer = resize(scores, np.zeros((1, *size, 3), np.float32))
        np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize("rate", [1, 3])
def test_dilated_pooling_by_hand(rate):
    x = np.random.default_rng(0).random((1, 5, 4, 2), np.float32)
    expected = np.zeros_like(x)
    for row in range(5):
        for column in range(4):
            window = x[:, row : row + rate + 1 : rate, column : column + rate + 1 : rate]
            expected[:, row, column] = window.max(axis=(1, 2))
    np.testing.assert_array_equal(DilatedMaxPooling(rate)(x), expected)


def test_each_layer_is_made_again_from_what_it_says_of_itself():
    x = np.random.default_rng(0).random((1, 9, 10, 3), np.float32)
    for layer, inputs in (
        (CaffePreprocessing((1.0, 2.0, 3.0)), x),
        (Standardization((1.0, 2.0, 3.0), (2.0, 3.0, 4.0)), x),
        (EdgeCell(2), x),
        (Crop(3), [x, x[:, :5, :4]]),
        (PadToGrid(8), x),
        (DilatedMaxPooling(2), x),
    ):
        twin = type(layer).from_config(layer.get_config())
        np.testing.assert_array_equal(twin(inputs), layer(inputs), err_msg=layer.name)


def test_padding_to_a_grid_adds_zeros_at_the_bottom_and_the_right():
    x = np.random.default_rng(0).random((1, 33, 64, 3), np.float32)
    padded = np.asarray(PadToGrid(32)(x))
    assert padded.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(padded[:, :33], x)
    assert not padded[:, 33:].any()
