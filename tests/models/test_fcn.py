import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.models import VARIANTS, build_fcn
from tests.networks import narrow_fcn, random_images, relative_difference

PUBLISHED_PARAMETERS = {
    "fcn32s": 136_152_917,
    "fcn16s": 134_815_994,
    "fcn8s": 134_489_759,
    "fcn8s_atonce": 134_489_759,
}
LIGHT_HEAD_PARAMETERS = 33_826_463


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_full_width_has_the_published_number_of_parameters(variant):
    model = build_fcn(variant)
    assert model.count_params() == PUBLISHED_PARAMETERS[variant]
    del model
    gc.collect()


def test_light_head():
    assert build_fcn("fcn8s", fc6_kernel=1).count_params() == LIGHT_HEAD_PARAMETERS


def test_published_layer_names():
    names = {layer.name for layer in build_fcn("fcn8s", width=1 / 64, head_units=4).layers}
    blocks = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    published = {f"conv{b}_{i}" for b, n in blocks.items() for i in range(1, n + 1)}
    published |= {f"pool{b}" for b in blocks} | {"fc6", "fc7", "score_fr"}
    published |= {"score_pool4", "score_pool3", "upscore2", "upscore_pool4", "upscore8"}
    assert published <= names


def reference_forward(model, images):
    """FCN written in TensorFlow alone, from the paper and the names of the weights."""
    w = {layer.name: [v.numpy() for v in layer.weights] for layer in model.layers}

    def convolve(x, name):
        kernel, bias = w[name]
        return tf.nn.conv2d(x, kernel, 1, "SAME") + bias

    x = tf.cast(images, tf.float32)[..., ::-1] - [103.939, 116.779, 123.68]
    pools = {}
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, convolutions + 1):
            x = tf.nn.relu(convolve(x, f"conv{block}_{index}"))
        # Windows begin at the top-left corner; the padding is never the largest.
        h, v = x.shape[1] % 2, x.shape[2] % 2
        x = tf.pad(x, [[0, 0], [0, h], [0, v], [0, 0]], constant_values=-np.inf)
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        pools[block] = x
    x = tf.nn.relu(convolve(tf.nn.relu(convolve(x, "fc6")), "fc7"))
    scores = convolve(x, "score_fr")

    def resize(scores, factor, size):
        height, width = (side * factor for side in scores.shape[1:3])
        scores = tf.image.resize(scores, (height, width), "bilinear")
        return scores[:, : size[0], : size[1]]

    skips = {"fcn32s": 0, "fcn16s": 1}.get(model.variant, 2)
    scale4, scale3 = (0.01, 0.0001) if model.variant == "fcn8s_atonce" else (1, 1)
    for name, block, scale in (("score_pool4", 4, scale4), ("score_pool3", 3, scale3))[:skips]:
        finer = convolve(pools[block] * scale, name)
        scores = finer + resize(scores, 2, finer.shape[1:3])
    return resize(scores, 32 // 2**skips, images.shape[1:3])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(1, 1), (31, 33), (97, 131)])
def test_equals_a_forward_pass_in_tensorflow_alone(variant, size):
    model = narrow_fcn(variant)
    images = random_images(2, *size, 3)
    logits = model(images, training=False).numpy()
    assert logits.dtype == np.float32
    assert relative_difference(logits, reference_forward(model, images)) < 1e-5


def test_the_published_crops_follow_from_the_layers():
    """Where cells lie on the image, as (stride, pixel of cell 0); see docs/geometry.md."""
    endpoints, stride, first = {}, 1, -99.0  # conv1_1: kernel 3, padding 100
    for block in range(1, 6):
        stride, first = 2 * stride, first + stride / 2
        endpoints[f"pool{block}"] = (stride, first)
    for variant in VARIANTS.values():
        stride, first = endpoints["pool5"]
        first += 3 * stride  # fc6: kernel 7, no padding
        for skip in variant.skips:
            # Kernel 4, stride 2: index u lies at (u - 1.5) / 2 of its input.
            stride, first = stride // 2, first - 1.5 * stride / 2
            finer_stride, finer_first = endpoints[skip.endpoint]
            assert finer_stride == stride
            assert skip.caffe_crop_px == (first - finer_first) / stride
        # Kernel 2 s, stride s: cell 0 lies at index s - 0.5, and pixel 0 at
        assert variant.factor == stride
        assert variant.caffe_crop_px == variant.factor - 0.5 - first


SIZES = [(1, 1), (31, 31), (32, 32), (33, 33), (97, 97), (375, 500), (500, 375)]


# fcn8s has all layers; the others follow in the slow tests.
EACH_VARIANT = [v if v == "fcn8s" else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS]


@pytest.mark.parametrize("variant", EACH_VARIANT)
def test_logits_have_the_size_of_the_image(variant):
    model = narrow_fcn(variant)
    for size in SIZES:
        images = random_images(2, *size, 3)
        logits = model(images, training=False).numpy()
        assert logits.shape == (2, *size, 5)
        assert np.isfinite(logits).all()
        # A batch gives the same as its images one by one.
        alone = np.concatenate([model(image[None], training=False) for image in images])
        assert relative_difference(logits, alone) < 1e-5


@pytest.mark.parametrize("variant", EACH_VARIANT)
def test_a_shift_by_the_stride_shifts_the_logits(variant):
    model = narrow_fcn(variant)
    image = random_images(1, 992, 960, 3)
    above = model(image[:, :960], training=False).numpy()
    below = model(image[:, 32:], training=False).numpy()
    # Only rows that are at least 256 px from every border of both crops.
    inside = above[:, 256 + 32 : 960 - 256, 256:-256]
    assert relative_difference(below[:, 256 : 960 - 256 - 32, 256:-256], inside) < 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_constant_score_map_stays_constant_to_the_border(variant):
    model = build_fcn(variant, num_classes=3, width=1 / 64, head_units=4)
    # Score layers with zero kernels give their biases everywhere.
    expected = np.zeros(3)
    for number, name in enumerate(("score_fr", "score_pool4", "score_pool3"), start=1):
        if name in {layer.name for layer in model.layers}:
            bias = np.array([1.0, -2.0, 0.5]) * number
            model.get_layer(name).bias.assign(bias)
            expected += bias
    logits = model(random_images(1, 75, 101, 3), training=False).numpy()
    np.testing.assert_allclose(logits, np.broadcast_to(expected, logits.shape), rtol=1e-5)


X2 = {"upscore8_x2", "upscore8_x4", "upscore8_x8"}


@pytest.mark.parametrize(
    ("geometry", "upsampling", "trained"),
    [
        ("same", "fixed", set()),
        ("same", "learned", {"upscore2", "upscore_pool4"}),
        ("same", "learned_all", {"upscore2", "upscore_pool4", "upscore8"}),
        ("same", "nonlinear", {"upscore2", "upscore_pool4", *X2}),
        ("caffe", "fixed", set()),
        ("caffe", "learned", {"upscore2", "upscore_pool4"}),
        ("caffe", "learned_all", {"upscore2", "upscore_pool4", "upscore8"}),
    ],
)
def test_upsampling_chooses_which_kernels_are_trained(geometry, upsampling, trained):
    model = build_fcn(
        "fcn8s", 3, width=1 / 64, head_units=4, geometry=geometry, upsampling=upsampling
    )
    kernels = {v.path.split("/")[0] for v in model.trainable_variables if "upscore" in v.path}
    assert kernels == trained


@pytest.mark.parametrize("variant", VARIANTS)
def test_nonlinear_upsampling_by_steps_of_two(variant):
    """Each step but the last is bilinear and ELU at first, written in TensorFlow alone."""
    model = narrow_fcn(variant, upsampling="nonlinear")
    images = random_images(1, 70, 101, 3)
    layers = {layer.name: layer for layer in model.layers}
    scores, *finer = features(model, images)
    for fine in (*finer, None):
        left = 1 if fine is not None else int(np.log2(VARIANTS[variant].factor))
        for step in range(left):
            scores = tf.image.resize(scores, 2 * np.array(scores.shape[1:3]), "bilinear")
            if fine is not None:
                scores = tf.nn.elu(scores)[:, : fine.shape[1], : fine.shape[2]] + fine
            elif step < left - 1:
                scores = tf.nn.elu(scores)
    assert f"{VARIANTS[variant].upscore}_x2" in layers
    expected = scores[:, :70, :101]
    assert relative_difference(model(images, training=False), expected) < 1e-5


def features(model, images):
    """The scores of each endpoint, from coarse to fine."""
    names = ["score_fr", *(skip.score for skip in VARIANTS[model.variant].skips)]
    outputs = [model.get_layer(name).output for name in names]
    return (
        keras.Model(model.inputs[0], outputs)(images)
        if len(names) > 1
        else [keras.Model(model.inputs[0], outputs[0])(images)]
    )


def test_a_fresh_nonlinear_network_passes_gradients_on():
    """Scores start at 0, where ReLU has none."""
    model = build_fcn("fcn8s", 3, width=1 / 64, head_units=4, upsampling="nonlinear")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(random_images(1, 64, 64, 3))[..., 0])
    gradient = tape.gradient(loss, model.get_layer("score_fr").bias.value)
    assert abs(gradient.numpy()[0]) > 1


