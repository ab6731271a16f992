"""Which splits of a TFDS data set are train, val and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fcn_tf.errors import InputError

# The names under which data sets publish our splits.
NAMES = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Share:
    """The records from `start` to `stop` of a split, by its name in TFDS."""

    split: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        """The number of records."""
        return self.stop - self.start

    @property
    def instruction(self) -> str:
        """What TFDS calls these records."""
        return f"{self.split}[{self.start}:{self.stop}]"


def share_out(info: Any, validation_fraction: float) -> dict[str, Share]:
    """The splits of a data set by our names; others keep theirs.

    Args:
        info: a prepared data set's `tfds.core.DatasetInfo`.
        validation_fraction: the part of train that becomes val where there is none. It is the end
            of train, and a line says so.

    Raises:
        InputError: there is no train, or it is too small to be divided.
    """
    sizes = {name: split.num_examples for name, split in info.splits.items() if split.num_examples}
    found = {ours: _first(sizes, names) for ours, names in NAMES.items()}
    if found["train"] is None:
        there = ", ".join(sizes) or "none"
        raise InputError(f"{info.full_name} has no split train; its splits are: {there}.")
    taken = {theirs: ours for ours, theirs in found.items() if theirs}
    shares = {taken.get(name, name): Share(name, 0, size) for name, size in sizes.items()}
    if found["val"] is None:
        shares = {**shares, **_divided(shares["train"], validation_fraction, info)}
    return shares


def _first(sizes: Mapping[str, int], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in sizes), None)


def _divided(train: Share, validation_fraction: float, info: Any) -> dict[str, Share]:
    """train and val from a train that stands alone."""
    size = train.size
    if size < 2:
        raise InputError(f"{info.full_name} has {size} record in {train.split}: too few for a val.")
    val = min(size - 1, max(1, round(size * validation_fraction)))
    unmixed = " They are stored in the order in which they were made." * info.disable_shuffling
    print(
        f"{info.full_name} has no validation split: the last {val} of the {size} records of "
        f"{train.split} become val (data.validation_fraction={validation_fraction:g}).{unmixed}",
        flush=True,
    )
    middle = size - val
    return {"train": Share(train.split, 0, middle), "val": Share(train.split, middle, size)}
