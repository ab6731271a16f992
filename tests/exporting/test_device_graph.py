"""The network that devices take equals the network that was trained, border included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.errors import InputError
from fcn_tf.exporting.device_graph import (
    HardSwish,
    _layers_for_devices,
    device_graph,
    with_mirror_images,
)
from fcn_tf.exporting.export import export
from fcn_tf.exporting.freeze import with_constants
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions
from fcn_tf.exporting.upsampling import enlarged, transposed, window
from fcn_tf.models.layers import bilinear_kernel
from tests.networks import narrow_fcn, random_images, relative_difference

TINY = {"num_classes": 3, "width": 1 / 32, "head_units": 4}
QUICK = [
    {"variant": "fcn8s"},
    {"variant": "fcn8s", "geometry": "caffe"},
]
SLOW = [
    {"variant": "fcn32s", "output_stride": 4},
    {"variant": "fcn16s", "upsampling": "nonlinear"},
    {"variant": "fcn32s", "trunk": "alexnet", "geometry": "caffe"},
    {"variant": "deeplabv3_resnet50"},
    {"variant": "lraspp_mobilenetv3"},
    {"variant": "unet"},
    {"variant": "segnet"},
]


def named(given):
    return "-".join(map(str, given.values()))


def answers(network, image, size_px):
    """The logits of a frozen network, whose sides are fixed or free, on an image.

    No channel is picked in it, no shape is worked out, and nothing is cast but a comparison.
    """
    frozen = with_constants(network, tf.TensorSpec((1, *size_px, 3), tf.float32))
    operations = frozen.get_concrete_function().graph.get_operations()
    types = {one.type for one in operations}
    assert not types & {"GatherV2", "ReverseV2", "Shape", "SpaceToBatchND"}
    assert {one.get_attr("SrcT") for one in operations if one.type == "Cast"} <= {tf.bool}
    return frozen(tf.cast(image, tf.float32)).numpy()


@pytest.mark.parametrize(
    "given",
    [
        *(pytest.param(given, id=named(given)) for given in QUICK),
        *(pytest.param(given, id=named(given), marks=pytest.mark.slow) for given in SLOW),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_every_network_stays_what_it_is_up_to_the_border(given):
    """At a fixed size that is no multiple of anything, and at any size."""
    model = narrow_fcn(**{**TINY, **given})
    weights = [weight.numpy() for weight in model.weights]
    for size_px, image_px in (((37, 70), (37, 70)), (None, (64, 96))):
        image = random_images(1, *image_px, 3)
        expected = model(image, training=False).numpy()
        found = answers(device_graph(model, size_px), image, size_px or (None, None))
        assert relative_difference(found, expected) < 5e-6
        scale = np.abs(expected).max()
        for border in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
            assert np.abs(found[border] - expected[border]).max() < 5e-6 * scale
    for before, after in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_the_mean_is_subtracted_at_once_or_in_parts_that_float16_holds(kind):
    image = random_images(1, 37, 70, 3)
    network = device_graph(narrow_fcn("fcn8s", **TINY), (37, 70), kind)
    frozen = with_constants(network, tf.TensorSpec((1, 37, 70, 3), tf.float32))
    operations = frozen.get_concrete_function().graph.get_operations()
    vectors = [
        tf.make_ndarray(one.get_attr("value"))
        for one in operations
        if one.type == "Const" and one.outputs[0].shape == (3,) and "less_mean" in one.name
    ]
    mean_rgb = np.float32([123.68, 116.779, 103.939])
    if kind == "float32":
        np.testing.assert_array_equal(vectors, [mean_rgb])
    else:
        above, whole = (np.float16(vector).astype("float32") for vector in vectors)
        np.testing.assert_allclose(whole - above, mean_rgb, rtol=1e-5)
    pixels = network.get_layer("less_mean")(tf.cast(image, tf.float32))
    np.testing.assert_allclose(pixels, image - mean_rgb, atol=1e-5)


def test_hard_swish_of_8_bits():
    maps = tf.constant([-9, -3, -1.5, 0, 1.5, 3, 9])
    np.testing.assert_allclose(HardSwish()(maps), [0, 0, -0.375, 0, 1.125, 3, 9], atol=1e-6)


@pytest.mark.parametrize("kind", ["int8", "integer"])
def test_only_processors_compute_hard_swish_in_parts(kind):
    """With the same logits. NPUs, which take `integer`, have an operator for it."""
    model = narrow_fcn("lraspp_mobilenetv3", **TINY)
    network = device_graph(model, (64, 96), kind)
    assert any(isinstance(layer, HardSwish) for layer in network.layers) == (kind == "int8")
    image = random_images(1, 64, 96, 3)
    found = answers(network, image, (64, 96))
    assert relative_difference(found, model(image, training=False).numpy()) < 5e-6


def test_what_cannot_be_folded_is_a_convolution_of_its_own(monkeypatch):
    monkeypatch.setattr("fcn_tf.exporting.device_graph.first_convolution", lambda *given: None)
    model = narrow_fcn("fcn32s", **TINY)
    image = random_images(1, 40, 50, 3)
    found = answers(device_graph(model, (40, 50)), image, (40, 50))
    assert relative_difference(found, model(image, training=False).numpy()) < 5e-6


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_kernel_of_one_cell_has_no_strides(padding):
    """LiteRT's GPU code passes over them if its numbers are 8-bit."""
    images = keras.Input((None, None, 3))
    convolution = keras.layers.Conv2D(4, 1, strides=(2, 3), padding=padding, activation="relu")
    model = keras.Model(images, convolution(images))
    convolution.bias.assign([0.1, -0.2, 0.3, 0.0])
    image = np.random.default_rng(0).standard_normal((1, 5, 8, 3), "float32")
    convolved = _layers_for_devices(np.zeros(3), None)[keras.layers.Conv2D]
    thinned = keras.Model(images, convolved(convolution, images))
    frozen = tf.function(thinned).get_concrete_function(tf.TensorSpec((1, None, None, 3)))
    convolutions = [one for one in frozen.graph.get_operations() if one.type == "Conv2D"]
    assert [one.get_attr("strides") for one in convolutions] == [[1, 1, 1, 1]]
    expected = model(image).numpy()
    assert expected.shape == (1, 3, 3, 4)
    np.testing.assert_allclose(frozen(image), expected, rtol=1e-6, atol=1e-6)


