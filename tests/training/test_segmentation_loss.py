import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.training.segmentation_loss import SegmentationLoss, nan_where_no_class
from tests.networks import narrow_fcn, random_images

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
    alone = SegmentationLoss("sum")(MASKS[:1], LOGITS[:1])
    np.testing.assert_allclose(alone, LOSSES[:2].sum(), rtol=1e-6)


def test_class_weights():
    expected = (2 * LOSSES[0] + 2 * LOSSES[1] + 5 * LOSSES[2]) / (2 + 2 + 5)
    loss = SegmentationLoss("mean", class_weights=[2, 5])(MASKS, LOGITS)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    loss = SegmentationLoss("sum", class_weights=[2, 5])(MASKS, LOGITS)
    np.testing.assert_allclose(loss, expected * 9 / 2, rtol=1e-6)
    loss = SegmentationLoss("pixels", class_weights=[2, 5])(MASKS, LOGITS)
    np.testing.assert_allclose(loss, expected * 9 / 3, rtol=1e-6)
    # A mean does not see a factor of all weights, be their sum below 1 or not.
    loss = SegmentationLoss("mean", class_weights=[0.02, 0.05])(MASKS, LOGITS)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "pixels", "sum"])
def test_an_image_without_labels_costs_nothing(reduction):
    masks = np.full((2, 1, 2), VOID, np.uint8)
    loss, gradient = loss_and_gradient(reduction, masks, LOGITS)
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("reduction", ["mean", "pixels", "sum"])
def test_logits_under_void_change_nothing(reduction):
    loss, gradient = loss_and_gradient(reduction, MASKS, LOGITS)
    changed = LOGITS.copy()
    changed[1, 0, 1] = (-50.0, 1e30)
    loss_after, gradient_after = loss_and_gradient(reduction, MASKS, changed)
    assert loss == loss_after
    np.testing.assert_array_equal(gradient, gradient_after)
    assert not gradient[1, 0, 1].any()


def test_a_batch_of_classes_that_weigh_nothing_costs_nothing():
    masks = np.zeros((2, 1, 2), np.uint8)
    loss, gradient = loss_and_gradient("mean", masks, LOGITS, class_weights=[0, 1])
    assert loss == 0
    assert not gradient.any()


def loss_and_gradient(reduction, masks, logits, **settings):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = SegmentationLoss(reduction, **settings)(masks, logits)
    return loss.numpy(), tape.gradient(loss, logits).numpy()


def test_masks_may_have_a_last_axis_of_1_as_tfds_gives_them():
    masks = np.concatenate([MASKS, MASKS[::-1]], axis=1)  # (2, 2, 2), which broadcasts
    logits = np.concatenate([LOGITS, LOGITS[::-1] + 0.5], axis=1)
    for loss in (SegmentationLoss("mean", [1, 3]), SegmentationLoss("sum", sample_fraction=1)):
        np.testing.assert_array_equal(loss(masks[..., None], logits), loss(masks, logits))
        np.testing.assert_array_equal(
            loss.total(masks[..., None], logits), loss.total(masks, logits)
        )


@pytest.mark.parametrize(
    "shape", [(2, 1, 2, 2), (1, 1, 2), (1, 2), (2, 2, 1), (2, 1, 1), (2, 1, 1, 1), (2, 1, 2, 1, 1)]
)
def test_masks_of_another_shape_are_refused(shape):
    """Many of them would be broadcast to some number."""
    with pytest.raises(InputError, match=rf"{re.escape(str(shape))} and the logits \(2, 1, 2, 2\)"):
        SegmentationLoss()(np.zeros(shape, np.uint8), LOGITS)


def test_masks_and_weights_that_do_not_fit_the_logits_are_refused():
    loss = SegmentationLoss()
    with pytest.raises(InputError, match=r"logits \(2, 1, 2\): masks must be"):
        loss(MASKS, LOGITS[..., 0])
    for channels in (1, 256):
        with pytest.raises(InputError, match=f"channels of the logits={channels}: .* 2 and 255"):
            loss(MASKS, np.zeros((2, 1, 2, channels), "float32"))
    for count in (1, 3):
        with pytest.raises(InputError, match=f"class_weights has {count} numbers for 2 classes"):
            SegmentationLoss(class_weights=[1.0] * count)(MASKS, LOGITS)
    for shape in ((), (2, 2), (1, 1, 1), (3, 1, 1)):
        with pytest.raises(InputError, match=rf"{re.escape(str(shape))} and the logits"):
            loss(MASKS, LOGITS, sample_weight=np.ones(shape))
    signature = [tf.TensorSpec(None, tf.uint8), tf.TensorSpec(LOGITS.shape)]
    unknown = tf.function(loss, signature, autograph=False)
    with pytest.raises(InputError, match="number of axes of the masks is not known"):
        unknown(MASKS, LOGITS)


def test_weights_are_of_the_channels_of_the_logits():
    """One image of 1x2 pixels and three classes, of equal logits: each loss is log 3."""
    loss = SegmentationLoss("sum", class_weights=[1, 2, 4])
    found = loss(np.array([[[0, 2]]], np.uint8), np.zeros((1, 1, 2, 3), "float32"))
    np.testing.assert_allclose(found, 5 * np.log(3), rtol=1e-6)
    for images in (3, 4):
        masks, logits = np.zeros((images, 1, 2), np.uint8), np.zeros((images, 1, 2, 3), "float32")
        for shape in ((images,), (images, 1, 1)):
            found = loss(masks, logits, np.ones(shape))
            np.testing.assert_allclose(found, 2 * np.log(3), rtol=1e-6)


