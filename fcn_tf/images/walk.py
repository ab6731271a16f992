"""The files below a folder, and the account of those that are passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHOWN_KINDS = 8  # the others are added up


@dataclass
class Skipped:
    """What is passed over; `str` gives the line that says so.

    Args:
        files: those of each kind: ".mp4", "hidden".
        folders: those that are not walked, each with the reason.
    """

    files: dict[str, set[Path]] = field(default_factory=dict)
    folders: dict[Path, str] = field(default_factory=dict)

    def add(self, kind: str, path: Path) -> None:
        """Notes a file; the same file counts once."""
        self.files.setdefault(kind, set()).add(path)

    def __ior__(self, other: Skipped) -> Skipped:
        for kind, paths in other.files.items():
            self.files.setdefault(kind, set()).update(paths)
        self.folders |= other.folders
        return self

    def __bool__(self) -> bool:
        return bool(self.files or self.folders)

    def __str__(self) -> str:
        by_kind = {kind: len(paths) for kind, paths in self.files.items()}
        kinds = sorted(by_kind, key=lambda kind: (-by_kind[kind], kind))
        shown = [f"{by_kind[kind]} {kind}" for kind in kinds[:SHOWN_KINDS]]
        if rest := kinds[SHOWN_KINDS:]:
            shown.append(f"{sum(by_kind[kind] for kind in rest)} of {len(rest)} other kinds")
        parts = []
        if shown:
            count = sum(by_kind.values())
            parts.append(f"{count} {'file' if count == 1 else 'files'} ({', '.join(shown)})")
        parts += [f"the folder {path} ({why})" for path, why in sorted(self.folders.items())]
        return ", ".join(parts)


def files_below(folder: Path, skipped: Skipped) -> Iterator[Path]:
    """Every file below a folder, in folders that links lead to as well; each folder is read once.

    Args:
        folder: without links in its path.
        skipped: gets the folders that cannot be read, and the links that lead in a circle.
    """

    def unreadable(error: OSError) -> None:
        skipped.folders[Path(error.filename)] = error.strerror or str(error)

    read: set[str] = set()  # folders without links in their paths
    waiting = [str(folder)]  # links come behind the folders that are there without them
    while waiting:
        start = waiting.pop(0)
        if os.path.realpath(start) in read:
            continue
        for parent, children, files in os.walk(start, onerror=unreadable):
            here = os.path.realpath(parent)
            read.add(here)
            yield from (Path(parent, file) for file in files)
            links = sorted(c for c in children if os.path.islink(os.path.join(parent, c)))
            for link in (os.path.join(parent, name) for name in links):
                if _is_within(here, os.path.realpath(link)):
                    skipped.folders[Path(link)] = "a link to a folder that it is in"
                else:
                    waiting.append(link)
            children[:] = [
                c for c in children if c not in links and os.path.join(here, c) not in read
            ]


def _is_within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder
