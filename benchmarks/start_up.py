"""How fast the commands answer `--help`, and label a single photo, in a new process.

    python benchmarks/start_up.py [--rounds 7] [--width 0.25]

The photo has 375x500 px, and is labelled by an int8 `.tflite` file and by the `.keras` file that it
was converted from, in turns. Prints Markdown; exits with 1 where `--help` takes more than 0.5 s, or
where the `.tflite` file takes more than 0.4 of the time of the other or more than 300 MB.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from toy import exit_code, parse

HELP_SECONDS_AT_MOST, SHARE_AT_MOST, MEGABYTES_AT_MOST = 0.5, 0.4, 300
HELP = {
    "fcn-tf train --help": ["fcn-tf", "train", "--help"],
    "python train.py --help": [sys.executable, "train.py", "--help"],
}
CONSOLE = "import sys; from fcn_tf.cli import main; main(sys.argv[1:])"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--head_units", type=int, default=512)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parse(parser, rounds=1, width=1 / 64, head_units=4)
    if arguments.write:
        return write_files(Path(arguments.write), arguments)
    print("| command | s, median | s, least to most | MB |\n|---|---|---|---|")
    helps = table(HELP, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        sizes = [f"--width={arguments.width}", f"--head_units={arguments.head_units}"]
        subprocess.run([sys.executable, __file__, f"--write={folder}", *sizes], check=True)
        label = [sys.executable, "-c", CONSOLE, "predict", f"{folder}/photo.jpg", "--overwrite"]
        labels = {
            f"fcn-tf predict, {kind}": [*label, f"--out={folder}/out", f"--model={folder}/m.{kind}"]
            for kind in ("tflite", "keras")
        }
        (tflite_s, tflite_mb), (keras_s, _) = table(labels, arguments.rounds)
    print(f"\n.tflite to .keras: {tflite_s / keras_s:.2f} of the time")
    missed = [seconds > HELP_SECONDS_AT_MOST for seconds, _ in helps]
    missed += [tflite_s > SHARE_AT_MOST * keras_s, tflite_mb > MEGABYTES_AT_MOST]
    return exit_code(any(missed), arguments)


def table(commands, rounds):
    """Runs commands in turns and prints a row for each: the median seconds and the most memory."""
    taken = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(run(command))
    rows = []
    for name, measured in taken.items():
        seconds, megabytes = zip(*measured, strict=True)
        rows.append((statistics.median(seconds), max(megabytes)))
        least, most = min(seconds), max(seconds)
        print(
            f"| `{name}` | {rows[-1][0]:.2f} | {least:.2f} to {most:.2f} | {rows[-1][1]:.0f} |",
            flush=True,
        )
    return rows


def run(command):
    """Seconds, and the peak of resident memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def write_files(folder, arguments):
    """The photo and both files, of a network with random weights."""
    import fcn_tf
    from fcn_tf.exporting.tflite import convert
    from fcn_tf.models import save_model

    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    Image.fromarray(photo).save(folder / "photo.jpg")
    sizes = {"width": arguments.width, "head_units": arguments.head_units}
    model = fcn_tf.build_fcn("fcn8s", 21, **sizes)
    kernel = model.get_layer("score_fr").kernel
    kernel.assign(random.standard_normal(kernel.shape))
    save_model(model, folder / "m.keras")
    content = convert(model, "int8", photo.shape[:2], calibration=[photo])
    (folder / "m.tflite").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
