"""What the commands tell the person in front of them instead of a traceback."""

from collections.abc import Iterable, Sequence
from pathlib import Path


class InputError(ValueError):
    """Input or configuration that is refused before any work; a command exits with 2.

    The message is one line: what came, what is allowed, what to do.
    """


class RunError(RuntimeError):
    """Work that was begun and failed, for a reason that the message names; exit code 1."""


def failure_line(path: Path, error: Exception) -> str:
    """One line that names a file and the reason why the work on it failed."""
    text = " ".join(str(error).split())
    if not isinstance(error, (InputError, RunError)):
        return f"{path}: {type(error).__name__}: {text}"
    return str(error) if str(error).startswith(str(path)) else f"{path}: {error}"


def check(condition: bool, key: str, value: object, allowed: str) -> None:
    """Refuses a value.

    Raises:
        InputError: the condition does not hold.
    """
    if not condition:
        raise InputError(f"{key}={value!r}: it must be {allowed}.")


def check_names(key: str, names: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuses an empty list of names, and names that are not among those allowed.

    Raises:
        InputError: the list is refused.
    """
    names = list(names)
    known = bool(names) and set(names) <= set(allowed)
    check(known, key, ",".join(names), f"some of {','.join(allowed)}")
