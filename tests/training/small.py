"""What the compiled calls ask of a run, with a network of one layer: its steps by hand."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    OptimizerConfig,
    TrainingConfig,
)
from fcn_tf.data import training_batches
from fcn_tf.evaluation.metrics import confusion_matrix
from fcn_tf.training.averaging import WeightAverage
from fcn_tf.training.batch_norm import compile_statistics_call, take_statistics
from fcn_tf.training.distribution import Cluster
from fcn_tf.training.evaluation import compile_evaluation_call
from fcn_tf.training.losses import SegmentationLoss, make_loss
from fcn_tf.training.optimizers import make_optimizer
from fcn_tf.training.schedule import make_schedule
from fcn_tf.training.steps import compile_train_call
from tests.training.runs import uneven_source

CLASSES, STEPS, IMAGES = 3, 3, 4
PAIRS = DataConfig(name="shapes", batch_size=2)  # of the pass over train
RATE, MOMENTUM = 0.5, 0.9  # of the optimizer, and of the running statistics


class SquaredSum(SegmentationLoss):
    """The square of the sum over the labelled pixels of the whole step, over their number."""

    needs_sums = True

    def sums(self, y_true, y_pred):
        return super().total(y_true, y_pred)

    def total(self, y_true, y_pred, training=False, sums=None):
        own = super().total(y_true, y_pred)
        sums = own if sums is None else sums
        # The shares add up to the square, and their gradients to that of the square.
        return sums * (2 * own - keras.ops.stop_gradient(own))


def batches(images=IMAGES):
    """Images uint8 (STEPS, N, 3, 4, 3) and masks; from image to image fewer pixels are labelled."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (STEPS, images, 3, 4, 3), dtype=np.uint8)
    masks = random.integers(0, CLASSES, (STEPS, images, 3, 4), dtype=np.uint8)
    masks[:, 1, :2] = VOID
    masks[:, 2] = VOID
    masks[:, 3, 1:, 1:] = VOID
    return pixels, masks


def small_run(
    cluster=None,
    *,
    squared=False,
    normalized=False,
    clip_norm=None,
    ema=0.0,
    loss=None,
    **training,
):
    """What `compile_train_call` and `compile_evaluation_call` read of a `Run`."""
    cluster = cluster or Cluster(tf.distribute.get_strategy())
    config = Config(
        loss=LossConfig(**loss or {}),
        optimizer=OptimizerConfig(
            name="sgd", learning_rate=RATE, momentum=0.0, schedule="constant", clip_norm=clip_norm
        ),
        training=TrainingConfig(**training),
    )
    random = np.random.default_rng(1)
    with cluster.strategy.scope():
        image = keras.Input((None, None, 3), dtype="uint8")
        x = keras.layers.Rescaling(1 / 255)(image)
        if normalized:
            x = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=1e-6, name="norm")(x)
        model = keras.Model(image, keras.layers.Conv2D(CLASSES, 1, name="scores")(x))
        model.get_layer("scores").kernel.assign(random.standard_normal((1, 1, 3, CLASSES)))
        schedule = make_schedule(config.optimizer, max_steps=STEPS)
        optimizer = make_optimizer(config.optimizer, schedule, replicas=cluster.replicas)
        optimizer.build(model.trainable_variables)
        average = WeightAverage(model.trainable_variables if ema else [], ema)
    return SimpleNamespace(
        cluster=cluster,
        config=config,
        num_classes=CLASSES,
        model=model,
        in_training=model,
        output_weights=(1.0,),
        loss=SquaredSum() if squared else make_loss(config.loss, None, seed=1),
        optimizer=optimizer,
        statistics=[v for v in model.weights if v.name.startswith("moving_")],
        random_states=[],
        average=average,
    )


def train_call(run):
    """The compiled call on `batches`, of which each device gets its share."""
    images, masks = batches()
    share = IMAGES // run.cluster.replicas
    shares = [each.reshape(-1, share, *each.shape[2:]) for each in (images, masks)]
    data = tf.data.Dataset.from_tensor_slices(tuple(shares))
    return compile_train_call(run, run.cluster.distribute(lambda worker, workers: data))


def take_steps(run):
    """The losses of three steps, their confusion matrix, and what stands in the run afterwards."""
    losses, confusion = train_call(run)(tf.constant(STEPS))
    values = {variable.path: variable.numpy() for variable in run.model.weights}
    averages = [average.numpy() for average in run.average.averages]
    return {
        "losses": losses.numpy(),
        "confusion": confusion.numpy(),
        **values,
        **{f"average {v.path}": a for v, a in zip(run.average.variables, averages, strict=True)},
    }


