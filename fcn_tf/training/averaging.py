"""A running average of the weights (Polyak averaging, with exponential decay)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf


class WeightAverage:
    """Keeps average += (1 - decay) * (weight - average) for every weight.

    In the first steps the decay is (1 + step) / (10 + step) where that is less, so that the
    average soon forgets the initial weights (as tf.train.ExponentialMovingAverage).

    Args:
        variables: Keras variables: the trained weights, and the running statistics.
        decay: in [0, 1).

    Attributes:
        averages: a `tf.Variable` for each of `variables`.
    """

    def __init__(self, variables: Sequence[Any], decay: float) -> None:
        self.variables = variables
        self.decay = decay
        self.averages = [tf.Variable(v.value, trainable=False) for v in variables]

    def restart(self) -> None:
        """Sets the average to the weights as they are."""
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign(variable.value)

    def update(self, strategy: tf.distribute.Strategy, step: tf.Tensor) -> None:
        """Takes in the weights after a step; for use in a graph.

        Args:
            strategy: that of the variables.
            step: integer scalar, the number of updates so far.
        """
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
    def in_place(self) -> Iterator[None]:
        """Inside the block the model has the averaged weights, afterwards its own again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for average, variable in zip(self.averages, self.variables, strict=True):
            weight = tf.identity(variable.value)
            variable.assign(average)
            average.assign(weight)
