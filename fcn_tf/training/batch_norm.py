"""The pass over train after which batch normalizations have its statistics."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from fcn_tf.data.pipeline import training_batches

if TYPE_CHECKING:
    from fcn_tf.training.run import Run


def average_statistics(run: Run) -> None:
    """Has all devices keep the mean of their running statistics; for use on a device.

    Each has normalized its own share of a batch.
    """
    if run.cluster.replicas > 1 and run.statistics:
        values = [variable.value for variable in run.statistics]
        context = tf.distribute.get_replica_context()
        means = context.all_reduce("MEAN", [tf.identity(value) for value in values])
        for value, mean in zip(values, means, strict=True):
            value.assign(mean)


def compile_statistics_call(run: Run) -> Callable[[Iterator[Any]], None]:
    """A function of an iterator of batches, after which the running statistics are those of one.

    Several devices keep the mean of theirs, as in training. Call it inside `_without_memory`.
    """

    def share(images: tf.Tensor, masks: tf.Tensor) -> None:
        run.in_training(images, training=True)
        average_statistics(run)

    @tf.function
    def statistics_call(batches: Iterator[Any]) -> None:
        run.cluster.strategy.run(share, args=next(batches))

    return statistics_call


def take_statistics(
    run: Run, call: Callable[[Iterator[Any]], None], between_calls: Callable[[], None]
) -> None:
    """Gives batch normalizations the mean over train of their batches' means and variances.

    As SegNet's authors do (compute_bn_statistics.py), but that a batch's variance here is over m
    values and theirs over m - 1. Batches are those with which a training begins, augmented, of the
    size that the network normalizes in training, and enough of them to draw as many images as
    train has. The network has the averaged weights, if there are any. Nothing else changes: dropout
    goes on as if there had been no pass.

    Args:
        run: a run that is fed.
        call: what `compile_statistics_call` returned.
        between_calls: called between two batches. What it raises ends the pass; the statistics are
            then as they were.
    """
    config, cluster = run.config, run.cluster

    def batches(worker: int, workers: int) -> tf.data.Dataset:
        return training_batches(
            run.source,
            config.data,
            config.seed,
            worker=worker,
            workers=workers,
            split_in=cluster.replicas // workers,
        )

    stream = cluster.distribute(batches)
    rounds = math.ceil(run.source.split_sizes["train"] / config.data.batch_size)
    with run.average.in_place(), _random_states_kept(run), _without_memory(run.in_training):
        before = [variable.numpy() for variable in run.statistics]
        totals = [np.zeros(value.shape) for value in before]
        found = before
        try:
            for _ in range(rounds):
                call(stream)
                for total, variable in zip(totals, run.statistics, strict=True):
                    total += variable.numpy()
                between_calls()
            found = [total / rounds for total in totals]
        finally:
            with cluster.strategy.scope():
                for variable, value in zip(run.statistics, found, strict=True):
                    variable.assign(value)


@contextlib.contextmanager
def _without_memory(model: keras.Model) -> Iterator[None]:
    """Inside the block a running statistic is that of the last batch."""
    layers = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


@contextlib.contextmanager
def _random_states_kept(run: Run) -> Iterator[None]:
    """After the block, each device draws as if it had drawn nothing inside."""
    strategy = run.cluster.strategy

    def read() -> list[tf.Tensor]:
        return [tf.identity(state) for state in run.random_states]

    def write(values: list[tf.Tensor]) -> None:
        for state, value in zip(run.random_states, values, strict=True):
            state.assign(value)

    before = strategy.run(tf.function(read))
    try:
        yield
    finally:
        strategy.run(tf.function(write), args=(before,))
