"""Sides of a comparison, each in a process of its own, that take turns."""

import statistics
import subprocess
import sys
import time

# The threads of a side spin for a while after its call, at the cost of the next one.
PAUSE_SECONDS = 0.5


def serve(run, warm_up_calls=5):
    """Runs a side once for every line on standard input; answers with its seconds.

    Args:
        run: a function without arguments.
        warm_up_calls: int, calls before the first that counts: they compile, and settle where
            memory lies.

    Returns:
        what the last call returned.
    """
    for _ in range(warm_up_calls):
        answer = run()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        answer = run()
        print(time.perf_counter() - started, flush=True)
    return answer


def race(commands, rounds):
    """Milliseconds of each side in each round.

    Args:
        commands: dict of the command of each side, which calls `serve`, by its name.
        rounds: int.
    """
    sides = {}
    for name, command in commands.items():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        sides[name] = subprocess.Popen(command, **pipes, stderr=subprocess.DEVNULL)
        while (line := sides[name].stdout.readline()).strip() != "ready":
            if not line:
                raise SystemExit(f"{name} does not run: {' '.join(map(str, command))} says why.")
    milliseconds = {name: [] for name in commands}
    names = list(commands)
    for number in range(rounds):
        # Another order each time, and time for the threads of the side before to fall asleep.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            process = sides[name]
            time.sleep(PAUSE_SECONDS)
            process.stdin.write("\n")
            process.stdin.flush()
            milliseconds[name].append(1000 * float(process.stdout.readline()))
    for process in sides.values():
        process.communicate()
    return milliseconds


def medians_of(milliseconds):
    return {name: statistics.median(values) for name, values in milliseconds.items()}
