"""A progress bar around anything that is counted; in a log file a line every half minute."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def with_progress(items: Iterable[T], size: int, unit: str) -> Iterable[T]:
    """Passes items on and shows a bar with their number per second and the time that is left.

    Args:
        items: what is counted.
        size: how many there are.
        unit: what one of them is called, in the singular.

    Example:
        >>> for image in with_progress(images, len(images), "image"):
        ...     predict(image)
    """
    return tqdm(items, total=size, unit=f" {unit}s", mininterval=bar_interval_s(), file=sys.stdout)


def bar_interval_s() -> float:
    """Seconds between two updates of a bar."""
    return 0.05 if sys.stdout.isatty() else 30
