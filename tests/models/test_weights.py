"""Networks that start from VGG16 of keras.applications or from a coarser network."""

import h5py
import keras
import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, load_trunk, load_vgg16, train_scores_only, warm_start
from fcn_tf.models.layers import bilinear_kernel
from fcn_tf.models.weights.files import read_keras_weights
from tests.networks import (
    NARROW,
    fill,
    keras_vgg16,
    narrow_fcn,
    random_images,
    relative_difference,
)


def features_of(model, name, images):
    """The output of a layer for RGB images, of an FCN or of a classifier without preprocessing."""
    if "preprocessing" not in {layer.name for layer in model.layers}:
        images = keras.applications.vgg16.preprocess_input(images.astype("float32"))
    features = keras.Model(model.inputs[0], model.get_layer(name).output)
    return keras.ops.convert_to_numpy(features(images, training=False))


def of_any_size(classifier):
    """The convolutions of a classifier for images of any size."""
    config = keras.Model(classifier.inputs[0], classifier.get_layer("block5_conv3").output)
    twin = keras.models.clone_model(config, input_tensors=keras.Input((None, None, 3)))
    twin.set_weights(config.get_weights())
    return twin


def difference_of_features(actual, reference):
    """As `relative_difference`, over the channels that are not zero everywhere after the ReLU."""
    alive = reference.std(axis=(1, 2))[0] > 0
    assert alive.mean() > 0.5
    return relative_difference(actual[..., alive], reference[..., alive])


def compare_with_classifier(model, classifier):
    """fc7's centre at the classifier's size; conv5_3 where Keras' pools see the same cells."""
    images = random_images(1, 224, 224, 3)
    fc7, fc2 = features_of(model, "fc7", images), features_of(classifier, "fc2", images)
    assert fc7.shape[1:3] == (7, 7)
    assert fc2.std() > 0
    assert np.abs(fc7[:, 3, 3] - fc2).max() < 1e-4 * np.abs(fc2).max()

    convolutions = of_any_size(classifier)
    images = random_images(1, 96, 160, 3)
    ours = features_of(model, "conv5_3", images)
    theirs = features_of(convolutions, "block5_conv3", images)
    assert difference_of_features(ours, theirs) < 1e-4
    # Keras' pools drop the last of an odd number of rows. The first row that is missing is row
    # 374 of the image. Rows see it from 185 on after block 2, 89 after block 3, 41 after block 4
    # and 17 after block 5; columns see the first missing one from 59 on after block 4 and 26
    # after block 5.
    images = random_images(1, 375, 500, 3)
    ours = features_of(model, "conv5_3", images)
    theirs = features_of(convolutions, "block5_conv3", images)
    assert (ours.shape[1:3], theirs.shape[1:3]) == ((24, 32), (23, 31))
    assert difference_of_features(ours[:, :17, :26], theirs[:, :17, :26]) < 1e-4
    assert np.abs(ours[:, 22, :26] - theirs[:, 22, :26]).max() > 1e-3 * np.abs(theirs).max()


