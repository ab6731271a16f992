"""Ctrl-C and SIGTERM: noted when they come, and obeyed once the state is saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal asks the run to save its state and to end."""


def handlers() -> dict[signal.Signals, Any]:
    """The handler of each signal, without those that are ignored or were not set in Python.

    Only Python's main thread can set handlers; in another thread the answer is empty.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in NUMBERS}
    return {number: do for number, do in found.items() if do not in (signal.SIG_IGN, None)}


def set_handlers(by_signal: dict[signal.Signals, Any]) -> None:
    """Sets the handler of each signal."""
    for number, handler in by_signal.items():
        signal.signal(number, handler)


class StopSignals:
    """A context in which the first signal is noted; a second one acts as it did before.

    Attributes:
        number: of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        self._before = handlers()
        set_handlers(dict.fromkeys(self._before, self._note))
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def obey(self) -> None:
        """Lets the signal that was noted, if one was, do what it does outside this context."""
        self._restore()
        if self.number is not None:
            signal.raise_signal(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        self.number = number

    def _restore(self) -> None:
        set_handlers(self._before)
        self._before = {}
