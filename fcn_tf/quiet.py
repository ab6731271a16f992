"""What libraries write to standard error on their own, held back unless something fails."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import TextIO

# Read when the module is imported: later the commands set the variable themselves.
_user_wants_messages = "TF_CPP_MIN_LOG_LEVEL" in os.environ


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Holds back what is written to standard error inside the block, by compiled code, too.

    It is shown if the block raises an exception. Nothing is held back where the user has set
    TF_CPP_MIN_LOG_LEVEL: that user wants to see the messages.
    """
    if _user_wants_messages:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def library_messages_dropped() -> Iterator[TextIO]:
    """Drops what libraries say on standard error inside the block: it is said in other words.

    Yields:
        A stream to the standard error of before, for what is to be seen.
    """
    if _user_wants_messages:
        yield sys.stderr
        return
    sys.stderr.flush()
    before = os.dup(2)
    with open(os.devnull, "w") as nothing, os.fdopen(os.dup(before), "w") as stderr:
        os.dup2(nothing.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield stderr
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


def import_quietly(module: str) -> None:
    """Imports a module whose libraries write to stderr before they can be told not to."""
    with stderr_held_back():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        importlib.import_module(module)
