"""The compiled training steps of a run.

The batch of a step comes in shares: every device computes its own, in one batch or in several
accumulated ones. `TrainingLoss` says how the loss of the step follows from its shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from fcn_tf.evaluation.batches import count_pixels
from fcn_tf.training.batch_norm import average_statistics
from fcn_tf.training.optimizers import needs_whole_gradient

if TYPE_CHECKING:
    from fcn_tf.training.run import Run


class Taken:
    """What the steps of the last call gave; after an error, those before it.

    Args:
        num_classes: C.

    Attributes:
        losses: float32 (steps,), the loss of each.
        confusion: int64 (C, C), the confusion matrix of their batches.
    """

    def __init__(self, num_classes: int) -> None:
        self.losses = tf.Variable(tf.zeros(0), shape=(None,), trainable=False)
        self.confusion = tf.Variable(
            tf.zeros((num_classes, num_classes), tf.int64), trainable=False
        )

    def clear(self) -> None:
        """Begins a call."""
        self.losses.assign(tf.zeros(0))
        self.confusion.assign(tf.zeros_like(self.confusion))

    def add(self, loss: tf.Tensor, counts: tf.Tensor) -> None:
        """Notes a step."""
        self.losses.assign(tf.concat([self.losses, [loss]], 0))
        self.confusion.assign_add(tf.cast(counts, tf.int64))


def compile_train_call(
    run: Run, batches: Iterator[Any], taken: Taken | None = None
) -> Callable[..., Any]:
    """`Run.train_call`.

    Args:
        run: the run.
        batches: an iterator, as `Cluster.distribute` returns it.
        taken: gets what each step gives, so that it is known when a later step fails.
    """
    taken = taken or Taken(run.num_classes)
    strategy, optimizer = run.cluster.strategy, run.optimizer
    training, replicas = run.config.training, run.cluster.replicas
    whole_gradient = needs_whole_gradient(run.config.optimizer, training.precision)
    variables = run.in_training.trainable_variables
    share_of_gradient = compile_gradient(run)
    # Where the share is the whole step, the pass for the gradient has all that the sums need.
    shares = replicas * training.accumulate_steps
    share_of_sums = compile_sums(run) if run.loss.needs_sums and shares > 1 else None

    def over_devices(value: Any) -> Any:
        if replicas == 1:
            return value
        return tf.distribute.get_replica_context().all_reduce("SUM", value)

    def replica_step(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # images (n, h, w, 3), masks (n, h, w): a device's share
        norm = over_devices(run.loss.normalizer(masks))
        sums = over_devices(share_of_sums(images, masks)) if share_of_sums else None
        gradients, loss, counts = share_of_gradient(images, masks, norm, sums)
        if replicas > 1 and whole_gradient:
            gradients = [sum_ / replicas for sum_ in over_devices(gradients)]
        optimizer.apply(gradients, variables)
        average_statistics(run)
        return loss, counts

    @tf.function
    def train_call(steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        taken.clear()
        for _ in tf.range(steps):
            # The next batch may have a broken file: it is asked for when this step is whole, and
            # the next step changes nothing before it has its batch, not even a random state.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            batch = next(batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                loss, counts = strategy.run(replica_step, args=batch)
            run.average.update(strategy, optimizer.iterations)
            taken.add(
                strategy.reduce("SUM", loss, axis=None), strategy.reduce("SUM", counts, axis=None)
            )
        return taken.losses.read_value(), taken.confusion.read_value()

    return train_call


def compile_gradient(run: Run) -> Callable[..., Any]:
    """A function of a device's images and masks, and the whole step's normalizer and sums.

    It returns the device's share of the gradient, a list of tensors; of the loss, float32; and
    its counts, int32 (C, C).
    """
    optimizer, training = run.optimizer, run.config.training
    values = [variable.value for variable in run.in_training.trainable_variables]

    def of_batch(images: tf.Tensor, masks: tf.Tensor, norm: tf.Tensor, sums: Any) -> Any:
        # Only the trained weights are watched: nothing is recorded of frozen layers.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outputs = _outputs(run, images)  # each (n, h, w, C)
            total = _total(run, masks, outputs, sums)
            loss = tf.reduce_sum(tf.math.divide_no_nan(total, norm))  # of each term, where several
            scaled = optimizer.scale_loss(loss)
        counts = count_pixels(masks, outputs[0], run.num_classes)
        return tape.gradient(scaled, values), loss, counts

    if training.jit_compile:
        of_batch = tf.function(of_batch, jit_compile=True)

    def zeros() -> Any:
        gradients = [tf.zeros(value.shape, value.dtype) for value in values]
        return gradients, tf.constant(0.0), tf.zeros([run.num_classes] * 2, tf.int32)

    return _over_accumulated_batches(of_batch, zeros, training.accumulate_steps)


def compile_sums(run: Run) -> Callable[..., Any]:
    """A function of a device's images and masks: the loss's `sums` over them, of each output.

    The pass takes no gradient and leaves no trace: the pass for the gradient draws the same
    dropout, and running statistics take in each batch once.
    """
    changed = [*run.random_states, *(variable.value for variable in run.statistics)]

    def of_batch(images: tf.Tensor, masks: tf.Tensor) -> Any:
        return [run.loss.sums(masks, logits) for logits in _outputs(run, images)]

    if run.config.training.jit_compile:
        of_batch = tf.function(of_batch, jit_compile=True)

    def zeros() -> Any:  # the sums over no image
        masks, logits = tf.zeros((0, 1, 1), tf.uint8), tf.zeros((0, 1, 1, run.num_classes))
        return [run.loss.sums(masks, logits) for _ in run.output_weights]

    of_share = _over_accumulated_batches(of_batch, zeros, run.config.training.accumulate_steps)

    def without_trace(images: tf.Tensor, masks: tf.Tensor) -> Any:
        before = [tf.identity(value) for value in changed]
        sums = of_share(images, masks)
        for value, old in zip(changed, before, strict=True):
            value.assign(old)
        return sums

    return without_trace


def _outputs(run: Run, images: tf.Tensor) -> list[tf.Tensor]:
    """The logits (n, h, w, C) of the network, and behind them those of its auxiliary head."""
    found = run.in_training(images, training=True)
    return found if len(run.output_weights) > 1 else [found]


def _total(
    run: Run, masks: tf.Tensor, outputs: Sequence[tf.Tensor], sums: Sequence[Any] | None
) -> tf.Tensor:
    """What a share adds to the loss of the step, the sum over the outputs.

    Args:
        run: the run.
        masks, outputs: the share.
        sums: of the whole step, of each output; None where the loss needs none, and where the share
            is the whole.
    """
    of_outputs = zip(outputs, sums or [None] * len(outputs), run.output_weights, strict=True)
    totals = [
        run.loss.total(masks, logits, training=True, sums=its_sums) * weight
        for logits, its_sums, weight in of_outputs
    ]
    return sum(totals[1:], start=totals[0])


def _over_accumulated_batches(
    of_batch: Callable[..., Any], zeros: Callable[[], Any], batches: int
) -> Callable[..., Any]:
    """`of_batch` over a device's share, in so many batches one after the other, added up.

    Args:
        of_batch: function of images, masks and more; it returns a structure of tensors.
        zeros: makes the structure to which the batches are added.
        batches: how many; the share is a multiple.
    """
    if batches == 1:
        return of_batch

    def of_share(images: tf.Tensor, masks: tf.Tensor, *more: Any) -> Any:
        total = zeros()
        size = tf.shape(images)[0] // batches
        for first in tf.range(0, batches * size, size):
            part = of_batch(images[first : first + size], masks[first : first + size], *more)
            total = tf.nest.map_structure(tf.add, total, part)
        return total

    return of_share
