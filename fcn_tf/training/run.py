"""What a run computes with: the network, its loss, the compiled calls."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from fcn_tf.artefacts import of_model
from fcn_tf.classes import VOID, voc_palette
from fcn_tf.data import training_batches, whole_images
from fcn_tf.data.frequencies import count_classes, median_frequency_weights
from fcn_tf.data.pipeline import evaluation_share
from fcn_tf.drawing import colorize
from fcn_tf.errors import InputError
from fcn_tf.evaluation.metrics import count_pixels, scores_from_confusion
from fcn_tf.evaluation.report import scores_json
from fcn_tf.models import build_fcn, train_scores_only
from fcn_tf.models.layers import Conv2D
from fcn_tf.training.averaging import WeightAverage
from fcn_tf.training.distribution import Cluster
from fcn_tf.training.losses import SegmentationLoss
from fcn_tf.training.optimizers import make_optimizer, make_schedule, needs_whole_gradient
from fcn_tf.training.start import start

PICTURES = 4  # of val, for TensorBoard
# fc7 of a full-width VGG16, the smallest kernel that was measured to gain.
PATCHES_FROM_WEIGHTS = 2**24
EVALUATION_IMAGES_PER_CALL = 8  # on each device; between calls a stop is heard


class Run:
    """A network in training on one data set.

    Args:
        config: a `Config`.
        source: a `Source`.
        cluster: the `Cluster` that shares the work; default this machine's own device.
            The weights to start from are the chief's alone at first.
        fresh: whether to start from the weights that `config` names.

    Attributes:
        config, source, num_classes, samples_a_step: what is trained on what.
        model: the `FCN`, with the weights of the last step.
        loss: the `SegmentationLoss`.
        optimizer: as `make_optimizer` makes it.
        average: their running average, empty where none is wanted.
        variables: all that a checkpoint holds, by name.
        about: what tells the network from another, as JSON holds it.
        train_call: takes a number of steps, int32; returns the loss of each, float32, and
            the confusion matrix of their batches, int64 (C, C). `feed` comes before.

    Raises:
        InputError: class_weights are not one for each class, the weights to start from
            do not fit, or the devices do not divide the batch.
    """

    def __init__(self, config, source, cluster=None, fresh=True):
        self.cluster = cluster or Cluster(tf.distribute.get_strategy())
        batch_size, replicas = config.data.batch_size, self.cluster.replicas
        if batch_size % replicas:
            raise InputError(
                f"data.batch_size={batch_size}: it must be a multiple of {replicas}, the number "
                "of devices, each of which takes its share."
            )
        class_weights = _class_weights(config.loss.class_weights, source)
        self.config = config
        self.source = source
        self.num_classes = len(source.class_names)
        self.samples_a_step = batch_size * config.training.accumulate_steps
        self._schedule = make_schedule(config.optimizer, config.training.max_steps)
        with self.cluster.strategy.scope():
            self._build(class_weights)
        # Outside the scope: what is loaded on the way belongs to no other device.
        if fresh and self.cluster.is_chief:
            start(self.model, config)
            self.average.restart()
        self.variables = _variables_by_name(self)
        self.about = {
            "variant": config.variant,
            "geometry": config.model.geometry,
            "classes": list(source.class_names),
        }

    def learning_rate(self):
        """The rate of the last update; a step whose gradients overflow float16 is none."""
        return float(self._schedule(max(0, int(self.optimizer.iterations.numpy()) - 1)))

    def _build(self, class_weights):
        config, source = self.config, self.source
        self.loss = SegmentationLoss(
            config.loss.reduction, class_weights, config.loss.sample_fraction, config.seed
        )
        self.model = build_fcn(
            config.variant,
            self.num_classes,
            trunk=config.model.trunk,
            width=config.model.width,
            head_units=config.model.head_units,
            fc6_kernel=config.model.fc6_kernel,
            dropout=config.model.dropout,
            geometry=config.model.geometry,
            upsampling=config.model.upsampling,
            output_stride=config.model.output_stride,
            class_names=source.class_names,
            palette=source.colors or voc_palette(self.num_classes).tolist(),
            dtype=config.training.precision,
        )
        _compute_wide_kernels_as_patches(self.model)
        if config.model.trainable == "score":
            train_scores_only(self.model)
        self.optimizer = make_optimizer(
            config.optimizer, self._schedule, config.training.precision, self.cluster.replicas
        )
        # Where Keras' callbacks look for it.
        self.model.optimizer = self.optimizer
        variables = self.model.trainable_variables
        self.optimizer.build(variables)
        self.statistics = [v for v in self.model.weights if v.name.startswith("moving_")]
        averaged = [*variables, *self.statistics] if config.optimizer.ema else []
        self.average = WeightAverage(averaged, config.optimizer.ema)

    def feed(self, skip_samples=0):
        """Opens the stream of training batches where so many samples have been drawn."""
        # The batches of a step come together, since the loss is divided by what all have.
        of_a_step = dataclasses.replace(self.config.data, batch_size=self.samples_a_step)

        def share(worker, workers):
            return training_batches(
                self.source,
                of_a_step,
                self.config.seed,
                skip_samples=skip_samples,
                worker=worker,
                workers=workers,
                split_in=self.cluster.replicas // workers,
            )

        if self.cluster.replicas > 1:
            self._seed_each_device()
        self.train_call = _compile_train_call(self, self.cluster.distribute(share))
        self.evaluation_call = _compile_evaluation_call(self)
        self.predict = of_model(self.model).labels

    def _seed_each_device(self):
        """Lets each device draw its own dropout; a checkpoint holds the state of the first."""
        states = [v for name, v in self.variables.items() if name.startswith("random/")]

        @tf.function
        def seed():
            device = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                state.assign(state + tf.cast([device, 0], state.dtype))

        self.cluster.strategy.run(seed)

    def evaluate(self, heed=lambda: None):
        """What metrics.jsonl says of val.

        It is the averaged weights that are evaluated, where there are any.

        Args:
            heed: called between two calls of the devices; what it raises ends the evaluation.

        Returns:
            dict of the mean loss of an image and the scores.
        """
        split, replicas = "val", self.cluster.replicas
        images = self.cluster.distribute(
            lambda worker, workers: evaluation_share(self.source, split, worker, workers, replicas)
        )
        rounds = -(-self.source.split_sizes[split] // replicas)
        confusion, loss, labelled = np.zeros((self.num_classes, self.num_classes), np.int64), 0, 0
        with self.average.in_place():
            while rounds:
                count = min(rounds, EVALUATION_IMAGES_PER_CALL)
                more = [x.numpy() for x in self.evaluation_call(images, tf.constant(count))]
                confusion, loss, labelled = confusion + more[0], loss + more[1], labelled + more[2]
                rounds -= count
                heed()
        scores = scores_from_confusion(confusion.astype(np.float64))
        plain = scores_json({**scores, "confusion_matrix": confusion}, self.model.class_names)
        del plain["confusion_matrix"]
        return {"loss": float(loss / max(labelled, 1)), **plain}

    def pictures(self):
        """A few images of val by name: image, truth and prediction, uint8 (H, 3 W, 3)."""
        pictures = {}
        with self.average.in_place():
            for example in whole_images(self.source, "val").take(PICTURES).as_numpy_iterator():
                image, truth = example["image"], example["segmentation_mask"][..., 0]
                masks = truth, self.predict(image[None])[0]
                colored = [colorize(mask, self.model.palette) for mask in masks]
                name = example["file_name"].decode()
                pictures[name] = np.concatenate([image, *colored], axis=1)
        return pictures


def _compute_wide_kernels_as_patches(model):
    """Has fc6 and fc7 computed in the way that is faster on processors, where they are wide."""
    on_processors = all(d.device_type == "CPU" for d in tf.config.list_logical_devices())
    for layer in model.layers:
        if isinstance(layer, Conv2D):
            weights = math.prod(layer.kernel.shape)
            layer.as_patches = on_processors and weights >= PATCHES_FROM_WEIGHTS


def _variables_by_name(run):
    """All that a run changes: weights, states of the random generators, optimizer, average."""
    weights = run.model.weights
    of_weights = {id(weight) for weight in weights}
    others = [v for v in run.model.variables if id(v) not in of_weights]
    others += run.loss.random_states
    named = {f"model/{variable.path}": variable.value for variable in weights}
    # Keras numbers their names through the whole process.
    named |= {f"random/{index}": variable.value for index, variable in enumerate(others)}
    for index, variable in enumerate(run.optimizer.variables):
        named[f"optimizer/{index}/{variable.name}"] = variable.value
    for average, variable in zip(run.average.averages, run.average.variables, strict=True):
        named[f"average/{variable.path}"] = average
    return named


def _class_weights(given, source):
    """The factor of each class, or None, from what `loss.class_weights` says."""
    names = source.class_names
    if given in (None, "none"):
        return None
    if given == "median_frequency":
        print("Counting the pixels of each class in train:", flush=True)
        weights = median_frequency_weights(list(count_classes(source, "train")))
        shown = ", ".join(f"{n} {w:.3g}" for n, w in zip(names, weights, strict=True))
        print(f"Class weights: {shown}.", flush=True)
        return weights
    if len(given) != len(names):
        raise InputError(
            f"loss.class_weights has {len(given)} numbers, but there are {len(names)} classes: "
            f"{', '.join(names)}."
        )
    return given


def _compile_train_call(run, batches):
    """`Run.train_call` on an iterator of batches."""
    strategy, optimizer = run.cluster.strategy, run.optimizer
    training, replicas = run.config.training, run.cluster.replicas
    whole_gradient = needs_whole_gradient(run.config.optimizer, training.precision)
    variables = run.model.trainable_variables
    share_of_gradient = _compile_gradient(run)

    def replica_step(images, masks):  # (n, h, w, 3), (n, h, w): a device's share
        context = tf.distribute.get_replica_context()
        norm = run.loss.normalizer(masks)
        if replicas > 1:
            norm = context.all_reduce("SUM", norm)
        gradients, loss, counts = share_of_gradient(images, masks, norm)
        if replicas > 1 and whole_gradient:
            gradients = [sum_ / replicas for sum_ in context.all_reduce("SUM", gradients)]
        optimizer.apply(gradients, variables)
        if replicas > 1 and run.statistics:
            # Each device normalizes its share of the batch; what is kept is the mean of all.
            values = [variable.value for variable in run.statistics]
            means = context.all_reduce("MEAN", [tf.identity(value) for value in values])
            for value, mean in zip(values, means, strict=True):
                value.assign(mean)
        return loss, counts

    @tf.function
    def train_call(steps):
        losses = tf.TensorArray(tf.float32, steps)
        confusion = tf.zeros((run.num_classes, run.num_classes), tf.int64)
        for index in tf.range(steps):
            loss, counts = strategy.run(replica_step, args=next(batches))
            run.average.update(strategy, optimizer.iterations)
            losses = losses.write(index, strategy.reduce("SUM", loss, axis=None))
            confusion += tf.cast(strategy.reduce("SUM", counts, axis=None), tf.int64)
        return losses.stack(), confusion

    return train_call


def _compile_gradient(run):
    """A function of images, masks and the whole step's normalizer.

    It returns a device's share of the gradient, of the loss, and its counts, int32 (C, C).
    """
    model, optimizer, training = run.model, run.optimizer, run.config.training
    values = [variable.value for variable in model.trainable_variables]

    def of_batch(images, masks, norm):
        # What is frozen is not even recorded.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = model(images, training=True)  # (n, h, w, C)
            total = run.loss.total(masks, logits, training=True)
            loss = tf.math.divide_no_nan(total, norm)
            scaled = optimizer.scale_loss(loss)
        return tape.gradient(scaled, values), loss, count_pixels(masks, logits, run.num_classes)

    if training.jit_compile:
        of_batch = tf.function(of_batch, jit_compile=True)
    batches = training.accumulate_steps
    if batches == 1:
        return of_batch

    def of_several(images, masks, norm):
        total = (
            [tf.zeros(value.shape, value.dtype) for value in values],
            tf.constant(0.0),
            tf.zeros((run.num_classes, run.num_classes), tf.int32),
        )
        size = tf.shape(images)[0] // batches
        for first in tf.range(0, batches * size, size):
            part = of_batch(images[first : first + size], masks[first : first + size], norm)
            total = tf.nest.map_structure(tf.add, total, part)
        return total

    return of_several


def _compile_evaluation_call(run):
    """A function of an iterator and a number of images a device.

    It returns the confusion matrix, int64 (C, C), the sum of the images' losses, and how
    many of them have a label.
    """

    def replica_step(example):
        image, mask = example["image"][None], example["segmentation_mask"][None, ..., 0]
        logits = run.model(image, training=False)  # (1, H, W, C)
        # An image without a label has no loss.
        labelled = tf.cast(tf.reduce_any(mask != VOID), tf.float32)
        loss = tf.math.divide_no_nan(run.loss.total(mask, logits), run.loss.normalizer(mask))
        return count_pixels(mask, logits, run.num_classes), labelled * loss, labelled

    @tf.function
    def evaluation_call(images, count):
        confusion = tf.zeros((run.num_classes, run.num_classes), tf.int64)
        loss, labelled = tf.constant(0.0), tf.constant(0.0)
        for _ in tf.range(count):
            parts = run.cluster.strategy.run(replica_step, args=(next(images),))
            parts = [run.cluster.strategy.reduce("SUM", part, axis=None) for part in parts]
            confusion += tf.cast(parts[0], tf.int64)
            loss, labelled = loss + parts[1], labelled + parts[2]
        return confusion, loss, labelled

    return evaluation_call
