"""The commands in processes of their own, alone or as the machines of a cluster."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
started = []  # what is left of them is killed at the end of a test


def flipped(contents, place):
    """Bytes with one bit of the byte at a place changed, as a bad disk changes it."""
    return contents[:place] + bytes([contents[place] ^ 1]) + contents[place + 1 :]


def environment():
    """That of a user, who has not quieted TensorFlow."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    variables.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return variables


def command(*arguments, cwd=ROOT, extra=None, stdin=None):
    return subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments]
        if arguments[0].startswith("--")
        else [sys.executable, "-c", "from fcn_tf.cli import main; main()", *arguments],
        cwd=cwd,
        env={**environment(), **(extra or {})},
        capture_output=True,
        text=True,
        input=stdin,
    )


def start(*arguments, cwd, extra=None, code=None):
    """`fcn-tf train` at work, or Python code in its place; its output is in pipes.

    Its report has no figures that show the model.
    """
    what = ["-c", code] if code else ["-m", "tests.without_figures", "train"]
    process = subprocess.Popen(
        [sys.executable, *what, *arguments],
        cwd=cwd,
        env={**environment(), **(extra or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    started.append(process)
    return process


def start_workers(*arguments, cwd, extra=None, code=None):
    """Two of them as the machines of a cluster on this one."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    workers = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        variables = {**(extra or {}), "TF_CONFIG": json.dumps(config)}
        workers.append(start(*arguments, cwd=cwd, extra=variables, code=code))
    return workers


def ended(process, within_seconds=300):
    """Waits for the end; returns the exit code and what was written to stderr."""
    _, stderr = process.communicate(timeout=within_seconds)
    return process.returncode, stderr
