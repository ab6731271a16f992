"""What a run computes with: the network, its loss, the compiled calls."""

import keras
import numpy as np
import tensorflow as tf

from fcn_tf.classes import VOID, voc_palette
from fcn_tf.data import training_batches, whole_images
from fcn_tf.data.frequencies import count_classes, median_frequency_weights
from fcn_tf.drawing import colorize
from fcn_tf.errors import InputError
from fcn_tf.evaluation.evaluate import evaluate_predictions
from fcn_tf.evaluation.metrics import SegmentationMetrics
from fcn_tf.evaluation.report import scores_json
from fcn_tf.models import build_fcn
from fcn_tf.training.averaging import WeightAverage
from fcn_tf.training.losses import SegmentationLoss
from fcn_tf.training.optimizers import caffe_gradients, make_optimizer, make_schedule
from fcn_tf.training.start import start

PICTURES = 4  # of val, for TensorBoard


class Run:
    """A network in training on one data set.

    Args:
        config: a `Config`.
        source: a `Source`.

    Attributes:
        model: the `FCN`, with the weights of the last step.
        average: their running average, empty where none is wanted.
        metrics: `SegmentationMetrics` of the training batches since its last reset.
        learning_rate: maps a step, from 0, to the rate that it takes.
        train_call: takes a number of steps and returns the loss of each.

    Raises:
        InputError: class_weights are not one for each class.
    """

    def __init__(self, config, source):
        num_classes = len(source.class_names)
        class_weights = _class_weights(config.loss.class_weights, source)
        self.config = config
        self.source = source
        self.model = build_fcn(
            config.variant,
            num_classes,
            trunk=config.model.trunk,
            width=config.model.width,
            head_units=config.model.head_units,
            fc6_kernel=config.model.fc6_kernel,
            dropout=config.model.dropout,
            geometry=config.model.geometry,
            upsampling=config.model.upsampling,
            class_names=source.class_names,
            palette=source.colors or voc_palette(num_classes).tolist(),
            dtype=config.training.precision,
        )
        start(self.model, config)
        self.loss = SegmentationLoss(config.loss.reduction, class_weights)
        schedule = make_schedule(config.optimizer, config.training.max_steps)
        self.learning_rate = lambda step: float(schedule(step))
        self.optimizer = make_optimizer(config.optimizer, schedule)
        # Where Keras' callbacks look for it.
        self.model.optimizer = self.optimizer
        variables = self.model.trainable_variables
        self.optimizer.build(variables)
        self.average = WeightAverage(
            variables if config.optimizer.ema else [], config.optimizer.ema
        )
        self.metrics = SegmentationMetrics(num_classes)
        self.val_loss = keras.metrics.Mean()
        batches = training_batches(source, config.data, config.seed)
        self.train_call = _compile_train_call(self, iter(batches))
        self.predict_call = _compile_predict_call(self)

    def evaluate(self):
        """What metrics.jsonl says of val, and a few predictions as pictures.

        It is the averaged weights that are evaluated, where there are any.
        """
        self.val_loss.reset_state()
        images = whole_images(self.source, "val")
        with self.average.in_place():
            scores = evaluate_predictions(self.predict, images, self.model.num_classes)
            val_loss = float(self.val_loss.result())
            samples = images.take(PICTURES).as_numpy_iterator()
            pictures = {s["file_name"].decode(): self.picture(s) for s in samples}
        plain = scores_json(scores, self.model.class_names)
        del plain["confusion_matrix"]
        return {"loss": val_loss, **plain}, pictures

    def predict(self, example):
        """Labels (H, W) of an image; adds to the loss on val."""
        return self.predict_call(example["image"], example["segmentation_mask"][..., 0]).numpy()

    def picture(self, example):
        """Image, truth and prediction side by side, uint8 (H, 3 W, 3)."""
        masks = [example["segmentation_mask"][..., 0], self.predict(example)]
        colored = [colorize(mask, self.model.palette) for mask in masks]
        return np.concatenate([example["image"], *colored], axis=1)


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
    """A function of a number of steps that takes them and returns the loss of each."""
    model, optimizer, config = run.model, run.optimizer, run.config.optimizer
    variables = model.trainable_variables
    values = [variable.value for variable in variables]

    def step():
        images, masks = next(batches)  # (N, h, w, 3), (N, h, w)
        # What is frozen is not even recorded.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = model(images, training=True)  # (N, h, w, C)
            loss = run.loss(masks, logits)
        gradients = tape.gradient(loss, values)
        if config.name == "sgd":
            gradients = caffe_gradients(gradients, variables, config)
        optimizer.apply(gradients, variables)
        run.average.update(optimizer.iterations)
        run.metrics.update_state(masks, logits)
        return loss

    @tf.function
    def train_call(steps):
        losses = tf.TensorArray(tf.float32, steps)
        for index in tf.range(steps):
            losses = losses.write(index, step())
        return losses.stack()

    return train_call


def _compile_predict_call(run):
    """A function of an image (H, W, 3) and its mask (H, W) to labels; adds up the loss."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((None, None), tf.uint8),
        ]
    )
    def predict_call(image, mask):
        logits = run.model(image[None], training=False)  # (1, H, W, C)
        # An image without a label has no loss.
        labelled = tf.cast(tf.reduce_any(mask != VOID), tf.float32)
        run.val_loss.update_state(run.loss(mask[None], logits), sample_weight=labelled)
        return tf.cast(tf.argmax(logits[0], axis=-1), tf.uint8)

    return predict_call
