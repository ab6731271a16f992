"""Keras' progress bar around anything that is counted; in a log file a line every half minute."""

import sys

import keras


def with_progress(items, size, unit):
    """Passes `size` items on and moves a bar.

    Args:
        items: an iterable.
        size: int, how many there are.
        unit: what one is called, for the time of each.
    """
    bar = keras.utils.Progbar(size, unit_name=unit, interval=bar_interval_s())
    for number, item in enumerate(items, start=1):
        yield item
        bar.update(number)


def bar_interval_s():
    """How often a bar is drawn anew, in seconds."""
    return 0.05 if sys.stdout.isatty() else 30
