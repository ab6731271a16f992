"""The learning rate over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from fcn_tf.config.schema import OptimizerConfig

# Chen et al., DeepLab (arXiv 1606.00915), section 4.1: the "poly" policy.
POLY_POWER = 0.9
# The key of the configuration for each argument of a `Schedule`.
SCHEDULE_KEYS = {
    "learning_rate": "optimizer.learning_rate",
    "warmup_steps": "optimizer.warmup_steps",
    "max_steps": "training.max_steps",
}


def make_schedule(config: OptimizerConfig, max_steps: int) -> Schedule:
    """The learning rate over `max_steps` steps, as an `OptimizerConfig` describes it."""
    power = POLY_POWER if config.schedule == "poly" else 0.0
    return Schedule(config.learning_rate, config.warmup_steps, max_steps, power)


@keras.saving.register_keras_serializable("fcn_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """learning_rate * (1 - step / max_steps) ** power, with a linear rise over `warmup_steps`.

    The rise multiplies the rate of step s, from 0, by (s + 1) / warmup_steps.
    """

    def __init__(
        self, learning_rate: float, warmup_steps: int, max_steps: int, power: float
    ) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.max_steps = max_steps
        self.power = power

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (step + 1) / max(self.warmup_steps, 1))
        rest = ops.maximum(0.0, 1 - step / self.max_steps)
        return self.learning_rate * rise * rest**self.power

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "max_steps": self.max_steps,
            "power": self.power,
        }


def rate_change(before: Mapping[str, Any], now: Schedule, updates: int, step: int) -> str | None:
    """What to say of a learning rate that goes on otherwise than it would have.

    Args:
        before: the arguments of the `Schedule` that the run had.
        now: the one that it has.
        updates: how often the weights were updated.
        step: the last step; step + 1 is the next one.

    Returns:
        One line with both rates and with the keys that changed, or None if the rate is the same.
    """
    changed = {key: value for key, value in now.get_config().items() if before.get(key) != value}
    if not changed or not before.keys() >= changed.keys():
        return None
    old = Schedule(**{key: before[key] for key in now.get_config()})
    if math.isclose(float(old(updates)), float(now(updates)), rel_tol=1e-6):
        return None
    reasons = [
        "optimizer.schedule is another one"
        if key == "power"
        else f"{SCHEDULE_KEYS[key]} is {value}, before it was {before[key]}"
        for key, value in changed.items()
    ]
    rates = f"{float(old(max(0, updates - 1))):.3g} at step {step}, {float(now(updates)):.3g} at"
    return f"The learning rate changes: {rates} step {step + 1}. {'; '.join(reasons)}."
