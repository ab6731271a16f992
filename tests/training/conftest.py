"""The run that the tests of this folder vary."""

import pytest

from fcn_tf.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


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
