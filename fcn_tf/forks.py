"""Which process imported the package: a child that was forked from it has none of its threads."""

import os

IMPORTED_BY = os.getpid()


def is_forked() -> bool:
    """Whether this process was forked from the one that imported the package."""
    return os.getpid() != IMPORTED_BY
