import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.training.losses import SegmentationLoss

# Two images of 1x2 pixels, two classes. With logits (a, b) the loss of class 0 is
# log(1 + exp(b - a)).
LOGITS = np.array([[[[2.0, 0.0], [0.0, 1.0]]], [[[0.0, 0.0], [3.0, 1.0]]]], "float32")
MASKS = np.array([[[0, 0]], [[1, VOID]]], np.uint8)
LOSSES = np.log1p(np.exp([-2.0, 1.0, 0.0]))  # of the three labelled pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_mean_over_the_labelled_pixels_of_the_batch(dtype):
    loss = SegmentationLoss("mean")(MASKS.astype(dtype), LOGITS)
    np.testing.assert_allclose(loss, LOSSES.sum() / 3, rtol=1e-6)


def test_sum_over_the_pixels_divided_by_the_images():
    loss = SegmentationLoss("sum")(MASKS, LOGITS)
    np.testing.assert_allclose(loss, LOSSES.sum() / 2, rtol=1e-6)


def test_class_weights():
    expected = (2 * LOSSES[0] + 2 * LOSSES[1] + 5 * LOSSES[2]) / (2 + 2 + 5)
    loss = SegmentationLoss("mean", class_weights=[2, 5])(MASKS, LOGITS)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    loss = SegmentationLoss("sum", class_weights=[2, 5])(MASKS, LOGITS)
    np.testing.assert_allclose(loss, expected * 9 / 2, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_image_without_labels_costs_nothing(reduction):
    masks = np.full((2, 1, 2), VOID, np.uint8)
    loss, gradient = loss_and_gradient(reduction, masks, LOGITS)
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_logits_under_void_change_nothing(reduction):
    loss, gradient = loss_and_gradient(reduction, MASKS, LOGITS)
    changed = LOGITS.copy()
    changed[1, 0, 1] = (-50.0, 1e30)
    loss_after, gradient_after = loss_and_gradient(reduction, MASKS, changed)
    assert loss == loss_after
    np.testing.assert_array_equal(gradient, gradient_after)
    assert not gradient[1, 0, 1].any()


def loss_and_gradient(reduction, masks, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = SegmentationLoss(reduction)(masks, logits)
    return loss.numpy(), tape.gradient(loss, logits).numpy()


def test_it_is_float32_whatever_the_logits():
    loss = SegmentationLoss("sum")(MASKS, tf.cast(LOGITS, tf.bfloat16))
    assert loss.dtype == "float32"


def test_it_is_saved_with_a_compiled_model():
    loss = SegmentationLoss("sum", class_weights=[1, 2])
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert twin(MASKS, LOGITS) == loss(MASKS, LOGITS)


def test_another_reduction_is_refused():
    with pytest.raises(ValueError, match="mean, sum"):
        SegmentationLoss("average")
