"""How often a run that starts anew takes other last bits, with `training.deterministic`.

    python benchmarks/same_bits.py

With oneDNN and without it (TF_ENABLE_ONEDNN_OPTS), processes start the same run over and over, of
four steps of a narrow FCN-32s on AlexNet, with dropout and augmentation. As many of them work at
the same time as the machine has processors, beside as many that only keep it busy. Of each start
the gradients' averages after each step (AdamW's momentum) are compared with those of most others:
how many differ, in which step first, and by how much, relative to the largest of their variable.

Exits with 1 where a start without oneDNN differs.
"""

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from data import write_folder
from toy import exit_code, parse

import fcn_tf
from fcn_tf.data import open_source
from fcn_tf.training.run import Run

STEPS = 4
IMAGES, SIZE_PX = 12, (80, 90)
PROCESSORS = os.cpu_count() or 1
SETTINGS = {
    "variant": "fcn32s",
    "data.batch_size": 4,
    "data.color": 0.1,
    "data.crop_px": 64,
    "data.scale_range": [0.7, 1.4],
    "model.dropout": 0.5,
    "model.geometry": "caffe",
    "model.head_units": 16,
    "model.trunk": "alexnet",
    "model.width": 0.0625,
    "training.deterministic": True,
    "training.steps_per_call": 1,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=30, help="of each kind, in all its processes")
    parser.add_argument("--starts_a_process", type=int, default=3)
    parser.add_argument("--busy", type=int, default=PROCESSORS, help="processes")
    parser.add_argument("--at_once", type=int, default=PROCESSORS, help="processes")
    parser.add_argument("--one_process", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parse(parser, starts=1, starts_a_process=1, busy=1, at_once=1)
    if arguments.one_process:
        return starts(arguments.one_process, arguments.starts_a_process)
    missed = False
    print("| oneDNN | starts | differ | first in step | by at most, relative |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as busy:
        write_folder(Path(folder), IMAGES, SIZE_PX)
        for _ in range(arguments.busy):
            endless = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            busy.callback(endless.wait)
            busy.callback(endless.kill)
        for onednn in "10":
            found = []
            while len(found) < arguments.starts:
                found += in_processes(folder, onednn, arguments)
            others, steps, by = differences(found)
            missed |= onednn == "0" and others > 0
            row = ("with" if onednn == "1" else "without", len(found), others, steps, f"{by:.1e}")
            print("|", " | ".join(map(str, row)), "|", flush=True)
    return exit_code(missed, arguments)


def in_processes(folder, onednn, arguments):
    """What the starts of processes at work at the same time gave; see `starts`."""
    options = ["--one_process", folder, "--starts_a_process", str(arguments.starts_a_process)]
    variables = {"TF_ENABLE_ONEDNN_OPTS": onednn, "TF_CPP_MIN_LOG_LEVEL": "3"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, *options],
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(arguments.at_once)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        sys.exit("A run failed.")
    found = []
    for path in sorted(Path(folder).glob("start-*.npz")):
        with np.load(path) as arrays:
            found.append({name: arrays[name] for name in arrays.files})
        path.unlink()
    return found


def starts(folder, count):
    """Starts the run so many times; writes a file for each, arrays by step and variable."""
    tf.config.experimental.enable_op_determinism()
    config = fcn_tf.load_config(**SETTINGS, **{"data.data_dir": folder})
    source = open_source(config.data)
    for number in range(count):
        keras.utils.set_random_seed(config.seed)
        run = Run(config, source)
        run.feed(0)
        arrays = {}
        for step in range(1, STEPS + 1):
            run.train_call(tf.constant(1))
            for place, variable in enumerate(run.optimizer.variables):
                if "momentum" in variable.path:
                    arrays[json.dumps([step, place])] = variable.numpy()
        np.savez(Path(folder, f"start-{os.getpid()}-{number}.npz"), **arrays)
        keras.backend.clear_session()
    return 0


def differences(found):
    """How many differ from most others, the first steps in which they do, and by how much."""
    contents = [b"".join(one[name].tobytes() for name in sorted(one)) for one in found]
    usual = found[contents.index(collections.Counter(contents).most_common(1)[0][0])]
    others, steps, by = 0, set(), 0.0
    for one in found:
        unequal = [name for name in usual if not np.array_equal(one[name], usual[name])]
        if unequal:
            others += 1
            steps.add(min(json.loads(name)[0] for name in unequal))
        for name in unequal:
            by = max(by, np.abs(one[name] - usual[name]).max() / np.abs(usual[name]).max())
    return others, ", ".join(map(str, sorted(steps))) or "-", by


if __name__ == "__main__":
    sys.exit(main())
