"""Where the time of whole commands goes: `train` on `shapes`, and `evaluate` on many sizes.

    python benchmarks/run.py

`train` runs a second time, with its data prepared, and a callback that looks at the clock:
85 % of the time has to be steps, the first of them within 20 s. `evaluate` reads 736 images of
300 sizes and has to keep 0.9 of the pace of bare forward passes on the same images, each size
compiled for once. Prints Markdown for docs/performance.md; exits with 1 if a bar is missed by
more than 2 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STEPS_AT_LEAST, FIRST_STEP_SECONDS, PACE_AT_LEAST = 0.85, 20.0, 0.9
IMAGES, SIZES, CLASSES = 736, 300, 21
PHASES = ("start", "first step", "steps", "evaluation, checkpoints, log", "report")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4400)
    parser.add_argument("--part", choices=("train", "evaluate"))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return train(*arguments.child, arguments.steps)
    parts = {"train": report_of_train, "evaluate": report_of_evaluate}
    wanted = [arguments.part] if arguments.part else parts
    met = [parts[part](arguments) for part in wanted]
    return not all(met)


def report_of_train(arguments):
    with tempfile.TemporaryDirectory() as folder:
        import fcn_tf

        config = fcn_tf.load_config("shapes")
        from fcn_tf.data import open_source

        open_source(config.data)  # prepares it
        command = [sys.executable, __file__, "--steps", str(arguments.steps), "--child", folder]
        started = time.time()
        subprocess.run([*command, str(started)], check=True)
        whole = time.time() - started
        clock = json.loads(Path(folder, "clock.json").read_text())
    clock["report"] = whole - sum(clock.values())
    print("| phase of `train` | s | % |\n|---|---|---|")
    for phase in PHASES:
        print(f"| {phase} | {clock[phase]:.1f} | {100 * clock[phase] / whole:.1f} |")
    share = (clock["steps"] + clock["first step"]) / whole
    first = clock["start"] + clock["first step"]
    print(f"\n{whole:.1f} s; steps {100 * share:.1f} %; the first step ends after {first:.1f} s")
    return share >= STEPS_AT_LEAST / 1.02 and first <= FIRST_STEP_SECONDS


def train(folder, started, steps):
    """The run itself, with a callback that looks at the clock."""
    import keras

    import fcn_tf

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = dict.fromkeys(PHASES[:-1], 0.0)
            self.mark = float(started)

        def lap(self, phase):
            now = time.time()
            self.seconds[phase] += now - self.mark
            self.mark = now

        def on_train_batch_begin(self, batch, logs=None):
            at_start = self.seconds["start"] == 0
            self.lap("start" if at_start else "evaluation, checkpoints, log")

        def on_train_batch_end(self, batch, logs=None):
            self.lap("steps" if self.seconds["first step"] else "first step")

        def on_train_end(self, logs=None):
            self.lap("evaluation, checkpoints, log")
            Path(folder, "clock.json").write_text(json.dumps(self.seconds))

    values = {"training.max_steps": steps, "training.eval_every_steps": -(-steps // 4)}
    config = fcn_tf.load_config("shapes", **values)
    fcn_tf.train(config, Path(folder, "run"), callbacks=[Clock()])


def report_of_evaluate(arguments):
    """`evaluate` beside the bare network on the same images, in turns."""
    import tensorflow as tf

    import fcn_tf
    from fcn_tf.artefacts import of_model

    random = np.random.default_rng(0)
    model = fcn_tf.build_fcn("fcn8s", CLASSES, width=0.25, head_units=512)
    sizes = random.integers(150, 400, (SIZES, 2))
    examples = [
        {
            "image": random.integers(0, 256, (*size, 3), np.uint8),
            "segmentation_mask": random.integers(0, CLASSES, (*size, 1)).astype(np.uint8),
        }
        for size in sizes[np.arange(IMAGES) % SIZES]
    ]
    labels = of_model(model).labels
    bare, whole = [], []
    for _ in range(3):
        started = time.perf_counter()
        for example in examples:
            labels(tf.constant(example["image"][None]))
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        fcn_tf.evaluate(model, examples)
        whole.append(time.perf_counter() - started)
    pace = np.median(bare) / np.median(whole)
    print(f"\n`evaluate`, {IMAGES} images of {SIZES} sizes: {np.median(whole):.1f} s, ", end="")
    print(f"bare forward passes {np.median(bare):.1f} s: {pace:.2f} of their pace")
    return pace >= PACE_AT_LEAST / 1.02


if __name__ == "__main__":
    sys.exit(main())
