"""What a run computes: its network, loss, optimizer and data, and the calls made of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.classes import palette_or_voc
from fcn_tf.config.schema import Config
from fcn_tf.data import training_batches, whole_images
from fcn_tf.data.frequencies import WEIGHTINGS, count_classes, extreme_weights
from fcn_tf.data.order import training_order
from fcn_tf.data.pipeline import evaluation_share
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.score import Counts, evaluate_split
from fcn_tf.evaluation.tables import score_summary
from fcn_tf.files import shown_name
from fcn_tf.images.draw import colorize
from fcn_tf.inference.predictor import WHOLE_PIXELS, Predictor
from fcn_tf.inference.tiles import DEFAULT_TILE_PX
from fcn_tf.models import build_fcn, train_scores_only
from fcn_tf.models.layers import Conv2D
from fcn_tf.models.margin import margin_px
from fcn_tf.models.torchvision.auxiliary import with_auxiliary
from fcn_tf.training.averaging import WeightAverage
from fcn_tf.training.batch_norm import compile_statistics_call, take_statistics
from fcn_tf.training.distribution import Cluster
from fcn_tf.training.evaluation import compile_evaluation_call
from fcn_tf.training.losses import make_loss
from fcn_tf.training.optimizers import make_optimizer
from fcn_tf.training.schedule import make_schedule, rate_change
from fcn_tf.training.start import load_start_weights
from fcn_tf.training.steps import Taken, compile_train_call

PICTURES = 4  # of val, for TensorBoard
# fc7 of a full-width VGG16, the smallest kernel that was measured to gain.
PATCHES_FROM_WEIGHTS = 2**24
# On each device. Only between two calls is a signal to stop noticed.
EVALUATION_IMAGES_PER_CALL = 8


class Run:
    """A network in training on one data set.

    Args:
        config: all that was configured.
        source: the data set.
        cluster: the devices that share the work; default this machine's own device. Only
            the chief's weights are the start weights, until they are broadcast.
        fresh: whether to load the start weights that `config` names.

    Attributes:
        config, source, cluster: as given.
        num_classes: C.
        palette: C RGB triples, those of the data set or PASCAL VOC's.
        samples_a_step: images in the batch of one step, of all devices together.
        model: the `FCN`, with the weights of the last step.
        in_training: the network that is trained, `model` or, with an auxiliary head, one that
            shares its layers and has a second output.
        output_weights: the weight of the loss of each of its outputs.
        loss: the `TrainingLoss`.
        optimizer: the Keras optimizer.
        schedule: its learning rate, a `Schedule`.
        statistics: the running statistics of normalizations, Keras variables.
        random_states: `tf.Variable`s, the states of dropout and of the loss's sample.
        average: the running average of the weights; it has none where `optimizer.ema` is 0.
        variables: all that a checkpoint holds, `tf.Variable`s by name.
        about: what tells this network from another, as JSON holds it.
        train_call: takes a number of steps, int32; returns the loss of each, float32 (steps,),
            and the confusion matrix of their batches, int64 (C, C). `feed` makes it.
        taken: what the last `train_call` gave, or what it gave before it failed.
        predict: an image uint8 (H, W, 3) to labels uint8 (H, W), in tiles where it is large. `feed`
            makes it.

    Raises:
        InputError: there is no loss of this name, class_weights are not one for each class, the
            start weights do not fit, or the number of devices does not divide the batch.
    """

    train_call: Callable[..., Any]
    taken: Taken
    predict: Callable[..., Any]

    def __init__(
        self, config: Config, source: Source, cluster: Cluster | None = None, fresh: bool = True
    ) -> None:
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
        self.palette = palette_or_voc(source.colors, self.num_classes)
        self.samples_a_step = batch_size * config.training.accumulate_steps
        self.schedule = make_schedule(config.optimizer, config.training.max_steps)
        with self.cluster.strategy.scope():
            self._build(class_weights)
        # Outside the scope: the classifiers that are loaded here belong to no other device.
        if fresh and self.cluster.is_chief:
            load_start_weights(self.model, config)
            self.average.restart()
        self.variables = _variables_by_name(self)
        self.about = {
            "variant": config.variant,
            "geometry": config.model.geometry,
            "classes": list(source.class_names),
        }

    def learning_rate(self) -> float:
        """The rate of the last update. A step whose gradients overflow float16 updates nothing."""
        return float(self.schedule(max(0, int(self.optimizer.iterations.numpy()) - 1)))

    def rate_change(self, before: Mapping[str, Any], step: int) -> str | None:
        """What to say of a learning rate that another schedule would have taken elsewhere.

        Args:
            before: the arguments of the `Schedule` that the run had up to now.
            step: the last step.
        """
        return rate_change(before, self.schedule, int(self.optimizer.iterations.numpy()), step)

    def _build(self, class_weights: Sequence[float] | None) -> None:
        config, source = self.config, self.source
        self.loss = make_loss(config.loss, class_weights, config.seed)
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
            multi_grid=config.model.multi_grid,
            class_names=source.class_names,
            palette=self.palette,
            value_range=config.data.value_range,
            bands=config.data.bands,
            dtype=config.training.precision,
        )
        _compute_wide_kernels_as_patches(self.model)
        if config.model.trainable == "score":
            train_scores_only(self.model)
        self.in_training: keras.Model = self.model
        self.output_weights: tuple[float, ...] = (1.0,)
        if config.model.auxiliary_weight:
            self.in_training = with_auxiliary(self.model)
            self.output_weights = (1.0, config.model.auxiliary_weight)
        self.optimizer = make_optimizer(
            config.optimizer, self.schedule, config.training.precision, self.cluster.replicas
        )
        self.model.optimizer = self.optimizer  # where Keras' callbacks look for it
        trained = self.in_training.trainable_variables
        self.optimizer.build(trained)
        self.statistics = [v for v in self.in_training.weights if v.name.startswith("moving_")]
        if config.training.batch_norm_pass and not self.statistics:
            raise InputError(
                f"training.batch_norm_pass=True: {config.variant} on this trunk has no batch "
                "normalization. Leave it out."
            )
        self.random_states = _random_states(self.in_training, self.loss.random_states)
        averaged = [*trained, *self.statistics] if config.optimizer.ema else []
        self.average = WeightAverage(averaged, config.optimizer.ema)

    def feed(self, skip_samples: int = 0) -> None:
        """Opens the stream of training batches and makes the compiled calls.

        Args:
            skip_samples: training images that were drawn before.
        """
        # All batches of a step come together: the loss is divided by what they have in common.
        batch_of_a_step = dataclasses.replace(self.config.data, batch_size=self.samples_a_step)

        def share(worker: int, workers: int) -> tf.data.Dataset:
            return training_batches(
                self.source,
                batch_of_a_step,
                self.config.seed,
                skip_samples=skip_samples,
                worker=worker,
                workers=workers,
                split_in=self.cluster.replicas // workers,
            )

        if self.cluster.replicas > 1:
            self._seed_each_device()
        self.taken = Taken(self.num_classes)
        self.train_call = compile_train_call(self, self.cluster.distribute(share), self.taken)
        self._evaluation_call = compile_evaluation_call(self)
        self._statistics_call = compile_statistics_call(self)
        self.predict = Predictor(self.model)

    def coming_records(self, samples: int, steps: int) -> tf.data.Dataset:
        """The records of train that come next, of all devices together.

        Args:
            samples: training images that were drawn before.
            steps: the steps to look ahead.
        """
        order = training_order(self.source, self.config.seed, samples)
        return order.map(lambda number, record: record).take(steps * self.samples_a_step)

    def _seed_each_device(self) -> None:
        """Lets each device draw its own dropout. A checkpoint holds the state of the first."""

        @tf.function
        def seed() -> None:
            device = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in self.random_states:
                state.assign(state + tf.cast([device, 0], state.dtype))

        self.cluster.strategy.run(seed)

    def take_statistics(self, between_calls: Callable[[], None]) -> None:
        """Takes the statistics of batch normalizations from train; see `take_statistics`."""
        take_statistics(self, self._statistics_call, between_calls)

    def evaluate(self, between_calls: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Scores the network on val, with the averaged weights if there are any.

        Args:
            between_calls: called between two calls of the devices. What it raises ends the
                evaluation.

        Returns:
            dict of the mean loss of an image, None where none is labelled, and of the scores, as
            metrics.jsonl has them.
        """
        with self.average.in_place():
            found = evaluate_split(self._count_val(between_calls), self.num_classes)
        scores = score_summary(found, self.source.class_names)
        del scores["confusion_matrix"]
        return {"loss": found.loss, **scores}

    def _count_val(self, between_calls: Callable[[], None]) -> Iterator[Counts]:
        """The counts of val, one for each call of the devices."""
        split, replicas = "val", self.cluster.replicas
        images = self.cluster.distribute(
            lambda worker, workers: evaluation_share(
                self.source, split, worker=worker, workers=workers, replicas=replicas
            )
        )
        rounds = math.ceil(self.source.split_sizes[split] / replicas)
        for done in range(0, rounds, EVALUATION_IMAGES_PER_CALL):
            count = min(rounds - done, EVALUATION_IMAGES_PER_CALL)
            try:
                confusion, loss, labelled = self._evaluation_call(images, tf.constant(count))
            except tf.errors.ResourceExhaustedError as error:
                raise RunError(_out_of_memory_on_val(self.model)) from error
            yield Counts(confusion.numpy(), float(loss), float(labelled))
            between_calls()

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """A few images of val by name: image, truth and prediction, uint8 (H, 3 W, 3)."""
        pictures = {}
        with self.average.in_place():
            for example in whole_images(self.source, "val").take(PICTURES).as_numpy_iterator():
                image, truth = example["image"], example["segmentation_mask"][..., 0]
                masks = truth, self.predict(image)
                colored = [colorize(mask, self.palette) for mask in masks]
                name = shown_name(example["file_name"])
                pictures[name] = np.concatenate([image, *colored], axis=1)
        return pictures


