"""U-Net's and DeepLab v3's heads on the trunks of keras.applications."""

import keras
import numpy as np
import pytest

from fcn_tf.config.networks import TRUNKS
from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, load_model, load_trunk, save_model
from fcn_tf.models.margin import margin_px
from fcn_tf.models.trunks.applications import build_application
from tests.models.test_published import needs_torch
from tests.networks import fill, keras_vgg16, random_images, relative_difference

# The layers of keras.applications whose maps a head takes, from fine to coarse: the last at each
# size, before the next stride. That of MobileNetV3 at 1/2 is the one that there is at every width.
LEVELS = {
    "vgg16": [f"block{b}_conv{n}" for b, n in enumerate((2, 2, 3, 3, 3), start=1)],
    "resnet50": [
        *("conv1_relu", "conv2_block3_out", "conv3_block4_out"),
        *("conv4_block6_out", "conv5_block3_out"),
    ],
    "mobilenetv3_large": [
        *("expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_5_add"),
        *("expanded_conv_11_add", None),
    ],
    "efficientnetv2_b0": [
        *("block1a_project_activation", "block2b_add", "block3b_add"),
        *("block5e_add", "top_activation"),
    ],
}
CLASSIFIERS = {
    "resnet50": "ResNet50",
    "mobilenetv3_large": "MobileNetV3Large",
    "efficientnetv2_b0": "EfficientNetV2B0",
}
WIDTH = {"vgg16": 1 / 16, "mobilenetv3_large": 0.25}
HEADS_LAYERS = ("up", "score", "classifier_")


def filled(variant, trunk, num_classes=4, **kwargs):
    model = build_fcn(variant, num_classes, trunk, width=WIDTH.get(trunk, 1.0), **kwargs)
    fill(model)
    return model


def classifier_of(trunk):
    """Keras' own network, filled from another seed, and its layers' weights by name."""
    width = WIDTH.get(trunk, 1.0)
    if trunk == "vgg16":
        return keras_vgg16(width, head_units=2)
    images = keras.Input((None, None, 3))
    options = {} if trunk == "resnet50" else {"include_preprocessing": False}
    network = build_application(CLASSIFIERS[trunk], width, input_tensor=images, **options)
    network = keras.Model(images, network.output)
    fill(network, seed=1)
    return network


def pixels_of(model, images, step_px):
    """What the trunk sees: preprocessed, and filled up with zeros at the bottom and the right."""
    pixels = keras.Model(model.inputs[0], model.get_layer("preprocessing").output)(images)
    sides = [(0, -side % step_px) for side in images.shape[1:3]]
    return np.pad(np.asarray(pixels), ((0, 0), *sides, (0, 0)))


def torch_path(model, maps, levels):
    """The expansive path in plain torch, from maps (N, h, w, C) from fine to coarse.

    Args:
        levels: the levels of the path, from coarse to fine.
    """
    import torch
    from torch.nn import functional as F

    w = {layer.name: [np.asarray(one) for one in layer.weights] for layer in model.layers}
    maps = [torch.from_numpy(np.array(one)).permute(0, 3, 1, 2) for one in maps]

    def convolve(x, name):
        kernel, bias = map(torch.from_numpy, w[name])  # (h, w, in, out)
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=kernel.shape[0] // 2)

    x = maps.pop()
    for level in levels:
        kernel, bias = map(torch.from_numpy, w[f"up{level}"])  # (h, w, out, in)
        x = F.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, stride=2)
        x = torch.cat([maps.pop(), x], dim=1) if maps else x
        for number in (1, 2):
            x = F.relu(convolve(x, f"up{level}_conv{number}"))
    return convolve(x, "score_fr").permute(0, 2, 3, 1).numpy()


def each(*light, of):
    return [name if name in light else pytest.param(name, marks=pytest.mark.slow) for name in of]


