"""Shift-and-stitch equals a network without strides (Long et al. 2015, section 3.2)."""

import keras
import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, shift_and_stitch, warm_start
from fcn_tf.models.margin import margin_px
from tests.networks import fill, narrow_fcn, random_images, relative_difference

NARROWEST = {"width": 1 / 64, "head_units": 8}


@pytest.mark.parametrize(
    ("factor", "sizes"),
    [(2, {}), (4, {}), (8, NARROWEST)],
    ids=["2", "4", "8"],
)
def test_shifts_equal_the_dilated_network(factor, sizes):
    sizes = sizes or {"width": 0.125, "head_units": 128}
    model = build_fcn("fcn32s", 5, **sizes)
    fill(model)
    dilated = build_fcn("fcn32s", 5, output_stride=32 // factor, **sizes)
    warm_start(dilated, model)
    # Zero padding changes no score further from the border than this: docs/geometry.md.
    border_px = margin_px(model) + 32
    image = random_images(2 * border_px + 88, 2 * border_px + 58, 3)
    stitched = shift_and_stitch(model, image, factor)
    scores = keras.Model(dilated.inputs[0], dilated.get_layer("score_fr").output)
    dense = keras.ops.convert_to_numpy(scores(image[None], training=False))
    assert stitched.shape == dense.shape[1:]
    border = border_px * factor // 32
    inside = (slice(None), slice(border, -border), slice(border, -border))
    assert relative_difference(stitched[None][inside], dense[inside]) < 1e-4


def test_by_hand():
    """Each score of this network is the brightest pixel of its cell."""
    model = build_fcn("fcn32s", 2, **NARROWEST)
    for layer in model.layers:
        for weight in layer.weights if not layer.name.startswith("upscore") else ():
            weight.assign(np.zeros(weight.shape))
            if weight.name == "kernel":  # pass on the middle of the first channel
                kernel = np.zeros(weight.shape)
                middle = weight.shape[0] // 2
                kernel[middle, middle, 0, 0] = 1
                weight.assign(kernel)
    image = np.zeros((80, 70, 3), np.uint8)
    image[..., 2] = np.random.default_rng(0).integers(110, 256, (80, 70))  # conv1_1 sees BGR
    stitched = shift_and_stitch(model, image, 8)  # every 4 px
    assert stitched.shape == (20, 18, 2)
    for row in range(20):
        for column in range(18):
            window = image[4 * row : 4 * row + 32, 4 * column : 4 * column + 32, 2]
            expected = float(window.max()) - np.float32(103.939)
            np.testing.assert_allclose(stitched[row, column], [expected, 0], rtol=1e-5)


@pytest.mark.parametrize("output_stride", [16, 8, 4, 2, 1])
def test_dense_scores_are_placed_where_their_windows_lie(output_stride):
    """A network that passes on one channel shows a bright square at its own place."""
    model = build_fcn("fcn32s", 2, output_stride=output_stride, **NARROWEST)
    dense = shift_of_a_square(model)
    coarse = shift_of_a_square(build_fcn("fcn32s", 2, **NARROWEST))
    assert np.abs(dense - coarse).max() <= output_stride / 2


def shift_of_a_square(model):
    """How far the logits' centre of mass lies from that of a square, in px."""
    for layer in model.layers:
        if layer.name.startswith("upscore") or not layer.weights:
            continue
        kernel = np.zeros(layer.kernel.shape)
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, 0, 0] = 1
        layer.kernel.assign(kernel)
        layer.bias.assign(np.zeros(layer.bias.shape))
    image = np.full((1, 256, 256, 3), 104, np.uint8)
    image[:, 96:160, 128:160, 2] = 255
    logits = keras.ops.convert_to_numpy(model(image, training=False))[0, ..., 0]
    logits = logits - logits.min()
    places = np.indices(logits.shape)
    centre = (places * logits).sum(axis=(1, 2)) / logits.sum()
    return centre - (127.5, 143.5)


def test_what_cannot_be_stitched():
    image = random_images(64, 64, 3)
    with pytest.raises(InputError, match="1, 2, 4, 8, 16 or 32"):
        shift_and_stitch(narrow_fcn("fcn32s"), image, 3)
    with pytest.raises(InputError, match="32 px apart"):
        shift_and_stitch(narrow_fcn("fcn32s", output_stride=8), image, 2)
    with pytest.raises(InputError, match=r"\(64, 64\)"):
        shift_and_stitch(narrow_fcn("fcn32s"), image[..., 0], 2)
