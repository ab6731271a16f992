"""Runs varied, stopped and read; and data sets in memory."""

import dataclasses
import json
import signal
from unittest import mock

import keras
import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from fcn_tf.data import training_batches, whole_images
from fcn_tf.models import load_model
from fcn_tf.training.checkpoints import checkpoints
from tests.sources import source_of


def change(config, section, **values):
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **values)}
    )


def lines_of(workdir, torn=False):
    """The lines of a run's log; the last may be torn."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n") or not torn]


def timeless(workdir):
    """The lines without what differs from run to run."""
    lines = lines_of(workdir)
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def weights_of(workdir):
    return {v.path: v.numpy() for v in load_model(workdir).weights}


def newest_of(workdir):
    return np.load(checkpoints(workdir / "checkpoints")[-1])


def stop_after(step):
    """A callback that presses Ctrl-C in the midst of a run."""

    def press(batch, logs):
        if batch + 1 == step:
            signal.raise_signal(signal.SIGINT)

    return keras.callbacks.LambdaCallback(on_train_batch_end=press)


# Without `training.deterministic` TensorFlow promises no bits: which thread adds first may differ.
# Another step, rate, seed or batch changes a weight of these runs by far more.
ROUNDING = {"rtol": 1e-5, "atol": 2e-6}


def assert_same_weights(found, expected):
    """Of two runs that take the same steps: names to arrays, the same but for rounding."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **ROUNDING, err_msg=name)


def assert_same_run(one, other):
    """The same steps, kept and logged; but for rounding, see `assert_same_weights`."""
    assert_same_weights(weights_of(other), weights_of(one))
    kept = [dict(newest_of(run)) for run in (other, one)]
    assert_same_weights(*[{k: v for k, v in each.items() if k != "place.json"} for each in kept])
    expected = timeless(one)
    for line, of_one in zip(timeless(other), expected, strict=True):
        assert line.keys() == of_one.keys()
        for key, value in of_one.items():
            about = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
            assert line[key] == about, (key, of_one)


def config_of(folder):
    """Everything that has a state: dropout, sampling, an average, a log line half done."""
    return Config(
        variant="fcn32s",
        seed=3,
        data=DataConfig(data_dir=str(folder), batch_size=2, crop_px=64, color=0.1),
        model=ModelConfig(
            trunk="alexnet", geometry="caffe", width=0.0625, head_units=16, dropout=0.5
        ),
        loss=LossConfig(sample_fraction=0.5),
        optimizer=OptimizerConfig(learning_rate=1e-3, ema=0.9, clip_norm=1.0),
        training=TrainingConfig(
            max_steps=6, eval_every_steps=3, log_every_steps=4, steps_per_call=1
        ),
    )


COLORS = ((10, 20, 30), (40, 50, 60), (70, 80, 90))  # of the classes of `uneven_source`
CHANCES = (1 / 8, 2 / 8, 5 / 8)  # and what a network gives them everywhere


def uneven_source(train=6, val=3):
    """Noise in memory; in a split ever more of the images has no label, and of the last nothing."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (train + val, 32, 40, 3), dtype=np.uint8)
    masks = random.integers(0, 3, (train + val, 32, 40), dtype=np.uint8)
    for first, size in ((0, train), (train, val)):
        for number in range(size):
            masks[first + number, : number * 32 // (size - 1)] = VOID
    pairs = list(zip(images, masks, strict=True))
    return source_of(colors=COLORS, train=pairs[:train], val=pairs[train:])


def uneven_config(**optimizer):
    """A narrow network; a step takes four images in two batches."""
    return Config(
        variant="fcn32s",
        seed=5,
        data=DataConfig(name="shapes", batch_size=2, flip=False),
        model=ModelConfig(width=1 / 64, head_units=4, dropout=0.5),
        optimizer=OptimizerConfig(**optimizer),
        training=TrainingConfig(accumulate_steps=2),
    )


def give_chances(model, chances=CHANCES):
    """Has a fresh network answer the same everywhere."""
    model.get_layer("score_fr").bias.assign(np.log(chances))


def labels_given(run, skip_samples):
    """How often each label is in the batches of two steps, of all devices together."""
    with mock.patch("fcn_tf.training.run.compile_train_call", lambda run, batches, taken: batches):
        run.feed(skip_samples=skip_samples)
    devices = run.cluster.strategy.experimental_local_results
    masks = [mask.numpy().ravel() for _ in range(2) for mask in devices(next(run.train_call)[1])]
    return np.bincount(np.concatenate(masks), minlength=256)[:3]


def labels_of_steps(source, skip_samples, steps):
    """How often each label is in the batches of four that `uneven_config` draws."""
    drawn = training_batches(
        source, DataConfig(batch_size=4, flip=False), seed=5, skip_samples=skip_samples
    )
    masks = np.concatenate([masks for _, masks in drawn.take(steps).as_numpy_iterator()])
    return np.bincount(masks.ravel(), minlength=256)[:3]


def val_by_hand(source):
    """The scores of `CHANCES` on val: c is predicted everywhere."""
    masks = [each["segmentation_mask"] for each in whole_images(source, "val").as_numpy_iterator()]
    labels = [mask[mask != VOID] for mask in masks]
    counts = np.bincount(np.concatenate(labels))
    losses = [-np.log(CHANCES)[each].mean() for each in labels if each.size]
    return {
        "loss": np.mean(losses),
        "pixel_accuracy": counts[2] / counts.sum(),
        "mean_iou": counts[2] / counts.sum() / 3,
    }
