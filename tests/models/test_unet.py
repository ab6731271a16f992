"""U-Net against the same network written in torch alone, and what its tiles need."""

import keras
import numpy as np
import pytest

from fcn_tf.config.networks import NETWORK_KEYS, NetworkArguments
from fcn_tf.models import build_fcn
from fcn_tf.models.margin import margin_px
from fcn_tf.models.mirror import MirroredBorder
from fcn_tf.models.unet import unet_scores
from tests.models.test_published import needs_torch
from tests.networks import narrow_fcn, random_images, relative_difference

NARROW = {"width": 1 / 16}


def torch_unet(model, images):
    """Figure 1 of the paper, with padded convolutions or without.

    For padded ones, sides are filled up to multiples of 16 at the bottom and the right with the
    mean of ImageNet. For the others all around is a mirror image.
    """
    import torch
    from torch.nn import functional as F

    w = {layer.name: [np.asarray(one) for one in layer.weights] for layer in model.layers}

    def convolve(x, name):
        kernel, bias = map(torch.from_numpy, w[name])  # (h, w, in, out)
        padding = 0 if is_valid else kernel.shape[0] // 2
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=padding)

    def twice(x, name):
        return F.relu(convolve(F.relu(convolve(x, f"{name}_conv1")), f"{name}_conv2"))

    def cut(x, reference):
        above, left = ((a - b) // 2 for a, b in zip(x.shape[2:], reference.shape[2:], strict=True))
        return x[:, :, above : above + reference.shape[2], left : left + reference.shape[3]]

    is_valid = model.build_arguments["geometry"] == "valid"
    height, width = images.shape[1:3]
    if is_valid:  # of 16 k + 60 px 16 k - 124 are left
        borders = [(92, 92 + (4 - side) % 16) for side in (height, width)]
        images = np.pad(images, ((0, 0), *borders, (0, 0)), mode="reflect")
    mean = torch.tensor([0.485, 0.456, 0.406])
    deviation = torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(images) / 255 - mean) / deviation
    x = x.permute(0, 3, 1, 2)
    x = x if is_valid else F.pad(x, (0, -width % 16, 0, -height % 16))
    maps = [twice(x, "down1")]
    for level in (2, 3, 4, 5):
        maps.append(twice(F.max_pool2d(maps[-1], 2), f"down{level}"))
    x = maps.pop()
    for level in (4, 3, 2, 1):
        kernel, bias = map(torch.from_numpy, w[f"up{level}"])  # (h, w, out, in)
        x = F.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, stride=2)
        x = twice(torch.cat([cut(maps.pop(), x), x], dim=1), f"up{level}")
    return convolve(x, "score_fr")[:, :, :height, :width].permute(0, 2, 3, 1).numpy()


@needs_torch
@pytest.mark.parametrize("geometry", ["same", "valid"])
def test_scores_are_those_of_figure_1(geometry):
    model = narrow_fcn("unet", geometry=geometry, **NARROW)
    for size in ((1, 1), (33, 48)):
        images = random_images(2, *size, 3)
        logits = keras.ops.convert_to_numpy(model(images, training=False))
        assert logits.dtype == np.float32
        assert relative_difference(logits, torch_unet(model, images)) < 1e-4


def parameters(filters, channels, num_classes):
    """By hand: two convolutions of 3 x 3 a level, transposed ones of 2 x 2, and the scores."""
    count, before = 0, channels
    for number in filters:
        count += 9 * (before * number + number * number) + 2 * number
        before = number
    for number in filters[-2::-1]:
        count += 4 * 2 * number * number + number
        count += 9 * (2 * number * number + number * number) + 2 * number
    return count + filters[0] * num_classes + num_classes


def test_there_are_as_many_parameters_as_published():
    filters = (64, 128, 256, 512, 1024)
    assert parameters(filters, 1, 2) == 31_030_658  # the paper's: of grey images and two classes
    assert parameters(filters, 3, 21) == 31_033_045
    narrow = parameters([number // 16 for number in filters], 3, 5)
    assert build_fcn("unet", 5, **NARROW).count_params() == narrow


@pytest.mark.slow
def test_full_width_has_the_published_number_of_parameters():
    model = build_fcn("unet")
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 31_033_045


def test_the_two_coarsest_maps_are_dropped():
    """The finer one before it is copied to the other side."""
    model = build_fcn("unet", 3, dropout=0.25, **NARROW)
    dropped = [one for one in model.layers if isinstance(one, keras.layers.Dropout)]
    assert [(one.name, one.rate) for one in dropped] == [("drop4", 0.25), ("drop5", 0.25)]
    takers = [
        {la.name for la in model.layers if one.output in as_list(la.input)} for one in dropped
    ]
    assert takers == [{"pool4", "up4_concat"}, {"up4"}]
    without = build_fcn("unet", 3, dropout=0.0, **NARROW)
    assert not [one for one in without.layers if isinstance(one, keras.layers.Dropout)]


def as_list(tensors):
    """KerasTensors compare by identity."""
    return tensors if isinstance(tensors, list) else [tensors]


def test_a_fresh_network_starts_from_he_and_so_do_its_scores():
    """A kernel of 2 x 2 counts four inputs for each of its filters, as in the authors' network."""
    model = build_fcn("unet", 200, width=0.125)
    inputs = {"down4_conv2": 9 * 64, "up3_conv1": 9 * 64, "up4": 4 * 64, "score_fr": 8}
    for name, number in inputs.items():
        kernel = model.get_layer(name).kernel.numpy()
        tolerance = 0.04 if kernel.size > 10_000 else 0.1
        assert kernel.std() == pytest.approx((2 / number) ** 0.5, rel=tolerance), name


def test_of_572_px_388_are_left():
    given = {**build_fcn("unet", 2, **NARROW).build_arguments, "geometry": "valid"}
    network = NetworkArguments(variant="unet", **{key: given[key] for key in NETWORK_KEYS})
    tile = keras.Input((572, 572, 3))
    assert unet_scores(tile, network, 2, "float32").shape == (None, 388, 388, 2)


@pytest.mark.parametrize("side", [1, 2, 30, 93, 300])
def test_the_border_is_a_mirror_image(side):
    """Several of them, where the image is smaller than its border."""
    maps = np.random.default_rng(0).standard_normal((2, side, 7, 3), "float32")
    borders = ((0, 0), (92, 92 + (4 - side) % 16), (92, 92 + 13), (0, 0))
    expected = np.pad(maps, borders, mode="reflect")
    layer = MirroredBorder(92, 16, 4)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(maps)), expected)
    assert layer.compute_output_shape((2, side, None, 3)) == (2, expected.shape[1], None, 3)
    assert MirroredBorder.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("geometry", ["same", "valid"])
def test_tiles_equal_the_whole(geometry):
    """The first, one inside and the last. The margin is the published 92 px, up to the grid."""
    model = narrow_fcn("unet", geometry=geometry, **NARROW)
    margin = margin_px(model)
    assert margin == 96
    image = random_images(1, 300, 43, 3)
    whole = model(image, training=False).numpy()
    for top in (0, 128, 288):
        above = max(0, top - margin)
        tile = model(image[:, above : top + 32 + margin], training=False).numpy()
        kept = tile[:, top - above :][:, :32]
        assert relative_difference(kept, whole[:, top : top + 32]) < 1e-5
