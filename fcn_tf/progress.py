"""A progress bar around anything that is counted; in a log file a line every half minute."""

import sys

from tqdm import tqdm


def with_progress(items, size, unit):
    """Passes items on and moves a bar with their number a second and the time left.

    Args:
        items: an iterable.
        size: int, how many there are.
        unit: what one is called.
    """
    return tqdm(items, total=size, unit=f" {unit}s", mininterval=bar_interval_s(), file=sys.stdout)


def bar_interval_s():
    """How often a bar is drawn anew, in seconds."""
    return 0.05 if sys.stdout.isatty() else 30
