"""What the training loop costs over a bare compiled step, and memory over 2,000 steps.

    python benchmarks/loop.py

The images are made in memory and the network is narrow, so that a step takes about
5 ms. After every 200 steps of the loop, with its log, its bar and its metrics, come 200 of a
compiled function of forward pass, loss, gradient and update on one batch, one in a call, and 200
of one that takes as many steps a call as the loop. Exits with 1 above 10 % over the first, or
where the last tenth of the run takes more than 1.02 times the memory of the second.
"""

import argparse
import statistics
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from large_folder import GROWTH_AT_MOST
from memory import resident_mb
from toy import exit_code, parse

from fcn_tf.config.schema import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig
from fcn_tf.data.source import Source
from fcn_tf.training.checkpoints import Place
from fcn_tf.training.fit import fit
from fcn_tf.training.run import Run
from fcn_tf.training.stopping import StopSignals
from fcn_tf.training.workdir import RunFolder

OVERHEAD_AT_MOST = 0.10
SIDE_PX = 32


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--round_steps", type=int, default=200)
    arguments = parse(parser, steps=120, round_steps=10)
    config = Config(
        data=DataConfig(name="shapes", batch_size=1, crop_px=SIDE_PX, flip=False),
        model=ModelConfig(width=0.03125, head_units=16, dropout=0.0),
        optimizer=OptimizerConfig(learning_rate=1e-4),
        training=TrainingConfig(max_steps=arguments.steps, eval_every_steps=arguments.steps),
    )
    loop, bare = (Run(config, source_in_memory()) for _ in range(2))
    counts = (1, config.training.steps_per_call)
    rounds = Rounds({count: bare_steps(bare, count) for count in counts}, arguments.round_steps)
    with tempfile.TemporaryDirectory() as folder, StopSignals() as signals:
        place = Place()
        files = RunFolder(folder, loop, place)
        loop.feed()
        fit(
            loop,
            place,
            folder=files,
            callbacks=[rounds],
            signals=signals,
            deadline=float("inf"),
        )
        files.close()
    return exit_code(not rounds.report(), arguments)


def source_in_memory():
    """Noise and labels that cost nothing to read."""
    random = np.random.default_rng(0)
    image = tf.constant(random.integers(0, 256, (SIDE_PX, SIDE_PX, 3)), tf.uint8)
    mask = tf.constant(random.integers(0, 6, (SIDE_PX, SIDE_PX, 1)), tf.uint8)

    def decode(record, window=None):
        return {"image": image, "segmentation_mask": mask, "file_name": record["file_name"]}

    return Source(
        class_names=tuple("abcdef"),
        split_sizes={"train": 8, "val": 8},
        records=lambda split: tf.data.Dataset.from_tensor_slices({"file_name": list("12345678")}),
        image_size=lambda record: tf.constant([SIDE_PX, SIDE_PX]),
        decode=decode,
    )


def bare_steps(run, count):
    """So many steps on one batch, compiled."""
    batch = run.config.data.batch_size
    images = tf.zeros((batch, SIDE_PX, SIDE_PX, 3), tf.uint8)
    masks = tf.zeros((batch, SIDE_PX, SIDE_PX), tf.uint8)
    variables = run.model.trainable_variables
    values = [variable.value for variable in variables]

    @tf.function
    def steps():
        loss = 0.0
        for _ in tf.range(count):
            with tf.GradientTape() as tape:
                loss = run.loss(masks, run.model(images, training=True))
            run.optimizer.apply(tape.gradient(loss, values), variables)
        return loss

    return steps


class Rounds(keras.callbacks.Callback):
    """Times the loop's steps, and as many bare ones after each round of them.

    Args:
        bare: dict of compiled functions, by how many steps each takes.
        round_steps: int, steps of the loop between two times.
    """

    def __init__(self, bare, round_steps):
        super().__init__()
        self.bare, self.round_steps = bare, round_steps
        for call in bare.values():
            call().numpy()
        self.loop_ms, self.bare_ms, self.resident_mb = [], {count: [] for count in bare}, []

    def on_train_begin(self, logs=None):
        self.next_stop, self.started, self.begun_at = self.round_steps, None, 0

    def on_train_batch_end(self, batch, logs=None):
        step = batch + 1
        self.resident_mb.append(resident_mb())
        if self.started is None:  # compiled by now
            self.started, self.begun_at = time.perf_counter(), step
        elif step >= self.next_stop:
            seconds = time.perf_counter() - self.started
            self.loop_ms.append(1e3 * seconds / (step - self.begun_at))
            for count, call in self.bare.items():
                started = time.perf_counter()
                for _ in range(self.round_steps // count):
                    call().numpy()
                seconds = time.perf_counter() - started
                self.bare_ms[count].append(1e3 * seconds / self.round_steps)
            self.started, self.begun_at = time.perf_counter(), step
            self.next_stop = step + self.round_steps

    def report(self):
        """Prints the figures; returns whether the bars are met."""
        print(f"{len(self.loop_ms)} rounds of {self.round_steps} steps, median (least to most):")
        loop = statistics.median(self.loop_ms)
        print(f"  loop: {loop:.2f} ms ({min(self.loop_ms):.2f} to {max(self.loop_ms):.2f})")
        over = {}
        for count, ms in self.bare_ms.items():
            bare = statistics.median(ms)
            over[count] = loop / bare - 1
            spread = f"{min(ms):.2f} to {max(ms):.2f}"
            print(f"  bare, {count} in a call: {bare:.2f} ms ({spread}); loop {over[count]:+.1%}")
        tenths = [part.max() for part in np.array_split(self.resident_mb, 10)]
        growth = tenths[-1] / tenths[1]
        print("Resident memory of each tenth, MB:", " ".join(f"{mb:.0f}" for mb in tenths))
        print(f"Last tenth to second {growth:.3f}")
        return over[1] <= OVERHEAD_AT_MOST and growth <= GROWTH_AT_MOST


if __name__ == "__main__":
    sys.exit(main())
