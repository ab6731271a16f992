"""What is read of a folder before training begins, so that faults are found early."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.mask_proposals import proposal_for
from fcn_tf.data.occurrence import Counts, Occurrence, count_labels, say_or_refuse, void_words
from fcn_tf.data.pairs import Notes, Pair, ReadPair
from fcn_tf.data.skipped import Skipped
from fcn_tf.errors import InputError
from fcn_tf.files import shown_name
from fcn_tf.images.read import Reading

CHECKED_AT_START = 500  # pairs; `fcn-tf check-data` reads all
CHUNK = 256  # items that are given to the threads at a time

T = TypeVar("T")
R = TypeVar("R")
# A pair with the name of its split.
OfSplit = tuple[str, Pair]


def check_at_start(
    splits: Mapping[str, list[Pair]],
    read: ReadPair,
    class_names: Sequence[str],
    *,
    config: DataConfig,
    notes: Notes,
    skipped: Skipped | None = None,
    trains: bool = True,
) -> None:
    """Reads pairs spread over a folder, at most `CHECKED_AT_START`, and says what is missing.

    Where all labels of train that it finds are one class, it reads on until there is a second.

    Args:
        splits: all pairs of the folder, by split.
        read: reads a pair.
        class_names: the classes.
        config: the data set.
        notes: what `read` notes of the images.
        skipped: notes the pairs that cannot be used, where these are skipped.
        trains: whether a training follows. Otherwise classes that are missing are nobody's concern.

    Raises:
        InputError: a pair has a fault, as in `read_pair`, or everything labelled in train is one
            class and a training follows.
    """
    some = _spread_pairs(splits)
    void = void_words(config)
    seen = {name: Occurrence(name, len(of_it), void=void) for name, of_it in splits.items()}
    faults: list[str] = []
    counted = functools.partial(
        _counted,
        read=read,
        num_classes=len(class_names),
        seen=seen,
        faults=faults,
        skipped=skipped,
    )
    for _ in counted(some):
        pass
    if not faults or skipped is not None:
        known = {pair for _, pair in some}
        rest = [("train", pair) for pair in splits["train"] if pair not in known]
        _read_until_two_classes(counted(rest), seen["train"])
    if faults:
        _refuse_or_say(faults, skipped, seen["train"].total)

    _say_notes(notes, seen.values(), config)
    if trains:
        masks = (pair.mask for pair in splits["train"])
        say_or_refuse(seen.values(), class_names, lambda: proposal_for(masks, class_names))


def _spread_pairs(splits: Mapping[str, list[Pair]]) -> list[OfSplit]:
    """Pairs spread over all splits, at most `CHECKED_AT_START`; says how many these are."""
    pairs = [(split, pair) for split, of_split in splits.items() for pair in of_split]
    step = -(-len(pairs) // CHECKED_AT_START)
    some = pairs[::step]
    which = f"{len(some)} of {len(pairs)}" if step > 1 else f"{len(pairs)}"
    print(f"Reading {which} images and masks once, to check them …", flush=True)
    return some


def _read_until_two_classes(reading: Generator[Pair, None, None], seen: Occurrence) -> None:
    """Reads on until `seen` has two classes or nothing is left."""
    while seen.classes_found() < 2 and next(reading, None):
        pass
    reading.close()


def _say_notes(notes: Notes, seen: Iterable[Occurrence], config: DataConfig) -> None:
    """Prints what was noted of the images that were read."""
    count = sum(len(of_split.per_image) for of_split in seen)
    for line in notes.lines(count, Reading(config.exif, config.value_range, config.bands)):
        print(line, flush=True)


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`function` of each item, in order; few results are held in memory at a time."""
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(items), CHUNK):
            yield from pool.map(function, items[first : first + CHUNK])


def _counted(
    pairs: Sequence[OfSplit],
    *,
    read: ReadPair,
    num_classes: int,
    seen: Mapping[str, Occurrence],
    faults: list[str],
    skipped: Skipped | None,
) -> Generator[Pair, None, None]:
    """Reads pairs one after the other: adds labels to `seen`, and what is wrong to `faults`."""

    def counts_or_fault(item: OfSplit) -> Counts | str:
        try:
            return count_labels(read(item[1])[1], num_classes)
        except InputError as error:
            return str(error)

    for (split, pair), found in zip(pairs, in_threads(counts_or_fault, pairs), strict=True):
        if not isinstance(found, str):
            seen[split].add(found)
        else:
            faults.append(found)
            if skipped is not None:
                seen[split].total -= 1
                skipped.note(str(pair.image), found)
        yield pair


def _refuse_or_say(faults: Sequence[str], skipped: Skipped | None, left: int) -> None:
    """Raises the first fault, unless such pairs are skipped and some of train are left."""
    if not left:
        raise InputError(f"No pair of train can be used: {faults[0]}")
    if skipped is None:
        more = len(faults) - 1
        pairs = "1 more pair has faults" if more == 1 else f"{more} more pairs have faults"
        raise InputError(faults[0] + (f" ({pairs}.)" if more else ""))
    print(shown_name(skipped.summary() or ""), flush=True)
