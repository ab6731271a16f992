"""The pass over train: its statistics by hand, and what it leaves alone."""

import keras
import numpy as np
import pytest

from fcn_tf.data import training_batches
from fcn_tf.errors import InputError
from fcn_tf.training.batch_norm import compile_statistics_call, take_statistics
from fcn_tf.training.run import Run
from tests.training.runs import change, uneven_config, uneven_source
from tests.training.small import (
    MOMENTUM,
    small_run,
    statistics_of_train,
    statistics_of_train_by_hand,
)


def test_statistics_are_the_mean_over_the_batches_of_train():
    run = small_run(normalized=True)
    np.testing.assert_allclose(statistics_of_train(run), statistics_of_train_by_hand(), rtol=1e-5)
    assert run.model.get_layer("norm").momentum == MOMENTUM


def test_a_pass_that_is_stopped_leaves_the_statistics_alone():
    def stop():
        raise KeyboardInterrupt

    run = small_run(normalized=True)
    before = [variable.numpy() for variable in run.statistics]
    with pytest.raises(KeyboardInterrupt):
        statistics_of_train(run, stop)
    for value, variable in zip(before, run.statistics, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert run.model.get_layer("norm").momentum == MOMENTUM


def test_dropout_goes_on_as_before():
    run = small_run(normalized=True)
    dropped = keras.layers.Dropout(0.5, seed=1)(run.model.output)
    run.in_training = keras.Model(run.model.input, dropped)
    weights = {id(weight) for weight in run.in_training.weights}
    states = [v.value for v in run.in_training.variables if id(v) not in weights]
    run.random_states = states
    before = [state.numpy() for state in states]
    run.in_training(np.zeros((1, 2, 2, 3), np.uint8), training=True)
    drawn = [state.numpy() for state in states]
    assert len(states) == 1
    assert (drawn[0] != before[0]).any()
    np.testing.assert_allclose(statistics_of_train(run), statistics_of_train_by_hand(), rtol=1e-5)
    np.testing.assert_array_equal(states[0].numpy(), drawn[0])


def test_a_network_without_batch_normalization_is_refused():
    config = change(uneven_config(), "training", batch_norm_pass=True)
    with pytest.raises(InputError, match=r"^training.batch_norm_pass=True: fcn32s .*Leave it out"):
        Run(config, uneven_source())


@pytest.mark.slow
def test_of_a_run_the_averages_of_the_statistics_change_alone():
    config = change(uneven_config(ema=0.5), "training", batch_norm_pass=True)
    source = uneven_source()
    run = Run(config.__class__(**{**vars(config), "variant": "segnet"}), source)
    run.feed()
    run.train_call(keras.ops.array(2, "int32"))
    before = {name: variable.numpy() for name, variable in run.variables.items()}
    take_statistics(run, compile_statistics_call(run), lambda: None)
    after = {name: variable.numpy() for name, variable in run.variables.items()}
    changed = {name for name in before if (after[name] != before[name]).any()}
    averages = {name for name in before if name.startswith("average/") and "moving_" in name}
    assert averages
    assert changed == averages
    with run.average.in_place():
        first = keras.Model(run.model.inputs[0], run.model.get_layer("conv1_1").output)
        norm = run.model.get_layer("conv1_1_bn")
        found = norm.moving_mean.numpy(), norm.moving_variance.numpy()
        drawn = training_batches(source, config.data, config.seed).take(3).as_numpy_iterator()
        maps = [first(images).numpy() for images, _ in drawn]
    expected = np.mean([[m.mean((0, 1, 2)), m.var((0, 1, 2))] for m in maps], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