def _out_of_memory_on_val(model: keras.Model) -> str:
    """What to do where an evaluation runs out of memory."""
    if margin_px(model) is None:
        how = "this network sees each image as a whole: make the images of val smaller"
    else:
        how = (
            f"an image above {WHOLE_PIXELS / 1e6:g} megapixels is evaluated in tiles of "
            f"{DEFAULT_TILE_PX} px, others whole: make the images of val smaller, or evaluate "
            "afterwards with fcn-tf evaluate --tile_px 512"
        )
    return f"Out of memory while val was evaluated: {how}, or lower --model.width."


def _compute_wide_kernels_as_patches(model: keras.Model) -> None:
    """Makes fc6 and fc7 compute in the way that is faster on processors, where they are wide."""
    on_processors = all(d.device_type == "CPU" for d in tf.config.list_logical_devices())
    for layer in model.layers:
        if isinstance(layer, Conv2D):
            weights = math.prod(layer.kernel.shape)
            layer.as_patches = on_processors and weights >= PATCHES_FROM_WEIGHTS


def _random_states(model: keras.Model, of_loss: Sequence[Any]) -> list[tf.Variable]:
    """What changes when random numbers are drawn: the variables of a model that are no weights."""
    weights = {id(weight) for weight in model.weights}
    of_model = [variable for variable in model.variables if id(variable) not in weights]
    return [variable.value for variable in (*of_model, *of_loss)]


