"""Each loss of the table against its formula; test_segmentation_loss.py has the cross-entropy."""

from functools import partial

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
# Of each case the name and the settings of the loss, and its formula.
CASES = {
    "dice": ({"name": "dice"}, by_hand.dice),
    "focal": ({"name": "focal"}, by_hand.focal),
    "sum": (
        {"name": "cross_entropy + dice"},
        lambda *of: by_hand.cross_entropy(*of) + by_hand.dice(*of),
    ),
}
OHEM = {
    "share": {"share": 0.5},
    "threshold": {"threshold": 0.3},
    "either, over pixels": {"share": 0.3, "threshold": 0.2, "reduction": "pixels"},
    "threshold, over images": {"threshold": 0.3, "reduction": "sum"},
}
for case, chosen in OHEM.items():
    keys = {k if k == "reduction" else f"ohem_{k}": value for k, value in chosen.items()}
    CASES[f"ohem: {case}"] = ({"name": "ohem", **keys}, partial(by_hand.ohem, **chosen))
WEIGHTED = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])


def loss_named(name, weights=None, **settings):
    return make_loss(LossConfig(name=name, **settings), weights, seed=0)


def loss_of(case, weights=None):
    return make_loss(LossConfig(**CASES[case][0]), weights, seed=0)


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
@pytest.mark.parametrize("case", CASES)
def test_the_loss_and_its_gradient_are_those_of_the_formula(case, weights):
    formula = CASES[case][1]
    loss, gradient = step(loss_of(case, weights))
    assert loss == pytest.approx(formula(LOGITS, MASKS, weights), rel=1e-5)
    differences = by_hand.slope(lambda logits: formula(logits, MASKS, weights), LOGITS)
    np.testing.assert_allclose(gradient, differences, rtol=1e-3, atol=2e-6)
    assert np.abs(differences).max() > 0.01


@WEIGHTED
@pytest.mark.parametrize("case", CASES)
def test_shares_add_up_to_the_whole(case, weights):
    """Images with and without a class, and one with no label, each in a share of its own."""
    loss = loss_of(case, weights)
    whole, parts = step(loss), step(loss, shares=4)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("case", ["dice", "focal", "ohem: either, over pixels"])
def test_what_is_not_labelled_changes_nothing(case):
    loss = loss_of(case)
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


def test_ohem_of_four_pixels_by_hand():
    """Pixels of class 0 with the logits a, 0: p = 1 / (1 + exp(-a)). The last has no label."""
    logits = np.array([[[[1.0, 0], [-2.0, 0], [0.5, 0], [3.0, 0], [-9.0, 0]]]], "float32")
    masks = np.array([[[0, 0, 0, 0, VOID]]], np.uint8)
    losses = np.log1p(np.exp(-logits[0, 0, :4, 0]))
    for share, hard in ((0.01, [1]), (0.25, [1]), (0.5, [1, 2]), (0.75, [0, 1, 2])):
        value, gradient = step(loss_named("ohem", ohem_share=share), logits, masks)
        assert value == pytest.approx(losses[hard].mean(), rel=1e-6)
        assert np.flatnonzero(gradient[0, 0, :, 0]).tolist() == hard
    every = step(loss_named("ohem", ohem_share=1.0), logits, masks)[0]
    assert every == pytest.approx(losses.mean(), rel=1e-6)
    # The probabilities are 0.73, 0.12, 0.62 and 0.95.
    below = step(loss_named("ohem", ohem_threshold=0.7), logits, masks)[0]
    assert below == pytest.approx(losses[[1, 2]].mean(), rel=1e-6)
    value, gradient = step(loss_named("ohem", ohem_threshold=0.1), logits, masks)
    assert (value, gradient.any()) == (0, False)
    least = step(loss_named("ohem", ohem_threshold=0.1, ohem_share=0.01), logits, masks)[0]
    assert least == pytest.approx(losses[1], rel=1e-6)


def test_equally_hard_pixels_count_in_part():
    """Half of four pixels: the hardest, and a third of each of the others."""
    logits = np.array([[[[0.0, 0], [-2.0, 0], [0.0, 0], [0.0, 0]]]], "float32")
    loss = loss_named("ohem", ohem_share=0.5)
    value, gradient = step(loss, logits, np.zeros((1, 1, 4), np.uint8))
    assert value == pytest.approx((np.log1p(np.exp(2)) + np.log(2)) / 2, rel=1e-6)
    expected = np.array([0.5 / 3, 1 / (1 + np.exp(-2)), 0.5 / 3, 0.5 / 3]) / 2
    np.testing.assert_allclose(gradient[0, 0, :, 0], -expected, rtol=1e-5)


def test_a_loss_that_is_no_number_stays_one():
    """Of pixels that are not among the hard ones, too: the run has to end."""
    logits = LOGITS.copy()
    logits[0, 0, 0] = np.nan
    for settings in ({"ohem_share": 0.25}, {"ohem_threshold": 0.2}):
        assert np.isnan(step(loss_named("ohem", **settings), logits)[0])


def test_an_evaluation_reports_ohem_of_all_pixels():
    loss = loss_named("ohem + dice", WEIGHTS, ohem_share=0.1).in_evaluation
    total = loss.total(MASKS, LOGITS) / loss.normalizer(MASKS)
    expected = [by_hand.cross_entropy(LOGITS, MASKS, WEIGHTS), by_hand.dice(LOGITS, MASKS, WEIGHTS)]
    np.testing.assert_allclose(total, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["dice", "sum"])
def test_tiles_of_an_image_have_its_loss(name):
    """As an evaluation adds them up: the sums are those of the image."""
    loss = loss_of(name).in_evaluation
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
        with pytest.raises(
            InputError, match=r"it must be one of cross_entropy, dice, focal, ohem, or .*a \+"
        ):
            loss_named(name)
    assert type(loss_named(" dice ")) is LOSSES["dice"]


@pytest.mark.parametrize("case", ["dice", "focal", "ohem: share"])
def test_class_weights_are_one_for_each_class(case):
    with pytest.raises(InputError, match="class_weights has 3 numbers for 4 classes"):
        loss_of(case, [1.0, 2.0, 3.0]).total(MASKS, LOGITS)
