"""What the commands tell the person in front of them instead of a traceback."""


class InputError(ValueError):
    """Input or configuration that is refused before any work; a command exits with 2.

    The message is one line: what came, what is allowed, what to do.
    """


class RunError(RuntimeError):
    """Work that was begun and failed, for a reason that the message names; exit code 1."""


def check(condition, key, value, allowed):
    """Refuses a value.

    Raises:
        InputError: the condition does not hold.
    """
    if not condition:
        raise InputError(f"{key}={value!r}: it must be {allowed}.")