def test_a_transposed_convolution_of_keras_keeps_its_bias_and_its_activation():
    maps = keras.Input((None, None, 3))
    layer = keras.layers.Conv2DTranspose(4, 2, strides=2, activation="relu")
    model = keras.Model(maps, layer(maps))
    layer.bias.assign([0.1, -0.2, 0.3, 0.0])
    call = _layers_for_devices(np.zeros(3), None)[keras.layers.Conv2DTranspose]
    twin = keras.Model(maps, call(layer, maps))
    frozen = tf.function(twin).get_concrete_function(tf.TensorSpec((1, None, None, 3)))
    types = {one.type for one in frozen.graph.get_operations()}
    assert not types & {"Shape", "Conv2DBackpropInput"}
    given = np.random.default_rng(0).standard_normal((1, 3, 5, 3), "float32")
    np.testing.assert_allclose(frozen(given), model(given), atol=1e-6)


@pytest.mark.parametrize(("side", "factor"), [(4, 2), (3, 2), (16, 8), (15, 8), (7, 4), (5, 2)])
def test_a_transposed_convolution_becomes_a_convolution(side, factor):
    random = np.random.default_rng(0)
    scores = random.standard_normal((1, 3, 5, 2), "float32")
    kernel = random.standard_normal((side, side, 4, 2), "float32")
    size_px = ((3 - 1) * factor + side, (5 - 1) * factor + side)
    expected = tf.nn.conv2d_transpose(scores, kernel, (1, *size_px, 4), factor, padding="VALID")
    np.testing.assert_allclose(transposed(scores, kernel, factor), expected, atol=1e-5)


