"""TFLite files of any size against files that are fixed to one size, in each kind.

    python benchmarks/any_size.py [--width 0.25] [--size_px 384 512] [--rounds 15]

Both files of a kind run in turn, so that a busy moment meets both. With --threads 1 the time is
that of the processor, which other work changes less. Prints Markdown: medians, and the time of the
file of any size to that of the fixed one. Exits with 1 where that is above 1.1.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from random_weights import random_network
from toy import exit_code, parse

KINDS = ("float32", "float16", "dynamic", "int8")
ALLOWED = 1.1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="fcn8s")
    parser.add_argument("--trunk", default="vgg16")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--head_units", type=int, default=512)
    parser.add_argument("--size_px", type=int, nargs=2, default=(384, 512))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parse(parser, width=1 / 16, head_units=4, size_px=(32, 64), rounds=1)
    size_px = tuple(arguments.size_px)
    image = np.random.default_rng(0).integers(0, 256, (*size_px, 3), dtype=np.uint8)
    print("| kind | fixed, ms | any size, ms | any / fixed |")
    print("|---|---|---|---|")
    model, worst = network(arguments), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            paths = written(Path(folder), kind, image, model)
            fixed_ms, any_ms = milliseconds(paths, image, arguments)
            worst = max(worst, any_ms / fixed_ms)
            print(
                f"| {kind} | {fixed_ms:.1f} | {any_ms:.1f} | {any_ms / fixed_ms:.2f} |", flush=True
            )
    return exit_code(worst > ALLOWED, arguments)


def written(folder, kind, image, model):
    """The paths of a file that is fixed to the image's size, and of one of any size."""
    from fcn_tf.exporting.tflite import convert

    paths = []
    for size_px in (image.shape[:2], None):
        content = convert(model, kind, size_px, calibration=[image] * 2)
        paths.append(folder / f"{kind}-{size_px is None}.tflite")
        paths[-1].write_bytes(content)
    return paths


def network(arguments):
    noise = np.random.default_rng(0).integers(0, 256, (2, *arguments.size_px, 3), np.uint8)
    sizes = {key: getattr(arguments, key) for key in ("trunk", "width", "head_units")}
    return random_network(arguments.variant, noise, **sizes)


def milliseconds(paths, image, arguments):
    """The median time of a call of each file."""
    from ai_edge_litert.interpreter import Interpreter

    runs = []
    for path in paths:
        interpreter = Interpreter(str(path), num_threads=arguments.threads)
        given = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(given, (1, *image.shape))
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, image[None])
        interpreter.invoke()
        runs.append(interpreter)
    clock = time.thread_time if arguments.threads == 1 else time.perf_counter
    seconds = [[] for _ in runs]
    for turn in range(arguments.rounds):
        for number in (0, 1) if turn % 2 else (1, 0):
            started = clock()
            runs[number].invoke()
            seconds[number].append(clock() - started)
    return [1000 * statistics.median(found) for found in seconds]


if __name__ == "__main__":
    sys.exit(main())
