"""Where the time of whole commands goes: `train` on `shapes`, `evaluate` and `predict`.

    python benchmarks/run.py [--part train]

`train` runs with its data prepared, and a callback that looks at the clock: 85 % of the time has
to be steps, tracing the first among them, and the first has to end within 20 s. `evaluate` scores
736 images of 300 sizes and has to keep 0.9 of the pace of bare forward passes on the same images
in memory. The commands `evaluate` and `predict` then read the same images as files, all of
them and a single one, whose time is start and end, in turns. Prints Markdown for
docs/performance.md; exits with 1 if a bar is missed by more than 2 %.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from data import write_class_names, write_pair
from toy import exit_code, parse

STEPS_AT_LEAST, FIRST_STEP_SECONDS, PACE_AT_LEAST = 0.85, 20.0, 0.9
CLASSES = 21
PHASES = ("start", "first step", "steps", "evaluation, checkpoints, log", "report")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4400)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--images", type=int, default=736)
    parser.add_argument("--sizes", type=int, default=300, help="of these images")
    parser.add_argument("--width", type=float, default=0.25, help="of the network that predicts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parse(parser, steps=2, images=3, sizes=2, width=1 / 64, rounds=1)
    if arguments.child:
        return train(*arguments.child, arguments.steps)
    wanted = [arguments.part] if arguments.part else PARTS
    met = [PARTS[part](arguments) for part in wanted]
    return exit_code(not all(met), arguments)


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
    import fcn_tf
    from fcn_tf.inference.keras_model import loaded_from_keras

    model, images = network(arguments.width), examples(arguments.images, arguments.sizes)
    labels = loaded_from_keras(model).labels
    bare, whole = [], []
    for _ in range(arguments.rounds):
        bare.append(seconds_of_forward_passes(labels, images))
        started = time.perf_counter()
        fcn_tf.evaluate(model, images)
        whole.append(time.perf_counter() - started)
    pace = np.median(bare) / np.median(whole)
    print(f"\n`evaluate`, {arguments.images} images of {arguments.sizes} sizes: ", end="")
    print(f"{np.median(whole):.1f} s, ", end="")
    print(f"bare forward passes {np.median(bare):.1f} s: {pace:.2f} of their pace; ", end="")
    least_to_most = [f"{min(taken):.1f} to {max(taken):.1f} s" for taken in (whole, bare)]
    print("least to most", " and ".join(least_to_most))
    return pace >= PACE_AT_LEAST / 1.02


def report_of_commands(arguments):
    """The commands `evaluate` and `predict` on files; no bar."""
    from fcn_tf.inference.keras_model import loaded_from_keras

    model, images = network(arguments.width), examples(arguments.images, arguments.sizes)
    labels = loaded_from_keras(model).labels
    seconds_of_forward_passes(labels, images)
    forward_ms = 1000 * seconds_of_forward_passes(labels, images) / len(images)
    print("\n| command | start and end, s | an image, ms | of it the forward pass, ms |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.keras")
        model.save(file)
        all_, one = Path(folder, "all"), Path(folder, "one")
        write_files(all_, images)
        write_files(one, images[:1])
        # At toy size one of them, as each takes two processes.
        for name, options in itertools.islice(COMMANDS.items(), 1 if arguments.toy else None):
            seconds = {all_: [], one: []}
            for round_, data in itertools.product(range(arguments.rounds), seconds):
                out = Path(folder, f"{name}-{data.name}-{round_}")
                given = [option.format(data=data) for option in options]
                command = ["fcn-tf", name, "--model", file, "--out", out, *given]
                started = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds[data].append(time.perf_counter() - started)
            start = np.median(seconds[one])
            image_ms = 1000 * (np.median(seconds[all_]) - start) / (len(images) - 1)
            print(f"| `{name}` | {start:.1f} | {image_ms:.1f} | {forward_ms:.1f} |", flush=True)
    return True


def network(width):
    import fcn_tf

    return fcn_tf.build_fcn("fcn8s", CLASSES, width=width, head_units=512)


def examples(images, sizes):
    """Images and masks of noise, of sizes that come again and again, as a split has them.

    Args:
        images: int, how many.
        sizes: int, how many sizes they have.
    """
    random = np.random.default_rng(0)
    sizes_px = random.integers(150, 400, (sizes, 2))
    return [
        {
            "image": random.integers(0, 256, (*size, 3), np.uint8),
            "segmentation_mask": random.integers(0, CLASSES, (*size, 1)).astype(np.uint8),
        }
        for size in sizes_px[np.arange(images) % sizes]
    ]


def seconds_of_forward_passes(labels, images):
    """Of a function to labels, one image after the other."""
    import tensorflow as tf

    started = time.perf_counter()
    for example in images:
        labels(tf.constant(example["image"][None]))
    return time.perf_counter() - started


def write_files(folder, images):
    """A folder data set whose splits hold the same images."""
    for split in ("train", "val"):
        for number, example in enumerate(images):
            mask = example["segmentation_mask"][..., 0]
            write_pair(folder, f"{split}/{number:04d}", example["image"], mask)
    write_class_names(folder)


PARTS = {
    "train": report_of_train,
    "evaluate": report_of_evaluate,
    "commands": report_of_commands,
}
COMMANDS = {
    "evaluate": ("--data.name", "folder", "--data.data_dir", "{data}"),
    "predict": ("{data}/images/val",),
}


if __name__ == "__main__":
    sys.exit(main())