@needs_torch
@pytest.mark.parametrize("trunk", each(of=LEVELS))
def test_the_trunk_is_keras_own_and_the_path_is_unets(trunk, tmp_path):
    """Weights of the classifier fill the trunk exactly; scores are those of torch on its maps."""
    model, classifier = filled("unet_on_trunk", trunk), classifier_of(trunk)
    before = {one.path: np.asarray(one) for one in model.weights}
    classifier.save(tmp_path / "classifier.keras")
    layers = "convolutions" if trunk == "vgg16" else "all"
    transfer = load_trunk(model, tmp_path / "classifier.keras", layers)
    of_head = [one for one in model.weights if one.path.startswith(HEADS_LAYERS)]
    assert len(transfer.moved) == len(model.weights) - len(of_head)
    assert {tensor.split("/")[0] for tensor in transfer.refused} <= {"fc1", "fc2", "predictions"}
    for weight in of_head:
        np.testing.assert_array_equal(weight, before[weight.path])
    # VGG's five blocks begin at the size of the image, the levels of the others at 1/2.
    step_px, levels = (16, (4, 3, 2, 1)) if trunk == "vgg16" else (32, (5, 4, 3, 2, 1))
    outputs = [classifier.get_layer(n).output if n else classifier.output for n in LEVELS[trunk]]
    trunk_alone = keras.Model(classifier.inputs[0], outputs)
    if trunk == "vgg16":  # this one was built for 224 px
        trunk_alone = keras.models.clone_model(
            trunk_alone, input_tensors=keras.Input((None, None, 3))
        )
        trunk_alone.set_weights(keras.Model(classifier.inputs[0], outputs).get_weights())
    for size in ((1, 1), (33, 50), (64, 96)):
        images = random_images(2, *size, 3)
        logits = np.asarray(model(images, training=False))
        assert logits.dtype == np.float32
        maps = trunk_alone(pixels_of(model, images, step_px), training=False)
        expected = torch_path(model, maps, levels)[:, : size[0], : size[1]]
        assert relative_difference(logits, expected) < 1e-4
    save_model(model, tmp_path / "m.keras")
    again = np.asarray(load_model(tmp_path / "m.keras")(images, training=False))
    np.testing.assert_array_equal(again, logits)


@pytest.mark.slow
@pytest.mark.parametrize("trunk", CLASSIFIERS)
def test_dilated_kernels_see_what_the_strided_ones_see(trunk, tmp_path):
    """Every other cell of the dense map is a cell of the strided one (Chen et al., section 3.1).

    ResNet50's strides begin at the first cell; the others', whose kernels are padded by more at
    the bottom, at the second. A squeeze looks at all cells, which are others then: with its
    weights at 0 it multiplies by a constant.
    """
    model, classifier = filled("deeplabv3_on_trunk", trunk), classifier_of(trunk)
    for layer in classifier.layers:
        if "squeeze" in layer.name or "_se_" in layer.name:
            for weight in layer.weights:
                weight.assign(np.zeros(weight.shape))
    classifier.save(tmp_path / "classifier.keras")
    transfer = load_trunk(model, tmp_path / "classifier.keras")
    assert len(transfer.moved) == len(classifier.weights)
    assert all(tensor.startswith(HEADS_LAYERS) for tensor in transfer.kept)
    images = random_images(1, 250, 250, 3)
    behind = model.get_layer("classifier_0_convs_0_0").input
    dense = np.asarray(keras.Model(model.inputs[0], behind)(images, training=False))
    strided = np.asarray(classifier(pixels_of(model, images, 32), training=False))
    assert (dense.shape[1:3], strided.shape[1:3]) == ((16, 16), (8, 8))
    first = 0 if trunk == "resnet50" else 1
    found = dense[:, first::2, first::2]
    # Zeros lie beyond the border of the coarser map, and values of the finer one at some of them.
    inside = slice(None) if trunk == "resnet50" else slice(3, 5)
    difference = np.abs(found - strided)[:, inside, inside].max()
    assert strided.std() > 0
    assert difference < 1e-4 * np.abs(strided).max()


@pytest.mark.slow
def test_deeplabs_head_is_that_of_torchvisions_network_at_the_papers_rates():
    """Its layers, names and rates; the scores are interpolated from where the cells lie."""
    model = filled("deeplabv3_on_trunk", "mobilenetv3_large", dropout=0.25)
    theirs = build_fcn("deeplabv3_resnet50", 4, width=0.25, output_stride=16)
    branches = [f"classifier_0_convs_{number}_0" for number in (1, 2, 3)]
    rates = [model.get_layer(name).dilation_rate for name in branches]
    assert rates == [(6, 6), (12, 12), (18, 18)]
    assert rates == [theirs.get_layer(name).dilation_rate for name in branches]
    of_head = [[la.name for la in one.layers if "classifier" in la.name] for one in (model, theirs)]
    assert set(of_head[1]) <= set(of_head[0])
    assert margin_px(model) is None  # the image pooling looks at all of it
    # Scores that say where their cells lie become the pixels' rows: MobileNetV3's first cell at
    # 1/16 has its centre at 15 px.
    head = keras.Model([model.inputs[0], model.get_layer("score_fr").output], model.output)
    rows = np.tile((15 + 16.0 * np.arange(20))[None, :, None, None], (1, 1, 4, 4))
    logits = head([np.zeros((1, 320, 64, 3), "float32"), rows.astype("float32")])
    np.testing.assert_allclose(np.asarray(logits)[0, 32:288, 20, 0], np.arange(32, 288), atol=1e-3)


def test_what_does_not_fit_is_refused():
    model = build_fcn("unet_on_trunk", 2, width=1 / 64)
    with pytest.raises(InputError, match=r"layers=all: .* the convolutions of VGG16 alone"):
        load_trunk(model, "imagenet")
    assert {*LEVELS} < {name for name, trunk in TRUNKS.items() if trunk.levels}