def test_dropout_drops_elements_not_channels():
    model = build_fcn("fcn32s", 3, width=0.125, head_units=128, dropout=0.5)
    layer = model.get_layer("drop6")
    dropped = layer(np.ones((1, 40, 40, 16), "float32"), training=True).numpy()
    shares = (dropped == 0).mean(axis=(1, 2))[0]  # one share for each channel
    assert shares.min() > 0.4
    assert shares.max() < 0.6


def test_a_fresh_network_starts_from_he_and_from_scores_of_zero():
    """Kernels have the deviation (2 / inputs) ** 0.5; the logits are 0 everywhere."""
    model = build_fcn("fcn8s", 3, width=0.125, head_units=64)
    for name, inputs in (("conv4_2", 3 * 3 * 64), ("fc6", 7 * 7 * 64)):
        kernel = model.get_layer(name).kernel.numpy()
        assert kernel.std() == pytest.approx((2 / inputs) ** 0.5, rel=0.03)
        assert not model.get_layer(name).bias.numpy().any()
    assert not model(random_images(1, 40, 40, 3), training=False).numpy().any()


def test_without_a_dtype_the_network_has_keras_own():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_fcn("fcn32s", 3, width=1 / 64, head_units=4)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("conv3_1").compute_dtype == "bfloat16"
    assert model.build_arguments["dtype"] == "mixed_bfloat16"