def test_a_label_that_is_no_class_has_no_loss():
    found = nan_where_no_class(np.arange(7, dtype="float32"), np.array([-2, -1, 0, 1, 2, 3, 4]), 3)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 2, 3, 4, np.nan, np.nan])


def test_sample_weights_are_of_images_or_of_pixels():
    of_images = np.array([2.0, 5.0], "float32")
    expected = (2 * LOSSES[0] + 2 * LOSSES[1] + 5 * LOSSES[2]) / 3
    for shape in ((2,), (2, 1, 1)):
        loss = SegmentationLoss()(MASKS, LOGITS, of_images.reshape(shape))
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
    of_pixels = np.array([[[1.0, 0.0]], [[3.0, 7.0]]], "float32")
    for weights in (of_pixels, of_pixels[..., None]):
        loss = SegmentationLoss()(MASKS, LOGITS, weights)
        np.testing.assert_allclose(loss, (LOSSES[0] + 3 * LOSSES[2]) / 3, rtol=1e-6)


def test_it_is_float32_whatever_the_logits():
    loss = SegmentationLoss("sum")(MASKS, tf.cast(LOGITS, tf.bfloat16))
    assert loss.dtype == "float32"


def test_it_is_saved_with_a_compiled_model():
    loss = SegmentationLoss("sum", class_weights=[1, 2], sample_fraction=0.5, seed=2)
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    drawn = [float(loss(MASKS, LOGITS)) for _ in range(20)]
    assert [float(twin(MASKS, LOGITS)) for _ in range(20)] == drawn
    assert len(set(drawn)) > 1  # each call draws its own pixels


def test_by_default_all_pixels_count_in_one_pass_and_a_sample_has_the_seed_0():
    loss = SegmentationLoss()
    assert (loss.sample_fraction, loss.needs_sums, loss.class_weights) == (1.0, False, None)
    losses = SegmentationLoss(sample_fraction=0.5), SegmentationLoss(sample_fraction=0.5, seed=0)
    drawn, again = ([float(loss(MASKS, LOGITS)) for _ in range(20)] for loss in losses)
    assert drawn == again


def test_a_sample_is_refused_on_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert SegmentationLoss(sample_fraction=1.0).sample_fraction == 1
    with pytest.raises(ValueError, match="keeps no state on JAX"):
        SegmentationLoss(sample_fraction=0.99)


def test_another_reduction_is_refused():
    with pytest.raises(ValueError, match="mean, pixels, sum"):
        SegmentationLoss("average")


def test_a_sample_of_the_pixels_counts_for_all():
    """Each of the labelled pixels is kept or not, and VOID never is."""
    logits = np.repeat(LOGITS[:1], 50, axis=1).repeat(40, axis=2)  # (1, 50, 80, 2)
    masks = np.zeros((1, 50, 80), np.uint8)
    masks[:, :, 40:] = VOID
    loss = SegmentationLoss("mean", sample_fraction=0.25, seed=3)
    each = np.log1p(np.exp(logits[..., 1] - logits[..., 0]))[:, :, :40].ravel()
    drawn = [float(loss.total(masks, logits, training=True)) for _ in range(200)]
    # A pixel counts 4 times or not at all: its variance is 3 times its square.
    deviation = np.sqrt(3 * (each**2).sum())
    assert abs(np.mean(drawn) - each.sum()) < 4 * deviation / np.sqrt(200)
    assert 0.8 * deviation < np.std(drawn) < 1.2 * deviation
    assert len(set(drawn)) > 50
    # Evaluation takes all pixels, and the normalizer counts all.
    np.testing.assert_allclose(loss.total(masks, logits), each.sum(), rtol=1e-5)
    assert loss.normalizer(masks) == 50 * 40
    again = SegmentationLoss("mean", sample_fraction=0.25, seed=3)
    assert float(again.total(masks, logits, training=True)) == drawn[0]
    assert not SegmentationLoss().random_states


def test_the_gradient_of_a_sample_is_on_average_that_of_all():
    """Long et al. 2015, section 3.4: patchwise training is loss sampling."""
    # Few draws of many images from a small network: as certain as many draws of few, and quicker.
    draw_count = 80
    model = narrow_fcn("fcn8s", 5, width=1 / 32, head_units=8)
    images = random_images(16, 96, 96, 3)
    masks = np.random.default_rng(1).integers(0, 5, (16, 12, 12)).repeat(8, 1).repeat(8, 2)
    masks[:, :20] = VOID
    masks = masks.astype("uint8")
    values = [variable.value for variable in model.trainable_variables]
    sampled = SegmentationLoss("mean", sample_fraction=0.25)

    @tf.function
    def gradient(training):
        with tf.GradientTape() as tape:
            total = sampled.total(masks, model(images, training=False), training=training)
            loss = total / sampled.normalizer(masks)
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, values)], 0)

    full = gradient(False).numpy().astype(np.float64)
    draws = np.array([gradient(True).numpy() for _ in range(draw_count)], np.float64)
    error = np.linalg.norm(draws.mean(axis=0) - full) / np.linalg.norm(full)
    standard_error = np.sqrt(draws.var(axis=0, ddof=1).sum() / draw_count) / np.linalg.norm(full)
    assert error <= 4 * standard_error
    assert error <= 0.05
    assert standard_error > 0.001  # the draws differ


@pytest.mark.parametrize("fraction", [-0.5, 0, 1.01])
def test_another_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match=f"={fraction}: it must be above 0 and at most 1"):
        SegmentationLoss(sample_fraction=fraction)
