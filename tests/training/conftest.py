"""The runs that the tests of this folder vary."""

import dataclasses
import sys

import numpy as np
import pytest
from PIL import Image

from fcn_tf.classes import VOID
from fcn_tf.config.schema import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


@pytest.fixture(autouse=True)
def figures_are_left_out(request):
    """No test of this folder looks at them; one that needs no TensorFlow does not import it."""
    if "fcn_tf.training.loop" in sys.modules:
        request.getfixturevalue("few_figures")


@pytest.fixture
def config(few_scenes_dir):
    """A run of seconds."""
    return Config(
        variant="fcn8s",
        seed=3,
        data=DataConfig(
            name="shapes", tfds_dir=few_scenes_dir, batch_size=2, crop_px=64, flip=True, color=0.1
        ),
        model=ModelConfig(width=0.0625, head_units=16, dropout=0.0),
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainingConfig(max_steps=6, eval_every_steps=3, log_every_steps=2),
    )


@pytest.fixture
def light(config):
    """The same with the network that has the fewest layers."""
    model = dataclasses.replace(config.model, trunk="alexnet", geometry="caffe")
    return dataclasses.replace(config, variant="fcn32s", model=model)


@pytest.fixture
def arguments(tmp_path):
    """Of the command: a run of ten steps of four crops, dropout off."""
    write_uneven_folder(tmp_path / "data")
    return [
        # As `light`.
        "--variant=fcn32s",
        "--model.trunk=alexnet",
        "--model.geometry=caffe",
        "--data.data_dir=data",
        "--data.batch_size=4",
        "--data.crop_px=64",
        "--data.scale_range=[0.7, 1.4]",
        "--data.color=0.1",
        "--model.width=0.0625",
        "--model.head_units=16",
        "--model.dropout=0",
        "--optimizer.learning_rate=1e-3",
        "--optimizer.warmup_steps=5",
        "--optimizer.ema=0.9",
        "--training.max_steps=10",
        "--training.log_every_steps=5",
        "--training.eval_every_steps=5",
    ]


def write_uneven_folder(folder):
    """12 pairs; the share of pixels without a label goes from none to nearly all."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 5)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            size = (70 + number, 90 - number)
            mask = random.integers(0, 3, (size[0] // 10, size[1] // 10))
            mask = np.kron(mask, np.ones((10, 10))).astype(np.uint8)
            mask[: number * len(mask) // count] = VOID
            image = 60 * (mask % 4)[..., None] + random.integers(0, 60, (*mask.shape, 3))
            Image.fromarray(image.astype(np.uint8)).save(folder / f"images/{split}/{number}.png")
            Image.fromarray(mask).save(folder / f"masks/{split}/{number}.png")
    (folder / "classes.txt").write_text("a\nb\nc\n")
