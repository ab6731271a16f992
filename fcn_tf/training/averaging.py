"""A running average of the weights (Polyak averaging, with exponential decay)."""

import contextlib

import tensorflow as tf


class WeightAverage:
    """Keeps average += (1 - decay) * (weight - average) for every weight.

    Early on the decay is (1 + step) / (10 + step) if that is less, so that the
    average soon forgets the initialization (as tf.train.ExponentialMovingAverage).

    Args:
        variables: the model's trained weights, and the running statistics that go with them.
        decay: float in [0, 1).
    """

    def __init__(self, variables, decay):
        self.variables = variables
        self.decay = decay
        self.averages = [tf.Variable(v.value, trainable=False) for v in variables]

    def restart(self):
        """Sets the average to the weights as they are."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign(variable.value)

    def update(self, strategy, step):
        """Takes in the weights after step `step` (an integer tensor); for use in a graph."""
        step = tf.cast(step, tf.float32)
        rate = 1 - tf.minimum(self.decay, (1 + step) / (10 + step))
        for average, variable in zip(self.averages, self.variables, strict=True):
            strategy.extended.update(
                average,
                lambda mean, weight: mean.assign_add(rate * (weight - mean)),
                args=(variable.value,),
                group=False,
            )

    @contextlib.contextmanager
    def in_place(self):
        """The model has the averaged weights inside the block, and its own ones again after."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self):
        for average, variable in zip(self.averages, self.variables, strict=True):
            weight = tf.identity(variable.value)
            variable.assign(average)
            average.assign(weight)
