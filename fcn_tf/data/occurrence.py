"""Which classes occur in the masks of a split, and what follows for a training.

`check-data` and the check at the start of a training both ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.errors import InputError

NAMED = 10  # classes, in a message


class Counts(NamedTuple):
    """What a mask holds.

    Args:
        labelled: int64 (C,), the labelled pixels of each class.
        unlabelled_px: the number of pixels that are VOID.
    """

    labelled: NDArray[np.int64]
    unlabelled_px: int


@dataclass
class Occurrence:
    """What the masks of a split hold.

    Args:
        split: its name.
        total: the number of its masks.
        per_image: the labelled pixels of each class in each mask that was read, int64 (C,).
        unlabelled_px: the pixels of these masks that are VOID.
        void: what masks hold in such pixels, for messages.
    """

    split: str
    total: int
    per_image: list[NDArray[np.int64]] = field(default_factory=list)
    unlabelled_px: int = 0
    void: str = str(VOID)
    found: Any = False  # bool (C,), the classes that occur

    def add(self, counts: Counts) -> None:
        """Adds a mask, counted by `count_labels`."""
        self.per_image.append(counts.labelled)
        self.unlabelled_px += counts.unlabelled_px
        self.found |= counts.labelled > 0

    def classes_found(self) -> int:
        """The number of classes that occur."""
        return int(np.count_nonzero(self.found))

    def per_class(self, num_classes: int) -> NDArray[np.int64]:
        """The labelled pixels of each class, int64 (C,)."""
        return np.sum(self.per_image, axis=0, dtype=np.int64, initial=0) + np.zeros(
            num_classes, np.int64
        )


class Judgement(NamedTuple):
    """What is to be said of a split.

    Args:
        error: why training refuses it, or None.
        warnings: what training accepts, but may not be meant.
    """

    error: str | None
    warnings: list[str]


def count_labels(labels: NDArray[np.uint8], num_classes: int) -> Counts:
    """Counts a mask, uint8 of any shape, with labels and VOID."""
    counts = np.bincount(labels.ravel(), minlength=VOID + 1)
    return Counts(counts[:num_classes].astype(np.int64), int(counts[VOID]))


def void_words(config: DataConfig) -> str:
    """What masks hold in pixels that are not labelled, for messages."""
    more = config.ignore_label is not None or config.mask_values is not None
    return f"{VOID} or ignored" if more else str(VOID)


def judge(
    seen: Occurrence, class_names: Sequence[str], remedy: Callable[[], str | None]
) -> Judgement:
    """What the classes of a split mean for a training.

    A train split with one class is refused: there is nothing to tell apart. Another split with one
    class is scored, as far as it can be.

    Args:
        seen: what its masks hold.
        class_names: C names.
        remedy: gives the option that would make the masks fit, or None.
    """
    if not seen.per_image:
        return Judgement(None, [])
    pixels = seen.per_class(len(class_names))
    absent = [name for name, count in zip(class_names, pixels, strict=True) if not count]
    if not absent:
        return Judgement(None, [])
    uncounted = seen.total - len(seen.per_image)
    if len(absent) < len(class_names) - 1 or uncounted:
        return Judgement(None, [_absent(seen, absent)])
    text = _one_class(seen, class_names, absent, pixels)
    if seen.split != "train":
        return Judgement(None, [f"{text} {_undefined(seen.split, class_names, absent)}"])
    line = remedy()
    if line:
        text += f" If the other values mean classes, say so: {line}"
    else:
        text += " A training needs two classes: label another one, or say with --data.mask_values "
        text += "which values mean which class."
    return Judgement(text, [])


def say_or_refuse(
    seen: Iterable[Occurrence], class_names: Sequence[str], remedy: Callable[[], str | None]
) -> None:
    """Prints what the classes of each split mean for a training.

    Args:
        seen: what the masks of each split hold.
        class_names, remedy: as in `judge`.

    Raises:
        InputError: everything labelled in train is one class.
    """
    for of_split in seen:
        judged = judge(of_split, class_names, remedy)
        if judged.error:
            raise InputError(judged.error)
        for text in judged.warnings:
            print(f"Note: {text}", flush=True)


def unlabelled_share(labelled_px: int, unlabelled_px: int) -> str:
    """The share of pixels that are VOID, for messages: "84 %"; never 0 % or 100 % if it is not."""
    percent = 100 * unlabelled_px / max(labelled_px + unlabelled_px, 1)
    if 0 < percent < 1 or 99 < percent < 100:
        return "less than 1 %" if percent < 1 else "more than 99 %"
    return f"{percent:.0f} %"


def _one_class(
    seen: Occurrence, class_names: Sequence[str], absent: list[str], pixels: NDArray[np.int64]
) -> str:
    split = seen.split
    if len(absent) == len(class_names):
        return f"No pixel of {split} is labelled: all are {seen.void}."
    present = class_names[int(np.flatnonzero(pixels)[0])]
    others = f"{absent[0]} never occurs" if len(absent) == 1 else f"{_list(absent)} never occur"
    text = f"Everything labelled in {split} is class {present}; {others}."
    if seen.unlabelled_px:
        share = unlabelled_share(int(pixels.sum()), seen.unlabelled_px)
        text += f" {share} of its pixels are {seen.void}, which means: not labelled."
    return text


def _undefined(split: str, class_names: Sequence[str], absent: list[str]) -> str:
    if len(absent) == len(class_names):
        return f"The scores on {split} are undefined (null)."
    return (
        f"On {split}, the IU of a class that never occurs is undefined (null), or 0 where the "
        "network predicts it."
    )


def _absent(seen: Occurrence, absent: list[str]) -> str:
    classes = f"class {absent[0]}" if len(absent) == 1 else f"classes {_list(absent)}"
    number = len(seen.per_image)
    if number < seen.total:
        never = "does not occur" if len(absent) == 1 else "do not occur"
        read = f"the {number} of {seen.total} masks of {seen.split} that were read"
        return f"{classes} {never} in {read}"
    never = "never occurs" if len(absent) == 1 else "never occur"
    return f"{classes} {never} in {seen.split}"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