def _variables_by_name(run: Run) -> dict[str, tf.Variable]:
    """All that a run changes: weights, random states, optimizer and average."""
    named = {f"model/{variable.path}": variable.value for variable in run.in_training.weights}
    # By number: Keras counts their names on through the whole process.
    named |= {f"random/{index}": state for index, state in enumerate(run.random_states)}
    for index, variable in enumerate(run.optimizer.variables):
        named[f"optimizer/{index}/{variable.name}"] = variable.value
    for average, variable in zip(run.average.averages, run.average.variables, strict=True):
        named[f"average/{variable.path}"] = average
    return named


def _class_weights(given: Sequence[float] | str | None, source: Source) -> list[float] | None:
    """The factor of each class, or None for 1 each, from what `loss.class_weights` says."""
    names = source.class_names
    if given is None or given == "none":
        return None
    if isinstance(given, str):
        print("Counting the pixels of each class in train:", flush=True)
        weights = WEIGHTINGS[given](list(count_classes(source, "train")))
        shown = ", ".join(f"{n} {w:.3g}" for n, w in zip(names, weights, strict=True))
        print(f"Class weights: {shown}.", flush=True)
        if text := extreme_weights(weights, names):
            print(text, flush=True)
        return weights
    if len(given) != len(names):
        raise InputError(
            f"loss.class_weights has {len(given)} numbers, but there are {len(names)} classes: "
            f"{', '.join(names)}."
        )
    return list(given)
