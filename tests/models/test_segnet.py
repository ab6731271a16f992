"""SegNet and SegNet-Basic against the same networks written in torch alone."""

import keras
import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, load_trunk, train_scores_only
from tests.models.test_published import needs_torch
from tests.networks import keras_vgg16, narrow_fcn, random_images, relative_difference

# Encoder and decoder as the authors' networks list them: convolutions by block, and by stage.
ENCODER = ["1_1 1_2", "2_1 2_2", "3_1 3_2 3_3", "4_1 4_2 4_3", "5_1 5_2 5_3"]
DECODER = ["5_3 5_2 5_1", "4_3 4_2 4_1", "3_3 3_2 3_1", "2_2 2_1", "1_2"]
FILTERS = {
    **{f"conv{b}_{i}": 64 * 2 ** min(b - 1, 3) for b in range(1, 6) for i in (1, 2)},
    **{"conv3_3": 256, "conv4_3": 512, "conv5_3": 512},
    **{f"conv5_{i}_D": 512 for i in (3, 2, 1)},
    **{"conv4_3_D": 512, "conv4_2_D": 512, "conv4_1_D": 256},
    **{"conv3_3_D": 256, "conv3_2_D": 256, "conv3_1_D": 128},
    **{"conv2_2_D": 128, "conv2_1_D": 64, "conv1_2_D": 64},
}


