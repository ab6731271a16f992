"""A training loop in JAX, for machines that have a GPU and no TensorFlow.

It trains the package's networks with the package's losses, as a `Config` says: AdamW, its schedule,
clipped norm, decay, running average; crops that are scaled, mirrored and coloured. The images of a
data set stay on the GPU, and so does the augmentation. `fcn-tf train` is the real thing: this loop
has no checkpoints, no log and no other options, and refuses what it does not know.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from PIL import Image

from fcn_tf.classes import VOID
from fcn_tf.evaluation.metrics import confusion_matrix, scores_from_confusion
from fcn_tf.training.losses import make_loss
from fcn_tf.training.schedule import POLY_POWER

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # as in fcn_tf/training/optimizers.py
GRAY = np.array([0.2989, 0.587, 0.114], np.float32)  # as in tf.image.rgb_to_grayscale
STEPS_A_CALL = 20


class Rates(NamedTuple):
    """What a compiled step is told anew with each run.

    Args:
        learning_rate, weight_decay, ema: as in `OptimizerConfig`.
        warmup_steps, max_steps: numbers of steps.
        class_weights: float32 (C,).
    """

    learning_rate: float
    weight_decay: float
    ema: float
    warmup_steps: int
    max_steps: int
    class_weights: jax.Array


class State(NamedTuple):
    """A run between two steps.

    Args:
        weights, momenta, velocities: lists of an array for each trained variable.
        statistics: of an array for each running statistic.
        averages: running averages of the weights, and then of the statistics.
        step: the number of updates so far.
    """

    weights: list
    momenta: list
    velocities: list
    statistics: list
    averages: list
    step: jax.Array


def load_split(folder, split, ignore_label):
    """uint8 images (N, H, W, 3) and masks (N, H, W), all of one size, of images/SPLIT, masks/SPLIT.

    Raises:
        SystemExit: an image has no mask, there is no image, or sizes differ.
    """
    images, masks = [], []
    for path in sorted(Path(folder, "images", split).iterdir()):
        images.append(np.asarray(Image.open(path).convert("RGB")))
        mask = np.asarray(Image.open(Path(folder, "masks", split, f"{path.stem}.png")))
        masks.append(np.where(mask == ignore_label, VOID, mask).astype(np.uint8))
    if not images or len({array.shape[:2] for array in (*images, *masks)}) > 1:
        raise SystemExit(f"{folder}, {split}: this loop needs images and masks of one size.")
    return np.stack(images), np.stack(masks)


def check_known(config, size_px):
    """Refuses a configuration that this loop would train in another way than `fcn-tf train`.

    Raises:
        SystemExit: it would.
    """
    data, optimizer = config.data, config.optimizer
    smallest = min(data.scale_range) * np.array(size_px)
    unknown = {
        "data.crop_px or data.scale_range, which leaves room around an image": (
            data.crop_px is None or any(smallest < data.crop_px)
        ),
        f"data.flip={data.flip}": data.flip is not True,
        "data.rotate_degrees": data.rotate_degrees,
        f"optimizer.name={optimizer.name}": optimizer.name != "adamw",
        f"optimizer.schedule={optimizer.schedule}": optimizer.schedule != "poly",
        "optimizer.ema=0": not optimizer.ema,
        "optimizer.clip_norm=none": optimizer.clip_norm is None,
        "model.dropout": config.model.dropout,
        "training.accumulate_steps": config.training.accumulate_steps > 1,
    }
    for key in filter(unknown.get, unknown):
        raise SystemExit(f"{key}: this loop does not know it.")


def view(image, mask, key, config):
    """One augmented view, as fcn_tf/data/augment.py: uint8 (h, w, 3) and (h, w)."""
    data = config.data
    keys = jax.random.split(key, 4)
    crop = jnp.array(data.crop_px)
    size = jnp.array(mask.shape)
    low, high = jnp.log(jnp.array(data.scale_range))
    scale = jnp.exp(jax.random.uniform(keys[0], (), minval=low, maxval=high))
    window = jnp.minimum(size, jnp.ceil(crop / scale).astype(int))
    room = size - window
    start = jnp.minimum(jnp.floor(jax.random.uniform(keys[1], (2,)) * (room + 1)), room).astype(int)
    pixels = change_color(image.astype(jnp.float32), keys[2], data.color)
    rows, columns = (places(start[k], window[k], data.crop_px[k]) for k in (0, 1))
    # Bilinear, one axis after the other.
    pixels = along(pixels, rows, 0)
    pixels = jnp.floor(along(pixels, columns, 1) + 0.5).astype(jnp.uint8)
    labels = mask[rows.nearest][:, columns.nearest]
    mirrored = jax.random.uniform(keys[3]) < 0.5
    return (
        jnp.where(mirrored, pixels[:, ::-1], pixels),
        jnp.where(mirrored, labels[:, ::-1], labels),
    )


class Places(NamedTuple):
    """Where the pixels of a crop lie along one axis of an image, each (n,)."""

    before: jax.Array
    after: jax.Array
    share: jax.Array  # of `after`
    nearest: jax.Array


def places(start, window, target):
    """The `Places` of `target` pixels that show a window."""
    centers = (jnp.arange(target) + 0.5) * (window / target)
    at = jnp.clip(centers - 0.5, 0, window - 1)
    before = jnp.floor(at).astype(int)
    after = jnp.minimum(before + 1, window - 1)
    return Places(start + before, start + after, at - before, start + centers.astype(int))


def along(pixels, found, axis):
    """Bilinear interpolation along an axis of (H, W, 3)."""
    share = found.share[:, None, None] if axis == 0 else found.share[None, :, None]
    before, after = (jnp.take(pixels, at, axis) for at in (found.before, found.after))
    return before + (after - before) * share


def change_color(pixels, key, strength):
    """Brightness, contrast and saturation, float32 (H, W, 3), whole numbers in 0..255."""
    brightness, contrast, saturation = jax.random.uniform(
        key, (3,), minval=1 - strength, maxval=1 + strength
    )
    pixels = pixels * brightness
    mean = jnp.mean(pixels @ GRAY)
    pixels = (pixels - mean) * contrast + mean
    gray = (pixels @ GRAY)[..., None]
    return jnp.clip(jnp.round((pixels - gray) * saturation + gray), 0, 255)


def is_statistic(variable):
    return variable.name.startswith("moving_")


def averaged_of(model):
    """The variables that a run averages: those that are trained, and the running statistics."""
    return [*model.trainable_variables, *filter(is_statistic, model.non_trainable_variables)]


class Loop:
    """A network's compiled training steps and its evaluation.

    Runs that differ in their `Rates` alone share what is compiled.

    Args:
        model: an `FCN`, built under KERAS_BACKEND=jax.
        config: a `Config`; see `check_known`.
        train: uint8 images (N, H, W, 3) and masks (N, H, W).
        val: the same.
    """

    def __init__(self, model, config, train, val):
        check_known(config, train[1].shape[1:])
        self.model, self.config = model, config
        self.images, self.masks = (jax.device_put(array) for array in train)
        self.val = val
        others = model.non_trainable_variables
        # The places of the running statistics among them; all others stay as they are.
        self.moving = [place for place, one in enumerate(others) if is_statistic(one)]
        self.others = [variable.value for variable in others]
        self.is_kernel = [len(v.shape) > 1 for v in model.trainable_variables]
        self.steps = jax.jit(self._steps, donate_argnums=0)
        self.labels = jax.jit(self._labels)

    def rates(self, **changed):
        """The `Rates` that the configuration gives, but for those that are named."""
        optimizer, classes = self.config.optimizer, self.model.output_shape[-1]
        values = {
            "learning_rate": optimizer.learning_rate,
            "weight_decay": optimizer.weight_decay,
            "ema": optimizer.ema,
            "warmup_steps": optimizer.warmup_steps,
            "max_steps": self.config.training.max_steps,
            "class_weights": self.config.loss.class_weights or [1.0] * classes,
        } | changed
        return Rates(**values | {"class_weights": jnp.array(values["class_weights"], jnp.float32)})

    def train(self, rates, seed, values=None):
        """Trains from the model's values of `averaged_of`, or from `values`.

        Returns:
            the averages after the last step, a list as `averaged_of`; the loss of each step; the
            seconds that the steps took, without compiling.
        """
        values = values or [variable.value for variable in averaged_of(self.model)]
        count = len(values) - len(self.moving)
        fresh = [jnp.array(value) for value in values]  # a copy: the steps overwrite it
        zeros = [[jnp.zeros_like(weight) for weight in fresh[:count]] for _ in range(2)]
        copies = [jnp.array(value) for value in values]
        state = State(fresh[:count], *zeros, fresh[count:], copies, jnp.array(0))
        records = self._records(rates.max_steps, seed)  # (steps, N)
        key, losses, seconds = jax.random.key(seed), [], 0.0
        for first in range(0, rates.max_steps, STEPS_A_CALL):
            begin = time.perf_counter()
            state, taken = self.steps(state, records[first : first + STEPS_A_CALL], key, rates)
            losses.append(np.asarray(taken))
            seconds += time.perf_counter() - begin if first else 0.0
        measured = max(rates.max_steps - STEPS_A_CALL, 1)
        return state.averages, np.concatenate(losses), seconds * rates.max_steps / measured

    def scores(self, averages):
        """The scores on val, `scores_from_confusion`'s, with what `train` returned."""
        classes = self.model.output_shape[-1]
        counts = np.zeros((classes, classes), np.int64)
        for image, mask in zip(*self.val, strict=True):
            labels = np.asarray(self.labels(averages, image[None]))[0]
            counts += confusion_matrix(mask, labels, classes)
        return scores_from_confusion(counts)

    def _records(self, steps, seed):
        """Numbers of images, (steps, batch): one random order of all after the other."""
        random, images, batch = np.random.default_rng(seed), len(self.images), self.config.data
        needed = steps * batch.batch_size
        orders = [random.permutation(images) for _ in range(-(-needed // images))]
        return np.concatenate(orders)[:needed].reshape(steps, -1)

    def _others(self, statistics):
        """The values of all variables that are not trained."""
        others = list(self.others)
        for place, value in zip(self.moving, statistics, strict=True):
            others[place] = value
        return others

    def _labels(self, averages, images):
        count = len(averages) - len(self.moving)
        others = self._others(averages[count:])
        logits, _ = self.model.stateless_call(averages[:count], others, images, training=False)
        return jnp.argmax(logits, -1).astype(jnp.uint8)

    def _steps(self, state, records, key, rates):
        return jax.lax.scan(lambda state, of: self._step(state, of, key, rates), state, records)

    def _step(self, state, records, key, rates):
        keys = jax.random.split(jax.random.fold_in(key, state.step), len(records) + 1)
        images, masks = jax.vmap(lambda *one: view(*one, self.config))(
            self.images[records], self.masks[records], keys[1:]
        )
        state_before = (state.weights, state.statistics)
        (loss, statistics), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            *state_before, (images, masks), keys[0], rates
        )
        return self._updated(state._replace(statistics=statistics), gradients, rates), loss

    def _loss(self, weights, statistics, batch, key, rates):
        """The loss of a batch, and the running statistics after it."""
        (images, masks), others = batch, self._others(statistics)
        logits, others = self.model.stateless_call(weights, others, images, training=True)
        fraction, config = self.config.loss.sample_fraction, self.config.loss
        # On JAX a loss keeps no state to draw with.
        loss = make_loss(replace(config, sample_fraction=1.0), list(rates.class_weights), 0)
        norm = loss.normalizer(masks)
        if fraction == 1:
            total = loss.total(masks, logits, training=True)
        else:
            drawn = jax.random.uniform(key, masks.shape) < fraction
            total = jnp.sum(jnp.where(drawn, loss.of_pixels(masks, logits), 0.0)) / fraction
        loss = jnp.sum(jnp.where(norm > 0, total / jnp.where(norm > 0, norm, 1.0), 0.0))
        return loss, [others[place] for place in self.moving]

    def _updated(self, state, gradients, rates):
        """The state after AdamW's step on a gradient whose norm is clipped."""
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        clip = self.config.optimizer.clip_norm / jnp.maximum(norm, self.config.optimizer.clip_norm)
        rise = jnp.minimum(1.0, (state.step + 1) / jnp.maximum(rates.warmup_steps, 1))
        rate = rates.learning_rate * rise * (1 - state.step / rates.max_steps) ** POLY_POWER
        count = state.step + 1.0
        adam = rate * jnp.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
        # The number of updates counts this one.
        forget = 1 - jnp.minimum(rates.ema, (1 + count) / (10 + count))
        new = State([], [], [], state.statistics, [], state.step + 1)
        arrays = zip(*state[:3], gradients, self.is_kernel, strict=True)
        for weight, momentum, velocity, gradient, decays in arrays:
            gradient = gradient * clip
            momentum = BETA_1 * momentum + (1 - BETA_1) * gradient
            velocity = BETA_2 * velocity + (1 - BETA_2) * jnp.square(gradient)
            if decays:
                weight = weight * (1 - rate * rates.weight_decay)
            weight = weight - adam * momentum / (jnp.sqrt(velocity) + EPSILON)
            new.weights.append(weight)
            new.momenta.append(momentum)
            new.velocities.append(velocity)
        values = [*new.weights, *new.statistics]
        for average, value in zip(state.averages, values, strict=True):
            new.averages.append(average + forget * (value - average))
        return new
