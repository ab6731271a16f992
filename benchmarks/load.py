"""What a server holds: requests a second, how long they take, and what it does with twice as many.

    python benchmarks/load.py            # needs locust: pip install '.[bench]'

Locust sends images over REST, at a steady rate, to a server in a process of its own that joins
requests as TensorFlow Serving does, and holds 80 of them at most. A user of Locust sends one
request in five seconds, so that a slow server does not lower the rate.

1. The most that 16 users without a pause get answered. From there the rate is lowered by a tenth
   until `--trial_seconds` at it pass without a request that is refused or fails. The rate is four
   fifths of that: at the limit itself a queue grows that a trial is too short to fill.
2. That rate for `--minutes`.
3. Twice that rate for `--overload_minutes`; it ends at once, with the queue as it is.
4. The first rate again: the time until nine in ten requests of a second are answered, none slower
   than the 99th percentile of 2.

Exits with 1 where a request of 2. fails, where one of 3. fails in another way than by a 503 that
says that the queue is full, or where 4. takes more than 5 s.
"""

# Locust makes the standard library cooperative when it is imported.
import locust  # isort: skip
import argparse
import base64
import collections
import io
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import gevent
import numpy as np
from locust import task
from locust.env import Environment
from PIL import Image
from toy import exit_code, parse

ROOT = Path(__file__).parent.parent
SIZE_PX = (64, 64)
FULL = "The batch scheduling queue is full"
RECOVERED_S_AT_MOST = 5.0
WATCHED_S = 20  # after the overload
EVERY_S = 5  # a user sends a request
# The server of the tests: TensorFlow Serving is not to be had from PyPI.
SERVER = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, "benchmarks")
from soak import models
from tests.servers import Joined, rest_server
with tempfile.TemporaryDirectory() as folder:
    models(Path(folder))
    with rest_server(Joined(Path(folder, "saved"), sys.argv[1])) as url:
        print(url, flush=True)
        sys.stdin.read()