def random_weights(model):
    """Batch normalization's numbers are far from those of a new network."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            shape = variable.shape
            if variable.name == "kernel":
                deviation = np.sqrt(2 / np.prod(shape[:-1])) / (70 if shape[-2] == 3 else 1)
                value = random.standard_normal(shape) * deviation
            elif variable.name in ("gamma", "moving_variance"):
                value = random.uniform(0.3, 2.5, shape)
            else:
                value = random.uniform(-0.7, 0.7, shape)
            variable.assign(value)


def forward(model, images):
    """The scores (N, H, W, C) by torch, from the description of the network."""
    import torch
    from torch.nn import functional as F

    w = {
        f"{layer.name}/{variable.name}": torch.from_numpy(variable.numpy())
        for layer in model.layers
        for variable in layer.weights
    }

    def convolved(x, name):
        kernel = w[f"{name}/kernel"].permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, w[f"{name}/bias"], padding=kernel.shape[-1] // 2)

    def normalized(x, name):
        parts = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, variance, gamma, beta = (w[f"{name}_bn/{part}"][:, None, None] for part in parts)
        x = convolved(x, name)
        return gamma * (x - mean) / torch.sqrt(variance + 1e-9) + beta

    def pooled(x):
        return F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)

    x = torch.from_numpy(images[..., ::-1].astype("float32")).permute(0, 3, 1, 2)
    taken = []
    if model.variant == "segnet":
        for block in ENCODER:
            for name in block.split():
                x = normalized(x, f"conv{name}").relu()
            sides = x.shape[2:]
            x, indices = pooled(x)
            taken.append((indices, sides))
        for stage in DECODER:
            indices, sides = taken.pop()
            x = F.max_unpool2d(x, indices, 2, 2, output_size=sides)
            for name in stage.split():
                x = normalized(x, f"conv{name}_D").relu()
    else:
        x = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1)
        for level in (1, 2, 3, 4):
            x = normalized(x, f"conv{level}").relu()
            sides = x.shape[2:]
            x, indices = pooled(x)
            taken.append((indices, sides))
        for level in (4, 3, 2, 1):
            indices, sides = taken.pop()
            x = F.max_unpool2d(x, indices, 2, 2, output_size=sides)
            x = normalized(x, f"conv_decode{level}")
    return convolved(x, "score_fr").permute(0, 2, 3, 1).numpy()


@needs_torch
@pytest.mark.parametrize("variant", ["segnet", "segnet_basic"])
def test_scores_are_those_of_the_published_network(variant):
    model = build_fcn(variant, 5, width=1 / 16)
    random_weights(model)
    for size in ((1, 1), (37, 22)):  # 19 x 11, 10 x 6, 5 x 3, 3 x 2, 2 x 1
        images = random_images(2, *size, 3)
        logits = model(images, training=False).numpy()
        assert relative_difference(logits, forward(model, images)) < 1e-4


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "num_classes", "parameters"),
    [("segnet", 21, 29_455_125), ("segnet", 11, 29_449_355), ("segnet_basic", 11, 1_416_587)],
)
def test_of_full_size(variant, num_classes, parameters):
    model = build_fcn(variant, num_classes)
    assert sum(np.prod(one.shape) for one in model.trainable_variables) == parameters
    random_weights(model)
    images = random_images(1, 90, 120, 3)  # 45 x 60, 23 x 30, 12 x 15, 6 x 8, 3 x 4
    logits = model(images, training=False).numpy()
    expected = forward(model, images)
    assert relative_difference(logits, expected) < 1e-4
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() >= 0.9999


def test_a_new_network_starts_as_published():
    model = build_fcn("segnet", 3, width=1 / 16)
    convolutions = [la for la in model.layers if isinstance(la, keras.layers.Conv2D)]
    assert [one.name for one in convolutions if one.name not in FILTERS] == ["score_fr"]
    for layer in convolutions:
        assert layer.filters == FILTERS.get(layer.name, 3 * 16) / 16
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
        assert layer.kernel.numpy().any()
    normalizations = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert [one.name for one in normalizations] == [f"{one.name}_bn" for one in convolutions[:-1]]
    for layer in normalizations:
        assert (layer.momentum, layer.epsilon) == (0.9, 1e-9)
        assert {*layer.gamma.numpy()} == {1}
        assert {*layer.beta.numpy()} == {np.float32(0.001)}
    train_scores_only(model)
    assert [one.path for one in model.trainable_variables] == ["score_fr/kernel", "score_fr/bias"]


@pytest.mark.parametrize(
    ("variant", "dropped"),
    [
        ("segnet", ["encdrop3", "encdrop4", "encdrop5", "decdrop5", "decdrop4", "decdrop3"]),
        ("segnet_basic", ["encdrop3", "encdrop4", "decdrop4", "decdrop3"]),
    ],
)
def test_features_are_dropped_where_bayesian_segnet_drops_them(variant, dropped):
    for rate, expected in ((0.25, dropped), (0, [])):
        model = build_fcn(variant, 3, width=1 / 32, dropout=rate)
        layers = [one for one in model.layers if isinstance(one, keras.layers.Dropout)]
        assert [one.name for one in layers] == expected
        assert {one.rate for one in layers} <= {0.25}
        for one in layers:  # behind a pool, and before an upsampling
            name, (level,) = one.name[:-1], one.name[-1:]
            if name == "encdrop":
                assert one.input is model.get_layer(f"pool{level}").output
            else:
                upsampling = model.get_layer(f"upsample{int(level) - 1}")
                assert upsampling.input[0] is one.output


def test_vgg16s_convolutions_go_into_the_encoder(tmp_path):
    """And nowhere else; a file without the top is enough. What does not fit is refused."""
    path = tmp_path / "vgg16.keras"
    classifier = keras_vgg16(1 / 32, 4, cells=1)
    keras.Model(classifier.inputs[0], classifier.get_layer("block5_pool").output).save(path)
    model = narrow_fcn("segnet", 3, width=1 / 32)
    before = {one.path: one.numpy() for one in model.weights}
    with pytest.raises(InputError, match=r"layers=all: segnet has the convolutions of VGG16 alone"):
        load_trunk(model, path)
    transfer = load_trunk(model, path, layers="convolutions")
    assert len(transfer.moved) == 26
    after = {one.path: one.numpy() for one in model.weights}
    for name in " ".join(ENCODER).split():
        theirs = classifier.get_layer("block{}_conv{}".format(*name.split("_"))).get_weights()
        for part, expected in zip(("kernel", "bias"), theirs, strict=True):
            np.testing.assert_array_equal(after.pop(f"conv{name}/{part}"), expected)
    for key, value in after.items():  # batch normalization, decoder and scores
        np.testing.assert_array_equal(value, before[key])
    basic = build_fcn("segnet_basic", 3, width=1 / 32)
    with pytest.raises(InputError, match="segnet_basic grows from no classifier"):
        load_trunk(basic, path, layers="convolutions")


def test_a_classifier_of_another_width_is_refused(tmp_path):
    """fc6_kernel and head_units, which SegNet does not have, are no remedy."""
    keras_vgg16(1 / 64, 4, cells=1).save(tmp_path / "vgg16.keras")
    model = narrow_fcn("segnet", 3, width=1 / 32)
    with pytest.raises(InputError, match=r"conv1_1/kernel is .*VGG16 .* needs width 1[.]$"):
        load_trunk(model, tmp_path / "vgg16.keras", layers="convolutions")