# Every loss of the package at once, each with a divisor of its own.
OF_ALL_LOSSES = {
    "name": "cross_entropy + dice + focal + ohem",
    "ohem_share": 0.4,
    "ohem_threshold": 0.2,
}


def steps_by_hand(*, squared=False, clip_norm=None, ema=0.0, **alike):
    """As `take_steps`: softmax regression of the labelled pixels of whole batches, in numpy."""
    kernel = small_run().model.get_layer("scores").kernel.numpy()[0, 0].astype(np.float64)
    bias = np.zeros(CLASSES)
    averages = [kernel.copy(), bias.copy()]
    losses, confusion = [], 0
    for step, (images, masks) in enumerate(zip(*batches(), strict=True), start=1):
        pixels, labels = images[masks != VOID] / 255, masks[masks != VOID]
        logits = pixels @ kernel + bias
        confusion += confusion_matrix(labels, logits.argmax(-1), CLASSES)
        chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        surprise = -np.log(chances[np.arange(len(labels)), labels])
        factor = 2 * surprise.sum() if squared else 1
        losses.append((surprise.sum() ** 2 if squared else surprise.sum()) / len(labels))
        error = factor * (chances - np.eye(CLASSES)[labels]) / len(labels)
        gradients = [pixels.T @ error, error.sum(0)]
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
        clip = min(1, clip_norm / norm) if clip_norm else 1
        kernel = kernel - RATE * clip * gradients[0]
        bias = bias - RATE * clip * gradients[1]
        decay = min(ema, (1 + step) / (10 + step))
        for average, value in zip(averages, (kernel, bias), strict=True):
            average += (1 - decay) * (value - average)
    found = {"losses": losses, "confusion": confusion}
    found |= {"scores/kernel": kernel[None, None], "scores/bias": bias}
    if ema:
        found["average scores/kernel"], found["average scores/bias"] = (
            averages[0][None, None],
            averages[1],
        )
    return found


def assert_same_steps(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


CASES = {
    "averaged": {"ema": 0.25, "clip_norm": 1000.0},  # which no step reaches
    "clipped": {"clip_norm": 0.05},
    "squared, in two batches": {"squared": True, "clip_norm": 0.5, "accumulate_steps": 2},
}


def statistics(run):
    """The running statistics after the steps."""
    take_steps(run)
    norm = run.model.get_layer("norm")
    return norm.moving_mean.numpy(), norm.moving_variance.numpy()


def statistics_by_hand(parts=1, devices=1):
    """The same where each batch is normalized in so many parts one after the other.

    Each of them is split between the devices, and the mean of theirs is kept.
    """
    mean, variance = np.zeros(3), np.ones(3)
    for images in batches()[0]:
        for part in np.split(images / 255, parts):
            shares = np.split(part, devices)
            means = np.mean([share.mean((0, 1, 2)) for share in shares], axis=0)
            variances = np.mean([share.var((0, 1, 2)) for share in shares], axis=0)
            mean = MOMENTUM * mean + (1 - MOMENTUM) * means
            variance = MOMENTUM * variance + (1 - MOMENTUM) * variances
    return mean, variance


def statistics_of_train(run, between_calls=lambda: None):
    """The running statistics after the pass over the six images of `uneven_source`."""
    run.source = uneven_source()
    run.config = dataclasses.replace(run.config, data=PAIRS)
    take_statistics(run, compile_statistics_call(run), between_calls)
    norm = run.model.get_layer("norm")
    return norm.moving_mean.numpy(), norm.moving_variance.numpy()


def statistics_of_train_by_hand(devices=1):
    """The same, of three batches of which each device normalizes its share."""
    drawn = training_batches(uneven_source(), PAIRS, seed=0).take(3).as_numpy_iterator()
    shares = [share / 255 for images, _ in drawn for share in np.split(images, devices)]
    means = np.mean([share.mean((0, 1, 2)) for share in shares], axis=0)
    return means, np.mean([share.var((0, 1, 2)) for share in shares], axis=0)


def evaluated(run, images):
    """The counts of `images` of each device."""
    pixels, masks = batches()
    data = tf.data.Dataset.from_tensor_slices(
        {"image": pixels[0], "segmentation_mask": masks[0][..., None]}
    )
    iterator = run.cluster.distribute(lambda worker, workers: data)
    return [x.numpy() for x in compile_evaluation_call(run)(iterator, tf.constant(images))]
