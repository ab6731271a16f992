"""Runs the steps of a page one after the other in this process, in the current folder.

    python tests/documents/runner.py steps.json [--plain]

With --plain reports have no figures that show a model.

One process for a page: TensorFlow is imported once, and the snippets share their names. The JSON
file holds a list of steps: {"kind": "command", "text": …, "options": […]}, where the options are
added to the command of this package; {"kind": "snippet", "text": …}; or {"kind": "options",
"text": …}, a `fcn-tf train` of which the options are read and checked, and no more. Exits with 1
after the first step that fails, and names it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent.parent


def main(path: str, *options: str) -> None:
    sys.path.insert(0, str(ROOT))  # the page does not run in the checkout
    if "--plain" in options:
        from fcn_tf.evaluation import report

        mock.patch.object(report, "_figures", return_value=[]).start()
    names: dict[str, Any] = {"__name__": "__main__"}
    for step in json.loads(Path(path).read_text(encoding="utf-8")):
        started = time.process_time()
        print(f"\n>>> {step['text']}", *step.get("options", ()), flush=True)
        try:
            if step["kind"] == "snippet":
                exec(compile(step["text"], "<snippet>", "exec"), names)
            elif step["kind"] == "options":
                with mock.patch("fcn_tf.commands.train.train") as train:
                    run_command(step["text"], [])
                assert train.call_count == 1, "nothing would be trained"
            else:
                run_command(step["text"], step["options"])
        except BaseException as error:
            if not (isinstance(error, SystemExit) and error.code in (None, 0)):
                traceback.print_exc()
                sys.exit(f"FAILED: {step['text']}")
        print(f"<<< {time.process_time() - started:.1f} s of the processor", flush=True)


def run_command(text: str, options: list[str]) -> None:
    """Runs a command of the page: one of this package in this process.

    Args:
        text: the command, which may begin with `PROGRAM |` and end with `> FILE`.
        options: options that are added to it.
    """
    before, _, command = text.rpartition(" | ")
    command, _, output = command.partition(" > ")
    words = [*shlex.split(command), *options]
    with contextlib.ExitStack() as stack:
        if before:
            stack.enter_context(standard_input_of(before))
        if output:
            file = stack.enter_context(open(output, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(file))
        match words:
            case ["fcn-tf", *arguments]:
                from fcn_tf.cli import main as fcn_tf

                fcn_tf(arguments)
            case ["python", script, *arguments] if script.endswith(".py"):
                sys.argv = [script, *arguments]
                runpy.run_path(str(ROOT / script), run_name="__main__")
            case ["cd", folder]:
                os.chdir(folder)
            case _:
                subprocess.run(words, check=True)


@contextlib.contextmanager
def standard_input_of(command: str) -> Iterator[None]:
    """Gives what a command writes to the next one."""
    written = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE).stdout
    usual, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(written))
    try:
        yield
    finally:
        sys.stdin = usual


if __name__ == "__main__":
    main(*sys.argv[1:])
