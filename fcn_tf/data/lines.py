"""Lines of text that are kept in a temporary file where they are many, and sorted in little memory.

The names of a folder's files are such lines. Up to `IN_MEMORY` of them are a list; more are read
from the file by their numbers. The file is deleted when nothing refers to it any more.
"""

from __future__ import annotations

import heapq
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, overload

import numpy as np

from fcn_tf.errors import RunError

IN_MEMORY = 50_000  # lines that are held in memory at a time
AT_ONCE = 1000  # lines that are read at a time
END_BYTES = 8  # of the place where a line ends


class LineFile:
    """Lines in a temporary file. Threads may share it."""

    def __init__(self) -> None:
        self._text = tempfile.TemporaryFile()  # noqa: SIM115 (it is open as long as it is needed)
        self._ends = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, _close, self._text, self._ends)
        self._lock = threading.Lock()
        self._count = 0
        self._size_bytes = 0

    def extend(self, lines: Iterable[str]) -> Lines:
        """Writes lines behind those that are there, and gives them.

        Raises:
            RunError: they do not fit into the folder of temporary files.
        """
        first = self._count
        lines = iter(lines)
        while some := list(islice(lines, IN_MEMORY)):
            text, sizes = encoded(some)
            ends = np.cumsum([self._size_bytes, *sizes], dtype=np.uint64)[1:]
            with self._lock:
                try:
                    _append(self._text, text)
                    _append(self._ends, ends.astype("<u8").tobytes())
                except OSError as error:
                    raise RunError(
                        f"The names of the files cannot be written to {tempfile.gettempdir()} "
                        f"({error.strerror}): free some space there, or name another folder with "
                        "the environment variable TMPDIR."
                    ) from error
            self._size_bytes = int(ends[-1])
            self._count += len(some)
        return Lines(self, range(first, self._count))

    def read(self, first: int, count: int) -> list[str]:
        """Neighbours, of which there must be so many."""
        with self._lock:
            before = min(first, 1)  # the first line of all begins at 0
            self._ends.seek(END_BYTES * (first - before))
            ends = np.frombuffer(self._ends.read(END_BYTES * (count + before)), "<u8").tolist()
            start, *ends = ends if before else [0, *ends]
            self._text.seek(start)
            text = self._text.read(ends[-1] - start)
        return decoded(text, [end - start for end in ends])


class Lines(Sequence[str]):
    """Neighbouring lines of a `LineFile`."""

    def __init__(self, file: LineFile, numbers: range) -> None:
        self._file = file
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._file.read(self._numbers[index], 1)[0]

    def __iter__(self) -> Iterator[str]:
        return self.read_in_turn(AT_ONCE)

    def read_in_turn(self, at_once: int) -> Iterator[str]:
        """The lines one after the other, of which so many are read at a time."""
        for first in range(0, len(self), at_once):
            some = self._numbers[first : first + at_once]
            yield from self._file.read(some.start, len(some))


class Kept:
    """Takes lines one after the other."""

    def __init__(self) -> None:
        self._some: list[str] = []
        self._file: LineFile | None = None
        self._written = 0

    def add(self, line: str) -> None:
        """Takes a line."""
        self._some.append(line)
        if len(self._some) > IN_MEMORY:
            self._write()

    def _write(self) -> LineFile:
        file = self._file = self._file or LineFile()
        self._written += len(file.extend(self._some))
        self._some = []
        return file

    def lines(self) -> Sequence[str]:
        """All of them, in the order in which they came; no more are taken then."""
        if self._file is None:
            return self._some
        return Lines(self._write(), range(self._written))


class Sorted:
    """Takes lines in any order, and gives them in that of their characters' code points."""

    def __init__(self) -> None:
        self._some: list[str] = []
        self._runs: list[Lines] = []
        self._file: LineFile | None = None

    def __len__(self) -> int:
        return len(self._some) + sum(map(len, self._runs))

    def add(self, line: str) -> None:
        """Takes a line."""
        self._some.append(line)
        if len(self._some) > IN_MEMORY:
            self._file = self._file or LineFile()
            self._runs.append(self._file.extend(sorted(self._some)))
            self._some = []

    def __iter__(self) -> Iterator[str]:
        self._some.sort()
        at_once = min(AT_ONCE, max(1, IN_MEMORY // (len(self._runs) + 1)))
        runs = [run.read_in_turn(at_once) for run in self._runs]
        return heapq.merge(*runs, self._some) if runs else iter(self._some)


def encoded(lines: Sequence[str]) -> tuple[bytes, list[int]]:
    """Lines one behind the other in UTF-8, and the bytes of each.

    In names of files that are no UTF-8, Python has lone surrogates: these are kept.
    """
    text = "".join(lines)
    if text.isascii():  # as most names are, and far faster
        return text.encode(), list(map(len, lines))
    each = [line.encode("utf-8", "surrogatepass") for line in lines]
    return b"".join(each), list(map(len, each))


def decoded(text: bytes, ends: Sequence[int]) -> list[str]:
    """The lines that were `encoded`, by the place where each ends."""
    places = list(zip([0, *ends], ends, strict=False))
    if text.isascii():
        of_ascii = text.decode()
        return [of_ascii[start:end] for start, end in places]
    return [text[start:end].decode("utf-8", "surrogatepass") for start, end in places]


def _append(file: IO[bytes], data: bytes) -> None:
    file.seek(0, 2)
    file.write(data)
    file.flush()


def _close(*files: IO[bytes]) -> None:
    for file in files:
        file.close()
