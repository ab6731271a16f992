"""Which images 8-bit files are calibrated on."""

import keras
import numpy as np
import pytest

from fcn_tf.exporting.calibration import calibration_images


def network(activation):
    """Its last map is the activation of a tenth of the red of an image."""
    images = keras.Input((None, None, 3))
    red = keras.layers.Conv2D(1, 1, use_bias=False, name="red")
    maps = keras.layers.Activation(activation)(red(images))
    model = keras.Model(images, keras.layers.Conv2D(2, 1, name="score_fr")(maps))
    red.kernel.assign(np.reshape([0.1, 0, 0], (1, 1, 3, 1)))
    return model


def images_of(reds):
    """Black but for one pixel of each, which is that red, and another that is green."""
    images = np.zeros((len(reds), 3, 4, 3), np.uint8)
    images[:, 2, 1, 0] = reds
    images[:, 0, 0, 1] = 255
    return list(images)


@pytest.mark.parametrize(
    ("reds", "kept"),
    [
        ([40, 250, 30, 60, 70, 251, 9, 0], [0, 2, 6, 7]),
        ([1, 255, 3, 4, 5, 6, 7], [0, 2, 3, 4]),
        ([5, 5, 5, 5], [0, 1]),
        ([255], [0]),
    ],
    ids=["four of eight", "three of seven", "equal ones", "never the only one"],
)
def test_with_swish_half_of_them_are_left_out_whose_last_map_is_largest(reds, kept):
    images = images_of(reds)
    found = list(calibration_images(network("silu"), iter(images)))
    np.testing.assert_array_equal(found, [images[index] for index in kept])


def test_other_networks_are_calibrated_on_all():
    images = images_of([1, 2, 3, 255])
    for activation in ("relu", "hard_silu"):
        found = list(calibration_images(network(activation), iter(images)))
        np.testing.assert_array_equal(found, images)


def test_what_is_negative_counts_by_its_size():
    """Here swish is that of the network's own layer, a convolution."""
    model = network("linear")
    model.get_layer("red").activation = keras.activations.silu
    model.get_layer("score_fr").activation = keras.activations.linear
    model.get_layer("red").kernel.assign(np.reshape([-0.005, 0, 0], (1, 1, 3, 1)))
    images = images_of([255, 3, 2, 1])
    found = list(calibration_images(model, images))
    np.testing.assert_array_equal(found, images[2:])
