import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.training.averaging import WeightAverage


def average_of(value, decay=0.5):
    weight = keras.Variable(value)
    return weight, WeightAverage([weight], decay)


def test_two_updates_by_hand():
    """The decay of step 1 is 2/11; that of step 100 would be 101/110, and is the given 0.5."""
    weight, average = average_of([1.0, -1.0])
    strategy = tf.distribute.get_strategy()
    weight.assign([12.0, -1.0])
    average.update(strategy, tf.constant(1))
    np.testing.assert_allclose(average.averages[0], [1 + 11 * 9 / 11, -1], rtol=1e-6)
    weight.assign([0.0, 5.0])
    average.update(strategy, tf.constant(100))
    np.testing.assert_allclose(average.averages[0], [5, 2], rtol=1e-6)
    np.testing.assert_array_equal(weight, [0, 5])


def test_the_average_stands_in_for_the_weights_within_a_block():
    weight, average = average_of([1.0])
    weight.assign([3.0])
    inside = []

    def look_and_fail():
        inside.append(float(weight[0]))
        raise KeyError

    with pytest.raises(KeyError), average.in_place():
        look_and_fail()
    assert inside == [1]
    assert (weight[0], average.averages[0][0]) == (3, 1)


def test_a_restart_forgets_what_was_before():
    weight, average = average_of([1.0])
    weight.assign([3.0])
    average.restart()
    assert average.averages[0][0] == 3
    weight.assign([4.0])
    assert average.averages[0][0] == 3