"""
BATCHES = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 10 }
num_batch_threads { value: 1 }
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rate", type=int, help="in place of 1.: requests a second")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--overload_minutes", type=float, default=2)
    parser.add_argument("--trial_seconds", type=float, default=30)
    least = {"minutes": 0.02, "overload_minutes": 0.02, "trial_seconds": 1}
    arguments = parse(parser, **least)
    command = [sys.executable, "-c", SERVER, BATCHES]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it tells of each connection that the overload's end cuts
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            url = process.stdout.readline().strip()
            if not url:
                sys.exit("The server did not start.")
            missed = measure(url, arguments)
        finally:
            process.stdin.close()
    return exit_code(missed, arguments)


def measure(url, arguments):
    """Prints what the server does; returns whether a bar was missed."""
    send(url, 1, arguments.trial_seconds / 3, users=2)  # the first calls compile
    most = send(url, 1, arguments.trial_seconds, users=16)
    print(f"16 users without a pause: {most.answered_a_second:.0f} requests a second", flush=True)
    rate = arguments.rate
    if not rate:
        limit = held(url, int(most.answered_a_second), arguments.trial_seconds)
        rate = max(1, int(0.8 * limit))
    first = send(url, rate, 60 * arguments.minutes)
    twice = send(url, 2 * rate, 60 * arguments.overload_minutes, ends_at_once=True)
    after = send(url, rate, min(WATCHED_S, 60 * arguments.minutes))
    shown = ((rate, first), (2 * rate, twice), (rate, after))
    print("| rate | answered a second | p50, ms | p95, ms | p99, ms | most | refused | failed |")
    print("|---|---|---|---|---|---|---|---|")
    for wanted, phase in shown:
        took = [f"{ms:.0f}" for ms in np.percentile(phase.took_ms or [0], (50, 95, 99, 100))]
        row = [wanted, f"{phase.answered_a_second:.1f}", *took, phase.refused, phase.failed]
        print("|", " | ".join(map(str, row)), "|", flush=True)
    usual_ms = np.percentile(first.took_ms or [0], 99)
    recovered_s = recovery(after.log, usual_ms)
    for wanted, phase in shown:
        for kind, count in phase.failures.most_common():
            print(f"{wanted} a second, failed {count} times: {kind}")
    print(f"Recovered after {recovered_s} s")
    return first.refused or first.failed or twice.failed or recovered_s > RECOVERED_S_AT_MOST


def recovery(log, usual_ms):
    """Seconds until one in which nine in ten requests are answered, and no slower than usual."""
    seconds = {}
    for ended_s, ms, kind in log:
        seconds.setdefault(int(ended_s), []).append(kind == "answered" and ms <= usual_ms)
    good = (second for second in sorted(seconds) if np.mean(seconds[second]) >= 0.9)
    return next(good, WATCHED_S)


def held(url, rate, seconds):
    """The highest rate, from one on downwards, that passes a trial."""
    while rate > 1:
        trial = send(url, rate, seconds)
        print(
            f"{rate} a second: {trial.answered_a_second:.1f} answered, "
            f"{trial.refused + trial.failed} not",
            flush=True,
        )
        keeps_up = trial.answered_a_second >= 0.97 * rate
        if keeps_up and not trial.refused + trial.failed:
            break
        rate = max(1, min(rate - 1, int(0.9 * rate)))
    return rate


class Phase:
    """What became of the requests of some time.

    `log` has the second in which each ended, the milliseconds that it took, and what it became:
    "answered", "refused" or, in other words, how it failed.
    """

    def __init__(self):
        self.log = []
        self.seconds = 0.0

    @property
    def took_ms(self):
        return [ms for _, ms, kind in self.log if kind == "answered"]

    @property
    def answered_a_second(self):
        return len(self.took_ms) / self.seconds

    @property
    def refused(self):
        return sum(kind == "refused" for _, _, kind in self.log)

    @property
    def failed(self):
        return sum(self.failures.values())

    @property
    def failures(self):
        """How requests failed, and how often each, a `Counter`."""
        kinds = (kind for _, _, kind in self.log)
        return collections.Counter(k for k in kinds if k not in ("answered", "refused"))


def send(url, rate, seconds, *, users=None, ends_at_once=False):
    """Requests at a rate a second for so long; with `users`, as many as these get answered."""
    phase = Phase()
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE_PX, 3), np.uint8)
    png = io.BytesIO()
    Image.fromarray(noise).save(png, "PNG")
    instance = {"b64": base64.b64encode(png.getvalue()).decode()}
    started = time.perf_counter()

    class Client(locust.FastHttpUser):
        host = url

        def on_start(self):
            self.next_s = time.perf_counter()
            if not users:
                gevent.sleep(self.until(random.uniform(0, EVERY_S)))

        def wait_time(self):
            return 0 if users else self.until(EVERY_S)

        def until(self, later_s):
            """Seconds until the next request, which is due so long after the one before."""
            # Locust's own pacing has all users send their second request at the same time.
            self.next_s += later_s
            return max(0.0, self.next_s - time.perf_counter())

        @task
        def predict(self):
            before = time.perf_counter()
            with self.client.post(
                f"{url}:predict", json={"instances": [instance]}, catch_response=True
            ) as answer:
                now = time.perf_counter()
                phase.log.append((now - started, 1000 * (now - before), kind_of(answer)))
                answer.success()  # what it became is noted; Locust need not

    environment = Environment(user_classes=[Client], stop_timeout=None if ends_at_once else 30)
    runner = environment.create_local_runner()
    count = users or rate * EVERY_S
    runner.start(count, spawn_rate=count)
    gevent.sleep(seconds)
    phase.seconds = time.perf_counter() - started
    of_time = list(phase.log)
    runner.quit()
    phase.log = of_time
    return phase


def kind_of(answer):
    """What became of a request: answered with labels, refused in words, or how else it failed."""
    text = answer.text or ""
    error = getattr(answer, "error", None)  # where there is no answer
    failure = f"{answer.status_code} {error or text[:80]!r}"
    try:
        content = json.loads(text)
    except ValueError:
        return failure
    if answer.status_code == 200 and content.get("predictions", [{}])[0].get("b64"):
        return "answered"
    return "refused" if (answer.status_code, content) == (503, {"error": FULL}) else failure


if __name__ == "__main__":
    sys.exit(main())
