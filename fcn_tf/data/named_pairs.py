"""The pairs of a split by their names, in whose order they are. Many are read from a file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fcn_tf.data.pairs import Pair

END = "\0"  # of a name and of a path in a row; no name of a file has it, and no character is less


@dataclass(frozen=True, eq=False)
class NamedPairs(Mapping[str, Pair]):
    """Pairs by their names.

    Args:
        root: the folder that the paths are below.
        rows: the name, the image and the mask of each pair, as `row_of` writes them; sorted.
        chosen: the numbers of the rows that count, rising; None for all.
    """

    root: Path
    rows: Sequence[str]
    chosen: NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, root: Path, pairs: Mapping[str, Pair]) -> NamedPairs:
        """The pairs of a dict."""

        def below(path: Path) -> str:
            # A COCO file may name an image by its whole path.
            return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

        rows = (row_of(name, below(of.image), below(of.mask)) for name, of in pairs.items())
        return cls(root, sorted(rows))

    def __len__(self) -> int:
        return len(self.rows) if self.chosen is None else len(self.chosen)

    def __iter__(self) -> Iterator[str]:
        return (row.partition(END)[0] for row in self._rows())

    def __getitem__(self, name: str) -> Pair:
        return self.in_order[self.number_of(name)]

    def number_of(self, name: str) -> int:
        """The place of a name in the order.

        Raises:
            KeyError: there is no such name.
        """
        number = bisect_left(range(len(self)), name, key=self.name_at)
        if number == len(self) or self.name_at(number) != name:
            raise KeyError(name)
        return number

    def only(self, is_wanted: NDArray[np.bool_]) -> NamedPairs:
        """Some of them, bool (pairs,)."""
        numbers = np.arange(len(self.rows), dtype=np.uint32) if self.chosen is None else self.chosen
        return NamedPairs(self.root, self.rows, numbers[is_wanted])

    @property
    def in_order(self) -> Sequence[Pair]:
        """The pairs by their numbers."""
        return _InOrder(self)

    def pair_at(self, number: int) -> Pair:
        """The pair with a number, which is none from the end."""
        _, image, mask = self._row_at(number).split(END)
        return Pair(self.root / image, self.root / mask)

    def paths_in_order(self) -> Iterator[tuple[str, str]]:
        """The paths of image and mask below the root, one pair after the other."""
        for row in self._rows():
            _, image, mask = row.split(END)
            yield image, mask

    def name_at(self, number: int) -> str:
        """The name with a number, which is none from the end."""
        return self._row_at(number).partition(END)[0]

    def _row_at(self, number: int) -> str:
        return self.rows[number if self.chosen is None else int(self.chosen[number])]

    def _rows(self) -> Iterator[str]:
        if self.chosen is None:
            yield from self.rows
            return
        wanted = np.zeros(len(self.rows), np.bool_)
        wanted[self.chosen] = True
        yield from (row for row, is_wanted in zip(self.rows, wanted, strict=True) if is_wanted)


class _InOrder(Sequence[Pair]):
    def __init__(self, pairs: NamedPairs) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        numbers = range(len(self._pairs))[index]
        if isinstance(numbers, range):
            return [self._pairs.pair_at(number) for number in numbers]
        return self._pairs.pair_at(numbers)

    def __iter__(self) -> Iterator[Pair]:
        root = self._pairs.root
        for image, mask in self._pairs.paths_in_order():
            yield Pair(root / image, root / mask)


def row_of(name: str, image: str, mask: str) -> str:
    """A row of `NamedPairs`: rows are in the order of their names."""
    return f"{name}{END}{image}{END}{mask}"
