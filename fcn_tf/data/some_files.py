"""Some of a folder's files, from which its layout is found where it has very many.

An image is taken with its mask: both have the numbers in common that tell images apart.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator

from fcn_tf.data.patterns import SUFFIXES
from fcn_tf.data.templates import split_suffix
from fcn_tf.data.tree import Tree

MANY = 100_000  # files, above which some of them are looked at
ABOUT = 10_000  # files that are looked at then
SAMPLED = 5000  # names from which it is learned what many have in common
COMMON = 0.05  # of the names; a part that so many have tells no image from another
PART = re.compile(r"\d+|[^\W\d_]+")


def some_of(tree: Tree) -> Tree | None:
    """About `ABOUT` of the image files; None where there are not many, so that all are to be taken.

    Which ones are taken depends on their names alone.
    """
    size = sum(map(len, tree.folders.values()))
    if size <= MANY:
        return None
    names = [_parts(name) for name in _spread(tree, -(-size // SAMPLED))]
    counts = Counter(part for parts in names for part in set(parts))
    common = {part for part, count in counts.items() if count >= COMMON * len(names)}
    share = size // ABOUT
    some = Tree(tree.root, broken_links=tree.broken_links, hidden=tree.hidden)
    taken: list[str] = []
    of_folder = None
    for folder, name in tree.files(tuple(SUFFIXES)):
        if zlib.crc32(_own_part(folder, name, common).encode("utf-8", "replace")) % share:
            continue
        if folder != of_folder:
            taken, of_folder = [], folder
            some.folders[folder] = taken
        taken.append(name)
    return some


def _spread(tree: Tree, step: int) -> Iterator[str]:
    """The name of each `step`-th file."""
    first = 0
    for names in tree.folders.values():
        yield from (names[number] for number in range(first, len(names), step))
        first = (first - len(names)) % step


def _parts(name: str) -> list[str]:
    """The numbers and the words in a name."""
    return PART.findall(split_suffix(name)[0])


def _own_part(folder: str, name: str, common: set[str]) -> str:
    """What an image and its mask have in common, and few others have.

    Its numbers, or else its words, or else its folder, where each image has one of its own.
    """
    parts = [part for part in _parts(name) if part not in common]
    numbers = [part for part in parts if part.isdecimal()]
    return " ".join(numbers or parts) or folder.rpartition("/")[2]
