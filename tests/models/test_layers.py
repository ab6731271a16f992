import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.models.layers import Bilinear, CaffePreprocessing, Crop, EdgeCell, bilinear_kernel


def test_bilinear_kernel_of_factor_2_by_hand():
    # 1 - |i - 1.5| / 2 for i = 0..3
    axis = np.array([0.25, 0.75, 0.75, 0.25])
    kernel = bilinear_kernel(2, 3)
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


def test_a_kernel_that_cannot_be_bilinear_is_refused():
    with pytest.raises(ValueError, match="2 s, 2 s, C, C"):
        Bilinear()((3, 3, 2, 2))