def test_dropout_comes_after_fc6_and_fc7():
    model = build_fcn("fcn32s", 3, width=1 / 64, head_units=4, dropout=0.3)
    for name, before in (("drop6", "fc6"), ("drop7", "fc7")):
        layer = model.get_layer(name)
        assert (layer.rate, layer.input) == (0.3, model.get_layer(before).output)
    assert model.get_layer("fc7").input is model.get_layer("drop6").output
    assert model.get_layer("score_fr").input is model.get_layer("drop7").output
    without = build_fcn("fcn32s", 3, width=1 / 64, head_units=4, dropout=0.0)
    assert not [layer for layer in without.layers if isinstance(layer, keras.layers.Dropout)]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_every_policy(policy):
    model = narrow_fcn("fcn8s")
    mixed = model.with_policy(policy)
    images = random_images(1, 64, 64, 3)
    logits = mixed(images, training=False)
    assert logits.dtype == "float32"
    assert mixed.get_layer("conv3_2").compute_dtype == policy.removeprefix("mixed_")
    # The same weights, to the precision of eight or eleven bits.
    assert relative_difference(logits, model(images, training=False)) < 0.05


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"variant": "fcn4s"}, "fcn32s, fcn16s, fcn8s, fcn8s_atonce"),
        ({"trunk": "vgg61"}, "vgg16"),
        ({"upsampling": "bicubic"}, "fixed, learned, learned_all"),
        ({"num_classes": 1}, "=1: it must be between 2 and 255"),
        ({"num_classes": 256}, "=256: it must be between 2 and 255"),
        ({"width": 0.01}, "at least 1/64"),
        ({"width": float("inf")}, "finite"),
        ({"input_shape": (None, None, 4)}, r"\(height, width, 3\)"),
        ({"input_shape": (64, 64)}, r"\(height, width, 3\)"),
        ({"head_units": 0}, "at least 1"),
        ({"fc6_kernel": 4}, "odd"),
        ({"fc6_kernel": -1}, "odd"),
        ({"geometry": "valid"}, "same, caffe"),
        ({"geometry": "caffe", "fc6_kernel": 1}, "7 with geometry=caffe"),
        ({"dropout": 1}, r"in \[0, 1\)"),
        ({"trunk": "alexnet"}, "one of fcn32s with trunk=alexnet"),
        ({"variant": "fcn32s", "trunk": "alexnet"}, "one of caffe with trunk=alexnet"),
        ({"trunk": "resnet50", "geometry": "caffe"}, "one of same with trunk=resnet50"),
        ({"trunk": "resnet50", "width": 0.5}, "1 with trunk=resnet50"),
        ({"variant": "fcn_resnet50", "trunk": "vgg19"}, "left out with fcn_resnet50"),
        ({"variant": "fcn_resnet50", "geometry": "caffe"}, "one of same with fcn_resnet50"),
        (
            {"variant": "fcn_resnet50", "upsampling": "learned_all"},
            "fcn_resnet50 trains no upsampling",
        ),
        ({"variant": "fcn_resnet50", "output_stride": 4}, "32, 8, 16 with fcn_resnet50"),
        ({"output_stride": 24}, "32, 16, 8, 4, 2, 1"),
        ({"output_stride": 8}, "32, unless variant=fcn32s, geometry=same"),
        ({"variant": "fcn32s", "trunk": "googlenet", "output_stride": 8}, "32 with trunk=goog"),
        ({"variant": "fcn32s", "output_stride": 8, "geometry": "caffe"}, "geometry=same"),
        ({"variant": "fcn32s", "output_stride": 8, "upsampling": "nonlinear"}, "or learned_all"),
        (
            {"geometry": "caffe", "upsampling": "nonlinear"},
            "fixed, learned or learned_all with geometry=caffe",
        ),
        ({"class_names": ["a"]}, "21 long"),
        ({"palette": [[0, 0, 0]]}, "palette=.* 21 long"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        build_fcn(**{"variant": "fcn8s", **arguments})