SAVED = {
    "model.keras": lambda model, path: model.save(path),
    "model.h5": lambda model, path: model.save(path),
    "model.weights.h5": lambda model, path: model.save_weights(path),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_narrow_vgg16_is_loaded_from_each_format(name, tmp_path):
    classifier = keras_vgg16(**NARROW)
    classifier.compile("adam")  # whose variables are saved too
    SAVED[name](classifier, tmp_path / name)
    model = build_fcn("fcn8s", 5, **NARROW)
    transfer = load_vgg16(model, tmp_path / name)
    assert transfer.moved["fc6/kernel"] == "fc1/kernel"
    assert transfer.moved["conv5_3/bias"] == "block5_conv3/bias"
    assert len(transfer.moved) == 2 * 15
    assert {tensor.split("/")[0] for tensor in transfer.kept} == {
        *("score_fr", "score_pool4", "score_pool3", "upscore2", "upscore_pool4", "upscore8")
    }
    assert [tensor.split("/")[0] for tensor in transfer.refused] == ["predictions"] * 2
    compare_with_classifier(model, classifier)


def test_a_file_as_keras_applications_publishes_it(tmp_path):
    """Layers and their arrays by the lists in the attributes, not by the alphabet."""
    arrays = {
        "z/z_W_1:0": np.arange(6.0).reshape(2, 3),
        "z/z_b_1:0": np.ones(3),
        "a/k:0": np.ones(1),
    }
    with h5py.File(tmp_path / "vgg16.h5", "w") as file:
        file.attrs["layer_names"] = [b"z", b"pool", b"a"]
        for layer in ("z", "pool", "a"):
            names = [name.split("/")[1].encode() for name in arrays if name.startswith(layer)]
            file.create_group(layer).attrs["weight_names"] = names
        for name, array in arrays.items():
            file[name] = array
    read = read_keras_weights(tmp_path / "vgg16.h5")
    assert list(read) == ["z", "a"]
    for found, expected in zip([*read["z"], *read["a"]], arrays.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_vgg16_of_full_size(tmp_path):
    classifier = keras.applications.VGG16(weights=None)
    fill(classifier)
    classifier.save(tmp_path / "vgg16.keras")
    model = build_fcn("fcn32s")
    load_vgg16(model, tmp_path / "vgg16.keras")
    compare_with_classifier(model, classifier)


def test_a_classifier_of_smaller_images_gives_a_smaller_fc6(tmp_path):
    classifier = keras_vgg16(**NARROW, cells=3)
    classifier.save(tmp_path / "vgg16.keras")
    model = build_fcn("fcn32s", 5, **NARROW, fc6_kernel=3)
    load_vgg16(model, tmp_path / "vgg16.keras")
    images = random_images(1, 96, 96, 3)
    fc2 = features_of(classifier, "fc2", images)
    np.testing.assert_allclose(
        features_of(model, "fc7", images)[:, 1, 1], fc2, rtol=1e-4, atol=1e-4
    )


def refusal(model, path, **kwargs):
    """The message that refuses a file; the model must be unchanged."""
    before = model.get_weights()
    with pytest.raises(InputError) as error:
        load_vgg16(model, path, **kwargs)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(error.value)


def test_what_does_not_fit_is_refused_with_the_way_out(tmp_path):
    classifier = keras_vgg16(**NARROW)
    classifier.save(tmp_path / "top.keras")
    of_any_size(classifier).save(tmp_path / "no_top.keras")

    light = build_fcn("fcn8s", 5, **NARROW, fc6_kernel=1)
    message = refusal(light, tmp_path / "top.keras")
    assert "fc6/kernel is (1, 1, 64, 128), fc1 (3136, 128)" in message
    assert "--model.weights_layers convolutions" in message
    transfer = load_vgg16(light, tmp_path / "top.keras", layers="convolutions")
    assert len(transfer.moved) == 2 * 13
    assert "fc6/kernel" in transfer.kept

    message = refusal(build_fcn("fcn8s", 5, **NARROW), tmp_path / "no_top.keras")
    assert "fc1, fc2 (a file without the top)" in message
    assert "--model.weights_layers convolutions" in message
    load_vgg16(light, tmp_path / "no_top.keras", layers="convolutions")

    wider = build_fcn("fcn8s", 5, width=0.25, head_units=128)
    message = refusal(wider, tmp_path / "top.keras")
    assert "conv1_1/kernel is (3, 3, 3, 16), block1_conv1 (3, 3, 3, 8)" in message
    assert "weights_layers" not in message

    deeper = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            *(keras.layers.Conv2D(2, 3, name=n) for n in ("block3_conv3", "block3_conv4")),
        ]
    )
    deeper.save(tmp_path / "vgg19.keras")
    assert "it also has block3_conv4 (VGG19?)" in refusal(light, tmp_path / "vgg19.keras")

    spoiled = keras_vgg16(**NARROW)
    spoiled.get_layer("fc2").bias.assign(spoiled.get_layer("fc2").bias * np.nan)
    spoiled.save(tmp_path / "nan.keras")
    message = refusal(build_fcn("fcn8s", 5, **NARROW), tmp_path / "nan.keras")
    assert "NaN or infinity in fc2/bias" in message

    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="fc1")])
    other.save(tmp_path / "other.keras")
    assert "block1_conv1" in refusal(light, tmp_path / "other.keras")
    (tmp_path / "broken.keras").write_bytes(b"no zip")
    assert "cannot be read" in refusal(light, tmp_path / "broken.keras")
    assert "no such file" in refusal(light, tmp_path / "none.weights.h5")


