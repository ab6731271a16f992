"""The console script `fcn-tf`: arguments in, an exit code out.

0 done; 1 begun and failed; 2 input or configuration refused before any work; 130 Ctrl-C;
143 SIGTERM. What the commands do stands in `fcn_tf.commands`.
"""

from __future__ import annotations

import io
import signal
import sys
import traceback
from typing import Any

from jsonargparse import ArgumentParser

from fcn_tf.commands import NAMES, find_command
from fcn_tf.config.files import explain, one_line
from fcn_tf.config.yaml_text import STRICT
from fcn_tf.errors import InputError, RunError
from fcn_tf.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; exits unless all went well.

    Args:
        arguments: default those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A file's name may have bytes that the terminal's encoding has not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Taken out before parsing, so that it is no key of a recipe.
    show_traceback = "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        _run(arguments)
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        if show_traceback:
            traceback.print_exc()
        message, code = _describe(error)
        print(f"fcn-tf: {one_line(message)}", file=sys.stderr)
        sys.exit(code)


def _run(arguments: list[str]) -> None:
    """Parses the arguments and runs the command that they name."""
    parser = ArgumentParser(
        prog="fcn-tf",
        description="Fully convolutional networks for semantic segmentation.",
        version=__version__,
        exit_on_error=False,
        allow_abbrev=False,
        parser_mode=STRICT,
    )
    subcommands = parser.add_subcommands()
    named, rest = arguments[:1], arguments[1:]
    commands = {name: find_command(name) for name in NAMES}
    if named and named[0] in commands:
        rest = commands[named[0]].prepared(rest)
    parsers = {}
    for name, command in commands.items():
        parsers[name] = command.make_parser(rest if named == [name] else [])
        parsers[name].description = f"{command.description} --traceback shows where an error arose."
        subcommands.add_subcommand(name, parsers[name], help=command.description)
    try:
        values = parser.parse_args(named + rest)
    except Exception as error:  # jsonargparse raises several kinds for what it refuses
        known = parsers.get(named[0], parser) if named else parser
        raise InputError(explain(error, known)) from error
    name = values.subcommand
    commands[name].run(values[name], parsers[name], rest)


def _describe(error: BaseException) -> tuple[Any, int]:
    """What to say of an error, and the exit code."""
    match error:
        case InputError():
            return error, 2
        case RunError():
            return error, 1
        case KeyboardInterrupt():
            return "stopped by Ctrl-C; what was saved stays.", 130
        case _Terminated():
            return "stopped by SIGTERM; what was saved stays.", 143
    if "No space left on device" in str(error):
        return f"the disk is full; what was there is untouched. Free some space. ({error})", 1
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return (
            "out of memory: give a smaller --tile_px (evaluate, predict) or --batch_size "
            "(predict); training has --data.crop_px, --data.batch_size, "
            "--training.accumulate_steps and --model.width."
        ), 1
    return f"failed: {type(error).__name__}: {error} (--traceback shows where)", 1


class _Terminated(BaseException):
    """SIGTERM, raised where the program stands."""


def _raise_terminated(signum: int, frame: Any) -> None:
    raise _Terminated