@pytest.mark.parametrize("side", [1, 2, 5, 40])
def test_a_mirrored_border_of_devices_is_that_of_the_network(side):
    maps = random_images(1, side, 7, 3).astype("float32")
    found = with_mirror_images(with_mirror_images(maps, 1, 11, 50), 2, 0, 9)
    expected = np.pad(maps, ((0, 0), (11, 50), (0, 9), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_valid_unet_stays_what_it_is_at_a_fixed_size():
    model = narrow_fcn("unet", geometry="valid", **TINY)
    image = random_images(1, 37, 70, 3)
    found = answers(device_graph(model, (37, 70)), image, (37, 70))
    assert relative_difference(found, model(image, training=False).numpy()) < 5e-6


def test_a_valid_unet_of_any_size_is_refused(tmp_path):
    model = narrow_fcn("unet", geometry="valid", **TINY)
    options = ExportOptions(formats=("tflite",), tflite=TFLiteOptions(size="any"))
    with pytest.raises(InputError, match=r"tflite\.size='any'.*mirrors.*Give HEIGHTxWIDTH"):
        export(model, tmp_path / "e", options=options)
    with pytest.raises(InputError, match=r"tflite\.size='any'"):
        device_graph(model, None)
    assert not (tmp_path / "e").exists()


def test_enlarging_is_bilinear_resizing():
    """Nine channels, which are enlarged in two parts."""
    scores = np.random.default_rng(0).standard_normal((1, 3, 5, 9), "float32")
    expected = tf.image.resize(scores, (24, 40))
    np.testing.assert_allclose(enlarged(tf.constant(scores), 8), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "offset_px"),
    # The first cell lies on row 7, or between rows 7 and 8; of five cells the last is 32 px on.
    [(15, 7), (15, 6), (16, 8), (16, 7), (16, 0), (15, 0)],
)
@pytest.mark.parametrize("beyond_px", [0, 1, 4])
def test_an_upsampling_that_is_bilinear_is_a_resize(side, offset_px, beyond_px):
    """Within the cells, and where what lies outside counts as zero."""
    scores = np.random.default_rng(0).standard_normal((2, 3, 5, 3), "float32")
    kernel = bilinear_kernel(side, 3)
    size_px = (24 + beyond_px - offset_px, 40 + beyond_px - offset_px)
    shape = (2, 16 + side, 32 + side, 3)
    kept = [slice(offset_px, offset_px + length_px) for length_px in size_px]
    expected = tf.nn.conv2d_transpose(scores, kernel, shape, 8, padding="VALID")
    found = window(scores, side, 8, offset_px=offset_px, size_px=size_px)
    np.testing.assert_allclose(found, expected[:, *kept], atol=1e-6)


def test_of_known_sizes_a_kernel_is_computed_by_its_numbers():
    """Three that are bilinear are resized; one that is trained stays what it is."""
    model = narrow_fcn("fcn8s", upsampling="learned_all", **TINY)
    image = random_images(1, 40, 50, 3)
    for upsamplings in (0, 1):
        network = device_graph(model, (40, 50))
        frozen = with_constants(network, tf.TensorSpec((1, 40, 50, 3), tf.float32))
        types = [one.type for one in frozen.get_concrete_function().graph.get_operations()]
        assert types.count("Conv2DBackpropInput") == upsamplings
        assert types.count("ResizeBilinear") == 3 - upsamplings
        found = frozen(tf.cast(image, tf.float32)).numpy()
        assert relative_difference(found, model(image, training=False).numpy()) < 5e-6
        kernel = model.get_layer("upscore8").kernel
        kernel.assign(np.random.default_rng(0).standard_normal(kernel.shape))
