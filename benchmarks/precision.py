"""FCN-8s at full width, 375x500, batch 1: mixed_bfloat16 against float32.

    python benchmarks/precision.py

Forward pass and training step (momentum SGD), the two precisions in turn. Exits with 1 below
1.6 times the speed of float32, which a processor with AVX-512 BF16 or AMX reaches.
"""

import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from fcn_tf.config import OptimizerConfig
from fcn_tf.models import build_fcn
from fcn_tf.training.losses import SegmentationLoss
from fcn_tf.training.optimizers import make_optimizer, make_schedule

ROUNDS = 7
WARM_UP = 5  # the first calls compile, and settle where memory lies
SPEED_UP_AT_LEAST = 1.6
CLASSES = 21
SIZE_PX = (375, 500)


def main():
    random = np.random.default_rng(0)
    image = tf.constant(random.integers(0, 256, (1, *SIZE_PX, 3)), tf.uint8)
    mask = tf.constant(random.integers(0, CLASSES, (1, *SIZE_PX)), tf.uint8)
    sides = {name: compiled(name, image, mask) for name in ("float32", "mixed_bfloat16")}
    met = True
    for number, what in enumerate(("forward", "training step")):
        seconds = {name: [] for name in sides}
        for functions in sides.values():
            for _ in range(WARM_UP):
                functions[number]().numpy()
        for _ in range(ROUNDS):
            for name, functions in sides.items():
                started = time.perf_counter()
                functions[number]().numpy()
                seconds[name].append(time.perf_counter() - started)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, values in seconds.items():
            spread = f"{min(values):.3f} to {max(values):.3f}"
            print(f"{what}, {name}: {medians[name]:.3f} s ({spread})")
        ratio = medians["float32"] / medians["mixed_bfloat16"]
        print(f"{what}: {ratio:.2f} x", flush=True)
        met &= ratio >= SPEED_UP_AT_LEAST
    sys.exit(not met)


def compiled(precision, image, mask):
    """Forward pass and training step under a precision, as functions without arguments."""
    model = build_fcn("fcn8s", CLASSES, dtype=precision)
    loss = SegmentationLoss()
    config = OptimizerConfig(name="sgd", learning_rate=1e-6)
    optimizer = make_optimizer(config, make_schedule(config, max_steps=100))
    variables = model.trainable_variables
    optimizer.build(variables)
    values = [variable.value for variable in variables]

    @tf.function
    def forward():
        return tf.reduce_sum(model(image, training=False))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(mask, model(image, training=True))
        optimizer.apply(tape.gradient(value, values), variables)
        return value

    return forward, step


if __name__ == "__main__":
    main()
