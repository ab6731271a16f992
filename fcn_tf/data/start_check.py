"""What is read of a folder before training begins, so that faults are found early."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
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
# Further pairs of train, at most, that are read where all labels found are one class.
READ_ON = 50_000
CHUNK = 256  # items that are given to the threads at a time

T = TypeVar("T")
R = TypeVar("R")
# A pair with the name of its split.
OfSplit = tuple[str, Pair]


def check_at_start(
    splits: Mapping[str, Sequence[Pair]],
    read: ReadPair,
    class_names: Sequence[str],
    *,
    config: DataConfig,
    notes: Notes,
    skipped: Skipped | None = None,
    trains: bool = True,
) -> None:
    """Reads pairs spread over a folder, at most `CHECKED_AT_START`, and says what is missing.

    Where all labels of train that it finds are one class, it reads on until there is a second, or
    `READ_ON` more pairs have been read.

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
    step = _step(splits)
    some = list(_pairs_at(splits, lambda number: number % step == 0))
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
        others = _pairs_at(splits, lambda number: number % step != 0)
        rest = (item for item in others if item[0] == "train")
        _read_until_two_classes(counted(islice(rest, READ_ON)), seen["train"])
    if faults:
        _refuse_or_say(faults, skipped, seen["train"].total)

    _say_notes(notes, seen.values(), config)
    if trains:
        masks = (pair.mask for pair in splits["train"])
        say_or_refuse(seen.values(), class_names, lambda: proposal_for(masks, class_names))


def _step(splits: Mapping[str, Sequence[Pair]]) -> int:
    """Each how many-th pair of all splits is read; says how many these are."""
    size = sum(map(len, splits.values()))
    step = -(-size // CHECKED_AT_START)
    which = f"{-(-size // step)} of {size}" if step > 1 else f"{size}"
    print(f"Reading {which} images and masks once, to check them …", flush=True)
    return step


def _pairs_at(
    splits: Mapping[str, Sequence[Pair]], is_wanted: Callable[[int], bool]
) -> Iterator[OfSplit]:
    """The pairs whose numbers are wanted, counted over all splits; the others are not looked up."""
    places = chain.from_iterable(
        ((split, number) for number in range(len(pairs))) for split, pairs in splits.items()
    )
    for number, (split, of_split) in enumerate(places):
        if is_wanted(number):
            yield split, splits[split][of_split]


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


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`function` of each item, in order; few items and results are held in memory at a time."""
    items = iter(items)
    with ThreadPoolExecutor() as pool:
        while some := list(islice(items, CHUNK)):
            yield from pool.map(function, some)


def _counted(
    pairs: Iterable[OfSplit],
    *,
    read: ReadPair,
    num_classes: int,
    seen: Mapping[str, Occurrence],
    faults: list[str],
    skipped: Skipped | None,
) -> Generator[Pair, None, None]:
    """Reads pairs one after the other: adds labels to `seen`, and what is wrong to `faults`."""

    def counts_or_fault(item: OfSplit) -> tuple[OfSplit, Counts | str]:
        try:
            return item, count_labels(read(item[1])[1], num_classes)
        except InputError as error:
            return item, str(error)

    for (split, pair), found in in_threads(counts_or_fault, pairs):
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
