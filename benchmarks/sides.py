"""Sides of a comparison, each in a process of its own, that take turns; and the limits."""

import contextlib
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import forget_peak
from memory import peak_mb as peak_mb_of

# The threads of a side spin for a while after its call, at the cost of the next one.
PAUSE_SECONDS = 0.5
# Side of the matrices whose products are the limit, and that for a network below one GFLOP.
MATRIX, SMALL_MATRIX = 4096, 256


def serve(run, warm_up_calls=5):
    """Runs a side once for every line on standard input; answers with its seconds.

    Args:
        run: a function without arguments.
        warm_up_calls: int, calls before the first that counts: they compile, and settle where
            memory lies.

    Returns:
        what the last call returned.
    """
    forget_peak()  # that of a side's calls counts, not of its making
    for _ in range(warm_up_calls):
        answer = run()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        answer = run()
        print(time.perf_counter() - started, flush=True)
    return answer


def race(commands, rounds, peak_mb=None, said=None):
    """Milliseconds of each side in each round.

    Args:
        commands: dict of the command of each side, which calls `serve`, by its name.
        rounds: int.
        peak_mb: dict to which the peak memory of each process is added, in MB.
        said: dict to which is added what each prints at the end.
    """
    sides, errors = {}, {}
    with contextlib.ExitStack() as files:
        for name, command in commands.items():
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            errors[name] = files.enter_context(tempfile.TemporaryFile("w+"))
            sides[name] = subprocess.Popen(command, **pipes, stderr=errors[name])
            while (line := sides[name].stdout.readline()).strip() != "ready":
                if not line:
                    raise _ended(name, sides[name], "before its first call", errors[name])
        milliseconds = {name: [] for name in commands}
        names = list(commands)
        for number in range(rounds):
            # Another order each time, and time for the threads of the side before to fall asleep.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                process = sides[name]
                time.sleep(PAUSE_SECONDS)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write("\n")
                    process.stdin.flush()
                seconds = process.stdout.readline()
                if not seconds:
                    raise _ended(name, process, f"in round {number + 1}", errors[name])
                milliseconds[name].append(1000 * float(seconds))
        for name, process in sides.items():
            if peak_mb is not None:
                peak_mb[name] = peak_mb_of(process.pid)
            last = process.communicate()[0]
            if said is not None:
                said[name] = last.strip()
    return milliseconds


def _ended(name, process, when, errors):
    """What to raise for a side that ended too early."""
    if process.wait() == -signal.SIGKILL:
        return SystemExit(f"{name} was killed {when}; there may be too little memory.")
    errors.seek(0)
    return SystemExit(f"{name} ended {when}:\n{errors.read()}")


def medians_of(milliseconds):
    return {name: statistics.median(values) for name, values in milliseconds.items()}


def flop(layer):
    """Two a multiplication of a Keras layer's forward pass, of known sizes and one image."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    is_transposed = layer.name.startswith("upscore")
    cells = (layer.input if is_transposed else layer.output).shape[1:3]
    return 2 * int(np.prod(kernel.shape)) * cells[0] * cells[1]


def products(gflop, dtype):
    """A function that multiplies matrices, about as often as `gflop` says."""
    import tensorflow as tf

    count, side = _products(gflop)
    left, right = tf.cast(tf.random.normal((2, side, side)), dtype)

    def run():
        for _ in range(count):
            product = tf.matmul(left, right)
        product.numpy()

    return run


def whole_products(gflop):
    """What share of the time of `products` the multiplications themselves would take."""
    count, side = _products(gflop)
    return gflop * 1e9 / (count * 2 * side**3)


def _products(gflop):
    """How many products of matrices of which side have about as many multiplications."""
    side = MATRIX if gflop >= 1 else SMALL_MATRIX
    return max(1, round(gflop * 1e9 / (2 * side**3))), side


def processor():
    """Its name; on Linux that which it gives itself."""
    described = Path("/proc/cpuinfo")
    text = described.read_text() if described.exists() else ""
    names = re.findall(r"model name\s*: (.*)", text)
    return names[0] if names else platform.processor()


def thread_count():
    """The processors that this process may use."""
    return getattr(os, "process_cpu_count", _affinity_count)()


def _affinity_count():
    """As os.process_cpu_count, which Python has from 3.13 on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
