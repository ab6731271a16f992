"""Each loss of the table against its formula; test_segmentation_loss.py has the cross-entropy."""

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.config.schema import LossConfig
from fcn_tf.errors import InputError
from fcn_tf.training.losses import LOSSES, make_loss
from tests.training import losses_by_hand as by_hand

# Of four classes the third is in no mask. The images have 6, 4, 1 and 0 labelled pixels.
WEIGHTS = [0.5, 2.0, 4.0, 1.0]
MASKS = np.array(
    [
        [[0, 0, 1], [3, 1, 0]],
        [[0, 3, VOID], [1, 0, VOID]],
        [[VOID, VOID, 3], [VOID, VOID, VOID]],
        [[VOID] * 3] * 2,
    ],
    np.uint8,
)
LOGITS = np.random.default_rng(0).normal(0, 2, (*MASKS.shape, 4)).astype("float32")
# Names and settings, and what they mean.
CASES = {
    "dice": ({}, by_hand.dice),
    "focal": ({}, by_hand.focal),
    "cross_entropy + dice": (
        {},
        lambda *of: by_hand.cross_entropy(*of) + by_hand.dice(*of),
    ),
}
WEIGHTED = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])


def loss_named(name, weights=None, **settings):
    return make_loss(LossConfig(name=name, **settings), weights, seed=0)


def step(loss, logits=LOGITS, masks=MASKS, shares=1):
    """A step's loss and its gradient, in so many shares, as the loop computes them."""
    parts = [tf.constant(part) for part in np.split(logits, shares)]
    truths = np.split(masks, shares)
    sums = None
    if loss.needs_sums and shares > 1:
        each = [loss.sums(*pair) for pair in zip(truths, parts, strict=True)]
        sums = tf.nest.map_structure(lambda *numbers: tf.add_n(numbers), *each)
    norm = tf.add_n([loss.normalizer(truth) for truth in truths])
    losses, gradients = [], []
    for truth, part in zip(truths, parts, strict=True):
        with tf.GradientTape() as tape:
            tape.watch(part)
            total = loss.total(truth, part, training=True, sums=sums)
            share = tf.reduce_sum(tf.math.divide_no_nan(total, norm))
        losses.append(share)
        gradients.append(tape.gradient(share, part))
    return float(tf.add_n(losses)), np.concatenate(gradients)


@WEIGHTED
@pytest.mark.parametrize("name", CASES)
def test_the_loss_and_its_gradient_are_those_of_the_formula(name, weights):
    settings, formula = CASES[name]
    loss, gradient = step(loss_named(name, weights, **settings))
    assert loss == pytest.approx(formula(LOGITS, MASKS, weights), rel=1e-5)
    differences = by_hand.slope(lambda logits: formula(logits, MASKS, weights), LOGITS)
    np.testing.assert_allclose(gradient, differences, rtol=1e-3, atol=2e-6)
    assert np.abs(differences).max() > 0.01


@WEIGHTED
@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_the_whole(name, weights):
    """Images with and without a class, and one with no label, each in a share of its own."""
    loss = loss_named(name, weights, **CASES[name][0])
    whole, parts = step(loss), step(loss, shares=4)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_labelled_changes_nothing(name):
    loss = loss_named(name, **CASES[name][0])
    changed = LOGITS.copy()
    changed[MASKS == VOID] = (1e30, -50.0, -1e30, 0.0)
    value, gradient = step(loss)
    after, gradient_after = step(loss, changed)
    assert after == value
    np.testing.assert_array_equal(gradient, gradient_after)
    assert not gradient[MASKS == VOID].any()
    nothing, gradient = step(loss, masks=np.full_like(MASKS, VOID))
    assert nothing == 0
    assert not gradient.any()


