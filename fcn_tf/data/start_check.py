"""What is read of a folder before training begins, so that faults are found early."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fcn_tf.data.pairs import Notes, Pair, read_pair
from fcn_tf.errors import InputError
from fcn_tf.images.masks import Coding
from fcn_tf.images.read import Reading

CHECKED_AT_START = 500  # pairs; `fcn-tf check-data` reads all


def check_at_start(pairs: list[Pair], coding: Coding, reading: Reading) -> None:
    """Reads pairs spread over a folder, at most `CHECKED_AT_START`, and says what is done to them.

    Args:
        pairs: all pairs of the folder.
        coding: what the values of the masks mean.
        reading: how the images become pixels.

    Raises:
        InputError: a pair has a fault, as in `read_pair`.
    """
    step = -(-len(pairs) // CHECKED_AT_START)
    some = pairs[::step]
    which = f"{len(some)} of {len(pairs)}" if step > 1 else f"{len(pairs)}"
    print(f"Reading {which} images and masks once, to check them …", flush=True)

    notes = Notes()

    def problem(pair: Pair) -> str | None:
        try:
            read_pair(pair, coding, reading, notes)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        found = [text for text in pool.map(problem, some) if text]
    if found:
        more = f" ({len(found) - 1} more pairs have faults.)" if len(found) > 1 else ""
        raise InputError(found[0] + more)
    for line in notes.lines(len(some), reading):
        print(line, flush=True)
