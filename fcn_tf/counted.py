"""A number of things in words."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """A number of things, for a message.

    Args:
        count: 0 or more.
        what: what they are called; {} takes the s of more than one, "image{} without a mask" for
            instance.

    Example:
        >>> counted(1, "hidden file{}"), counted(2, "hidden file{}")
        ('1 hidden file', '2 hidden files')
    """
    return f"{count} {what.format('' if count == 1 else 's')}"
