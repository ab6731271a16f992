"""The compiled calls against steps and scores by hand; test_distribution.py has two devices."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.evaluation.metrics import confusion_matrix
from fcn_tf.training.steps import Taken, compile_train_call
from tests.training.small import (
    CASES,
    CLASSES,
    OF_ALL_LOSSES,
    assert_same_steps,
    batches,
    evaluated,
    small_run,
    statistics,
    statistics_by_hand,
    steps_by_hand,
    take_steps,
    train_call,
)


@pytest.mark.parametrize("case", CASES)
def test_steps_by_hand(case):
    """The batch's images differ in their numbers of labelled pixels."""
    assert_same_steps(take_steps(small_run(**CASES[case])), steps_by_hand(**CASES[case]))


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_an_auxiliary_output_adds_its_share_to_every_loss(parts):
    """The second output is the first, so that with half of the weight all is half as much again."""
    plain, run = (small_run(loss=OF_ALL_LOSSES, accumulate_steps=n) for n in (1, parts))
    logits = run.model.outputs[0]
    again = keras.layers.Rescaling(1.0)(logits)
    run.in_training = keras.Model(run.model.inputs[0], [logits, again])
    run.output_weights = (1.0, 0.5)
    first, *_ = take_steps(small_run(loss=OF_ALL_LOSSES))["losses"]
    plain.output_weights = (1.5,)
    found, expected = take_steps(run), take_steps(plain)
    assert found["losses"][0] == pytest.approx(1.5 * first, rel=1e-5)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_four_accumulated_batches_are_one_to_every_loss():
    """Each is of one image, of which one has no label; test_losses.py has the losses by hand.

    test_distribution.py does so with two batches on each of two devices.
    """
    whole = take_steps(small_run(loss=OF_ALL_LOSSES))
    parts = take_steps(small_run(loss=OF_ALL_LOSSES, accumulate_steps=4))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("parts", "squared"), [(1, False), (2, True)])
def test_running_statistics_take_in_each_batch_once(parts, squared):
    """Also where the loss has a first pass; and each accumulated batch is a batch."""
    run = small_run(normalized=True, squared=squared, accumulate_steps=parts)
    for found, expected in zip(statistics(run), statistics_by_hand(parts), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_steps_before_a_broken_batch_are_whole():
    """The third batch cannot be read, in the second call: what its step before gave is there."""
    images, masks = batches()

    def read(number):
        if number == 2:
            raise InputError("b.png: broken")
        return images[number], masks[number]

    data = tf.data.Dataset.range(5).map(
        lambda number: tf.numpy_function(read, (number,), (tf.uint8, tf.uint8))
    )
    data = data.map(
        lambda *pair: [
            tf.ensure_shape(p, a.shape[1:]) for p, a in zip(pair, (images, masks), strict=True)
        ]
    )
    run, taken = small_run(normalized=True, loss={"sample_fraction": 0.5}), Taken(CLASSES)
    call = compile_train_call(run, iter(data), taken)
    first = [x.numpy() for x in call(tf.constant(1))]
    with pytest.raises(tf.errors.OpError, match=r"b\.png: broken"):
        call(tf.constant(4))
    two = small_run(normalized=True, loss={"sample_fraction": 0.5})
    whole = tf.data.Dataset.from_tensor_slices((images, masks))
    losses, confusion = compile_train_call(two, iter(whole))(tf.constant(2))
    np.testing.assert_array_equal([*first[0], *taken.losses.numpy()], losses)
    np.testing.assert_array_equal(first[1] + taken.confusion.numpy(), confusion)
    for one, other in zip(run.model.weights, two.model.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    for one, other in zip(run.loss.random_states, two.loss.random_states, strict=True):
        np.testing.assert_array_equal(one, other)
    assert run.optimizer.iterations.numpy() == 2
    # Where steps are slow, the next one must not ask for its batch before.
    nodes = call.get_concrete_function(tf.constant(1)).graph.as_graph_def().node
    assert [n.attr["parallel_iterations"].i for n in nodes if n.op == "While"] == [1]


def test_xla_compiles_every_pass():
    """A step computes three products with the kernel, one in the first pass of the loss.

    A step of one share needs no such pass.
    """

    def products(jit_compile, parts=2):
        run = small_run(squared=True, jit_compile=jit_compile, accumulate_steps=parts)
        call = train_call(run)
        library = call.get_concrete_function(tf.constant(1)).graph.as_graph_def().library.function
        return [
            function.attr["_XlaMustCompile"].b
            for function in library
            for node in function.node_def
            if node.op in ("Conv2D", "Conv2DBackpropFilter")
        ]

    assert products(jit_compile=True) == [True] * 3
    assert products(jit_compile=False, parts=1) == [False] * 2


def test_an_evaluation_reports_its_own_loss():
    """Of ohem the loss of all labelled pixels, and not that of the hardest alone."""
    hardest = small_run(loss={"name": "ohem", "ohem_share": 0.01})
    expected = evaluated_by_hand(mean=0, variance=1)
    assert evaluated(hardest, images=4)[1] == pytest.approx(expected[1], rel=1e-5)


def test_the_sample_of_pixels_is_drawn_in_training_alone():
    """With a fraction that leaves none of them."""
    run = small_run(loss={"sample_fraction": 1e-9})
    _, loss, labelled = evaluated(run, images=4)
    assert (loss > 1, labelled) == (True, 3)
    assert take_steps(run)["losses"].tolist() == [0, 0, 0]


def evaluated_by_hand(mean, variance):
    """The counts of the first batch, of which one image has no label."""
    kernel = small_run().model.get_layer("scores").kernel.numpy()[0, 0]
    images, masks = (each[0] for each in batches())
    logits = (images / 255 - mean) / np.sqrt(variance + 1e-6) @ kernel
    confusion, losses = confusion_matrix(masks, logits.argmax(-1), CLASSES), []
    for image_logits, mask in zip(logits, masks, strict=True):
        valid = mask != VOID
        if valid.any():
            chosen = np.take_along_axis(image_logits[valid], mask[valid][:, None], -1)[:, 0]
            surprise = np.log(np.exp(image_logits[valid]).sum(-1)) - chosen
            losses.append(surprise.mean())
    return confusion, sum(losses), len(losses)


def test_an_evaluation_by_hand():
    """With the running statistics, of which none changes; three images have a label."""
    run = small_run(normalized=True)
    norm = run.model.get_layer("norm")
    norm.moving_mean.assign([0.25, 0.5, 0.75])
    norm.moving_variance.assign([0.04, 0.25, 1.0])
    expected = evaluated_by_hand(np.array([0.25, 0.5, 0.75]), np.array([0.04, 0.25, 1.0]))
    confusion, loss, labelled = evaluated(run, images=4)
    np.testing.assert_array_equal(confusion, expected[0])
    assert (loss, labelled) == (pytest.approx(expected[1], rel=1e-5), 3)
    np.testing.assert_array_equal(norm.moving_mean, [0.25, 0.5, 0.75])
    # As many images as are asked for: the third has no label.
    two, three = (evaluated(run, images=count) for count in (2, 3))
    np.testing.assert_array_equal(two[0], three[0])
    assert (two[1] < loss, three[2]) == (True, 2)
