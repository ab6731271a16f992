"""Ctrl-C and SIGTERM, heard but not obeyed before the state is saved."""

import signal
import threading

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """The run is to save its state and to end."""


def handlers():
    """What is done at each signal; one that is ignored, or is not for Python, is left out.

    Python hears signals in its main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in NUMBERS}
    return {number: do for number, do in found.items() if do not in (signal.SIG_IGN, None)}


class StopSignals:
    """A context in which the first signal is noted; a second one acts as ever.

    Attributes:
        number: of the signal that came, or None.
    """

    def __init__(self):
        self.number = None
        self._before = {}

    def __enter__(self):
        self._before = handlers()
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *error):
        self._restore()

    def obey(self):
        """Does what the signal does without this context."""
        self._restore()
        signal.raise_signal(self.number)

    def _note(self, number, frame):
        self._restore()
        self.number = number

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
