"""What the commands tell the person in front of them instead of a traceback."""

from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Input or configuration that is refused before any work; a command exits with 2.

    The message is one line: what came, what is allowed, what to do.
    """


class RunError(RuntimeError):
    """Work that was begun and failed, for a reason that the message names; exit code 1."""


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