@pytest.mark.parametrize(
    ("network", "layers", "asked"),
    [
        # VGG's dense layers are in the top; keras.applications has it in one width.
        ({"trunk": "vgg16"}, "all", ("VGG16", {"include_top": True})),
        ({"trunk": "vgg16"}, "convolutions", ("VGG16", {"include_top": False})),
        ({"trunk": "vgg19"}, "all", ("VGG19", {"include_top": True})),
        (
            {"trunk": "mobilenetv3_large", "width": 0.25},
            "all",
            ("MobileNetV3Large", {"include_top": False, "alpha": 0.25}),
        ),
    ],
)
def test_what_is_asked_of_keras_applications(network, layers, asked, monkeypatch):
    model = build_fcn("fcn32s", 2, **{"width": 1 / 64, "head_units": 4, **network})
    name, expected = asked
    calls = []

    def refuse(**options):
        calls.append(options)
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, name, refuse)
    with pytest.raises(InputError, match=rf"^{name} with the weights imagenet .*no network$"):
        load_trunk(model, "imagenet", layers)
    assert calls == [{"weights": "imagenet", **expected}]


def constant_scores(model, biases):
    for name, bias in biases.items():
        model.get_layer(name).kernel.assign(model.get_layer(name).kernel * 0)
        model.get_layer(name).bias.assign(bias)


STAGES = [("fcn32s", "fcn16s"), ("fcn16s", "fcn8s"), ("fcn32s", "fcn8s")]


@pytest.mark.parametrize(("coarse", "fine"), STAGES)
def test_warm_start_goes_on_where_the_coarser_network_stood(coarse, fine):
    coarser = narrow_fcn(coarse)
    finer = build_fcn(fine, 5, **NARROW)
    transfer = warm_start(finer, coarser)
    new = {"fcn32s": set()}
    new["fcn16s"] = {"score_pool4", "upscore2", "upscore16"}
    new["fcn8s"] = {"score_pool3", "upscore_pool4", "upscore8", "score_pool4", "upscore2"}
    shared = new[coarse] & new[fine]
    assert {tensor.split("/")[0] for tensor in transfer.kept} == new[fine] - shared

    # Both networks upsample the same scores, one in one step by f, the other by 2 and f / 2.
    # Every output is a weighted sum of scores, and the weights differ by the difference of the
    # kernels: it bounds how far the logits may lie apart.
    images = random_images(1, 160, 192, 3)
    logits = [keras.ops.convert_to_numpy(m(images, training=False)) for m in (coarser, finer)]
    fused = {"fcn32s": "score_fr", "fcn16s": "fuse_pool4"}[coarse]
    scores = features_of(coarser, fused, images)
    bound = kernel_distance(coarse, fine) * np.ptp(scores, axis=(1, 2)).max() / 2
    difference = np.abs(logits[0] - logits[1]).max()
    assert 0 < difference <= bound * (1 + 1e-4)
    # The bound is tighter than the range of the logits.
    assert bound < np.ptp(logits[0], axis=(1, 2)).max()


def kernel_distance(coarse, fine):
    """The largest sum over cells of |one-step - several-step| weights, for any output pixel."""
    factors = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}
    one = interpolation([factors[coarse]])
    several = interpolation([2] * int(np.log2(factors[coarse] / factors[fine])) + [factors[fine]])
    weights = np.einsum("ya,xb->yxab", one, one) - np.einsum("ya,xb->yxab", several, several)
    return np.abs(weights).sum(axis=(2, 3)).max()


