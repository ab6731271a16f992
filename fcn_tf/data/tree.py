"""The files below a folder, found by one walk."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fcn_tf.data import lines
from fcn_tf.data.lines import LineFile, Sorted
from fcn_tf.errors import InputError

# What operating systems, editors and this package leave among people's files.
CACHES = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "lost+found"})


@dataclass(frozen=True)
class Tree:
    """The files below a folder.

    Hidden files, and caches of operating systems, are not in it.

    Args:
        root: the folder.
        folders: the names of the files in each folder, sorted. The folder's key is its path below
            the root with slashes, "" for the root itself. Where all folders together have many
            files, their names are read from a temporary file.
        broken_links: links to files that are not there, as paths below the root.
        hidden: the number of hidden files.
    """

    root: Path
    folders: dict[str, Sequence[str]] = field(default_factory=dict)
    broken_links: set[str] = field(default_factory=set)
    hidden: Counter[str] = field(default_factory=Counter)

    def files(self, suffixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """The folder and the name of each file with one of the suffixes."""
        wanted = frozenset(suffixes)
        for folder, names in self.folders.items():
            for name in names:
                if name[name.rfind(".") :].lower() in wanted:
                    yield folder, name


def walk(root: Path) -> Tree:
    """Finds the files below a folder. Links are followed, but not in circles.

    Args:
        root: the folder.

    Raises:
        InputError: a folder cannot be read.
    """
    tree = Tree(root)
    pending: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    keep = _Names()
    while pending:
        folder, above = pending.pop()
        names = Sorted()
        for entry in _entries(root, folder):
            path = join(folder, entry.name)
            if entry.name in CACHES or entry.name.startswith("."):
                tree.hidden[_suffix(entry.name)] += 1
            elif _is_folder(entry):
                # Only a link can lead back up.
                real = os.path.realpath(entry.path) if entry.is_symlink() else ""
                if real not in above:
                    pending.append((path, (*above, real or os.path.join(above[-1], entry.name))))
            else:
                names.add(entry.name)
                if entry.is_symlink() and not os.path.exists(entry.path):
                    tree.broken_links.add(path)
        if len(names):
            tree.folders[folder] = keep.of_folder(names)
    tree.folders.update({folder: tree.folders.pop(folder) for folder in sorted(tree.folders)})
    return tree


class _Names:
    """The names of files: in memory at first, and in one file where they become many."""

    def __init__(self) -> None:
        self._in_memory = 0
        self._file: LineFile | None = None

    def of_folder(self, names: Sorted) -> Sequence[str]:
        """The names of a folder's files, in order."""
        if self._in_memory + len(names) <= lines.IN_MEMORY:
            self._in_memory += len(names)
            return list(names)
        self._file = self._file or LineFile()
        return self._file.extend(names)


def _entries(root: Path, folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            yield from entries
    except OSError as error:
        raise InputError(f"{root / folder} cannot be read: {error.strerror}.") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def join(folder: str, name: str) -> str:
    """The path of a file, below the root that the folder's path is below."""
    return f"{folder}/{name}" if folder else name


def folded(name: str) -> str:
    """A name in small letters and in one Unicode form, in which macOS has others than Linux."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