def test_dice_of_two_classes_by_hand():
    """Pixels of class 0 with p = 0.75 and 0.5, one of class 1 with p = 0.5; class 2 is absent."""
    masks = np.array([[[0, 0, 1, VOID]]], np.uint8)
    logits = np.log([[[[6, 1, 1], [4, 2, 2], [2, 4, 2], [1, 1, 6]]]]).astype("float32")
    first, second = 2 * (0.75 + 0.5) / (2 + 1.5), 2 * 0.5 / (1 + 0.125 + 0.25 + 0.5)
    loss, gradient = step(loss_named("dice"), logits, masks)
    assert loss == pytest.approx(1 - (first + second) / 2, rel=1e-6)
    assert (gradient[0, 0, :3, 2] > 0).all()  # what goes to the absent class costs nevertheless
    perfect = np.where(np.arange(3) == masks[..., None], 50, 0).astype("float32")
    assert step(loss_named("dice"), perfect, masks)[0] == pytest.approx(0, abs=1e-6)
    weighted = step(loss_named("dice", [3.0, 1.0, 9.0]), logits, masks)[0]
    assert weighted == pytest.approx(1 - (3 * first + second) / 4, rel=1e-6)


def test_focal_of_a_pixel_by_hand():
    """With p = 0.5 the factor is 0.5 ** gamma; a pixel that is learned costs nothing."""
    masks, logits = np.zeros((1, 1, 1), np.uint8), np.zeros((1, 1, 1, 2), "float32")
    for gamma in (0.0, 0.5, 1.0, 3.0):
        loss = loss_named("focal", focal_gamma=gamma)
        assert step(loss, logits, masks)[0] == pytest.approx(0.5**gamma * np.log(2), rel=1e-6)
        sure = np.array([[[[200.0, 0.0]]]], "float32")
        value, gradient = step(loss, sure, masks)
        assert (value, np.abs(gradient).max()) == (0, 0)
    assert step(loss_named("focal"), logits, masks)[0] == pytest.approx(np.log(2) / 4, rel=1e-6)


@pytest.mark.parametrize("name", ["dice", "cross_entropy + dice"])
def test_tiles_of_an_image_have_its_loss(name):
    """As an evaluation adds them up: the sums are those of the image."""
    loss = loss_named(name).in_evaluation
    image, mask = LOGITS[:1], MASKS[:1]
    tiles = [(mask[:, :, :1], image[:, :, :1]), (mask[:, :, 1:], image[:, :, 1:])]
    sums = tf.nest.map_structure(lambda *x: tf.add_n(x), *(loss.sums(*tile) for tile in tiles))
    total = tf.add_n([loss.total(*tile, sums=sums) for tile in tiles])
    found = float(tf.reduce_sum(total / loss.normalizer(mask)))
    assert found == pytest.approx(CASES[name][1](image, mask), rel=1e-5)


def test_the_terms_of_a_sum_have_their_own_divisors():
    """A class of no weight is not in the divisor of the cross-entropy."""
    weights = [1.0, 0.0, 0.0, 0.25]
    both = step(loss_named("cross_entropy+dice", weights))[0]
    parts = [step(loss_named(name, weights))[0] for name in ("cross_entropy", "dice")]
    assert both == pytest.approx(sum(parts), rel=1e-6)
    assert min(parts) > 0.1


def test_a_sum_draws_one_sample_and_keeps_its_states():
    loss = loss_named("cross_entropy + focal", sample_fraction=0.5)
    assert len(loss.random_states) == 2
    assert not loss.needs_sums
    drawn = {float(tf.reduce_sum(loss.total(MASKS, LOGITS, training=True))) for _ in range(9)}
    assert len(drawn) > 1
    whole = loss.total(MASKS, LOGITS)
    np.testing.assert_allclose(loss.in_evaluation.total(MASKS, LOGITS), whole, rtol=1e-6)


def test_names_that_are_no_losses():
    for name in ("x", "dice + x", "dice cross_entropy"):
        with pytest.raises(InputError, match=r"it must be one of cross_entropy, dice, focal.*a \+"):
            loss_named(name)
    assert type(loss_named(" dice ")) is LOSSES["dice"]


@pytest.mark.parametrize("name", CASES)
def test_class_weights_are_one_for_each_class(name):
    with pytest.raises(InputError, match="class_weights has 3 numbers for 4 classes"):
        loss_named(name, [1.0, 2.0, 3.0], **CASES[name][0]).total(MASKS, LOGITS)