def interpolation(factors, cells=7):
    """The weights of `cells` cells on every output of bilinear upsampling in these steps."""
    matrix = np.eye(cells)
    for factor in factors:
        axis = bilinear_kernel(2 * factor, 1)[:, :, 0, 0].sum(axis=0) / factor
        padded = np.vstack([matrix[:1], matrix, matrix[-1:]])
        full = np.zeros((factor * (len(padded) + 1), cells))
        for cell, weights in enumerate(padded):
            full[cell * factor : (cell + 2) * factor] += np.outer(axis, weights)
        start = factor + factor // 2
        matrix = full[start : start + factor * len(matrix)]
    return matrix


@pytest.mark.parametrize(("coarse", "fine"), STAGES)
def test_warm_start_is_equal_on_a_constant_score_map(coarse, fine):
    coarser = narrow_fcn(coarse)
    bias = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    constant_scores(coarser, {"score_fr": bias} | ({"score_pool4": bias} if "16" in coarse else {}))
    finer = build_fcn(fine, 5, **NARROW)
    warm_start(finer, coarser)
    images = random_images(1, 75, 101, 3)
    logits = [keras.ops.convert_to_numpy(m(images, training=False)) for m in (coarser, finer)]
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-5)
    assert np.abs(logits[0]).max() > 1


@pytest.mark.parametrize(
    ("before", "after"), [("fcn8s", "fcn8s_atonce"), ("fcn8s_atonce", "fcn8s")]
)
def test_warm_start_keeps_the_answers_where_the_skips_are_scaled(before, after):
    trained = narrow_fcn(before)
    model = build_fcn(after, 5, **NARROW)
    warm_start(model, trained)
    images = random_images(1, 75, 101, 3)
    logits = [keras.ops.convert_to_numpy(m(images, training=False)) for m in (model, trained)]
    assert relative_difference(*logits) < 1e-5


def test_warm_start_leaves_scores_of_other_classes_alone():
    finer = build_fcn("fcn16s", 3, **NARROW)
    transfer = warm_start(finer, narrow_fcn("fcn16s", num_classes=5))
    assert {t.split("/")[0] for t in transfer.kept} == {
        *("score_fr", "score_pool4", "upscore2", "upscore16")
    }
    assert not finer.get_layer("score_fr").kernel.numpy().any()
    named = narrow_fcn("fcn16s", class_names=list("abcde"))
    other = build_fcn("fcn16s", 5, **NARROW, class_names=list("edcba"))
    assert "score_fr/kernel" in warm_start(other, named).kept
    same = build_fcn("fcn16s", 5, **NARROW, class_names=list("abcde"))
    assert not warm_start(same, named).kept


def test_warm_start_from_another_trunk_is_refused():
    finer = build_fcn("fcn8s", 5, width=0.25, head_units=128)
    with pytest.raises(
        InputError, match=r"conv1_1/kernel is \(3, 3, 3, 16\), there \(3, 3, 3, 8\)"
    ):
        warm_start(finer, narrow_fcn("fcn16s"))


def test_only_the_score_layers_are_trained():
    model = build_fcn("fcn8s", 5, **NARROW)
    train_scores_only(model)
    assert sorted(v.path for v in model.trainable_variables) == sorted(
        f"{name}/{part}"
        for name in ("score_fr", "score_pool4", "score_pool3")
        for part in ("kernel", "bias")
    )


def test_a_deeper_trunk_is_not_cut():
    deeper = build_fcn("fcn32s", 3, "vgg19", width=1 / 64, head_units=4)
    with pytest.raises(InputError, match="grows from vgg19, not from vgg16: use load_trunk"):
        load_vgg16(deeper, "vgg16.keras")
    with pytest.raises(InputError, match="conv3_4/bias is missing here"):
        warm_start(build_fcn("fcn8s", 3, width=1 / 64, head_units=4), deeper)
    deeper = build_fcn("fcn_resnet101", 3, width=1 / 64)
    with pytest.raises(InputError, match=r"layer3_10_bn1/beta is missing here"):
        warm_start(build_fcn("fcn_resnet50", 3, width=1 / 64), deeper)
