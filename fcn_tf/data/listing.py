"""The pairs of images and masks in a folder whose layout is known."""

from __future__ import annotations

import difflib
import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from fcn_tf.counted import counted
from fcn_tf.data.lines import Kept, Sorted
from fcn_tf.data.named_pairs import END, NamedPairs, row_of
from fcn_tf.data.pairs import Problem
from fcn_tf.data.patterns import SUFFIXES, Layout, Place
from fcn_tf.data.tree import Tree, folded, join
from fcn_tf.errors import InputError
from fcn_tf.files import shown_name
from fcn_tf.images.formats import IMAGE_SUFFIXES
from fcn_tf.images.mask_pixels import MASK_SUFFIXES

# The split where the paths say none.
NO_SPLIT = ""
ALL = tuple(SUFFIXES)
NEAREST = 2000  # names that are compared with that of a mask without an image
NEAREST_SHOWN = 10  # masks for which they are

Fault = tuple[Path, str, str]  # a file, what is wrong with it, what to do
Report = Callable[[Path, str, str], None]  # takes a `Fault`


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Args:
        splits: the pairs of each split by name; of `NO_SPLIT` where paths say none.
        unlabelled: the images without a mask in each split, as paths below the root.
        alike: the number of pairs whose names differ in letter case or Unicode form.
        unused: the number of image files in each folder that the layout has no place for.
    """

    splits: dict[str, NamedPairs] = field(default_factory=dict)
    unlabelled: Mapping[str, Sequence[str]] = field(default_factory=dict)
    alike: int = 0
    unused: Counter[str] = field(default_factory=Counter)

    @property
    def num_pairs(self) -> int:
        """The number of pairs in all splits."""
        return sum(map(len, self.splits.values()))


class Files(NamedTuple):
    """The image and the mask that have one name in common, as far as they are there.

    Args:
        key_split: the split, where both paths say one; "" otherwise.
        name: what they have in common.
        image, mask: the path and the split that it says, or None.
    """

    key_split: str
    name: str
    image: tuple[str, str] | None
    mask: tuple[str, str] | None


def list_pairs(tree: Tree, layout: Layout, problems: list[Problem] | None = None) -> Listing:
    """The pairs of a folder. An image without a mask is no fault: part of a folder is labelled.

    Args:
        tree: the files of the folder.
        layout: where images and masks lie.
        problems: takes a `Problem` for each faulty file, in place of an error.

    Raises:
        InputError: two files of one name, a mask without an image, or a link to a file that is
            not there.
        RunError: there are so many files that their names do not fit on the disk.
    """
    numbered: list[tuple[int, Fault]] = []
    unused: Counter[str] = Counter()
    files = _files(tree, layout, unused, numbered)
    pairs, alone = _Pairs(tree), _Alone()
    for found in _by_name(tree, files, numbered):
        if found.image and found.mask:
            pairs.add(found)
        else:
            alone.add(found)
    pairs.add_later(alone.take_alike())
    faults = [fault for _, fault in sorted(numbered, key=lambda item: item[0])]
    unlabelled = alone.images()
    _report_alone(tree, sorted(alone.masks), unlabelled, lambda *fault: faults.append(fault))
    _raise_or_keep(faults, problems)
    return Listing(pairs.by_split(), unlabelled, pairs.later, unused)


def _files(
    tree: Tree, layout: Layout, unused: Counter[str], faults: list[tuple[int, Fault]]
) -> Sorted:
    """The images and the masks, in lines that begin with what the two of a pair have in common.

    Args:
        tree, layout: as above.
        unused: takes the number of image files in each folder that the layout has no place for.
        faults: takes the links to files that are not there, each with the number of the file.
    """
    both_split = layout.images.has_split and layout.masks.has_split
    files, number = Sorted(), 0
    place_in, of_folder = places_in("", layout), ""
    for folder, file in tree.files(ALL):
        number += 1
        if folder != of_folder:
            place_in, of_folder = places_in(folder, layout), folder
        found = place_in(file)
        if found is None:
            unused[folder] += 1
            continue
        path = join(folder, file)
        if path in tree.broken_links:
            target = os.readlink(tree.root / path)
            text = f"a link to {shown_name(target)}, which is not there"
            remedy = "restore the file, or remove the link"
            faults.append((number, (tree.root / path, text, remedy)))
        is_mask, (split, name) = found
        split = split or ""
        key_split = split if both_split else ""
        files.add(f"{name}{END}{key_split}{END}{is_mask:d}{number:015d}{END}{split}{END}{path}")
    return files


def _by_name(tree: Tree, files: Iterable[str], faults: list[tuple[int, Fault]]) -> Iterator[Files]:
    """The files of each name, in the order of the names.

    Of several images, or masks, of one name the first that the walk met is taken, and `faults`
    takes the others.
    """
    key: tuple[str, str] | None = None
    sides: list[tuple[str, str] | None] = [None, None]
    for line in files:
        name, key_split, place, split, path = line.split(END)
        if (name, key_split) != key:
            if key is not None:
                yield Files(key[1], key[0], *sides)
            key, sides = (name, key_split), [None, None]
        side = int(place[0])
        first = sides[side]
        if first is None:
            sides[side] = path, split
        else:
            text = f"has the same name as {shown_name(first[0])}"
            faults.append((int(place[1:]), (tree.root / path, text, "keep one of them")))
    if key is not None:
        yield Files(key[1], key[0], *sides)


class _Pairs:
    """Takes pairs in the order of their names."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._rows: dict[str, Kept] = defaultdict(Kept)
        self._later: dict[str, Sorted] = defaultdict(Sorted)
        self.later = 0

    def add(self, found: Files) -> None:
        """Takes a pair, unless one of its files is a link to nothing."""
        if row := self._row(found):
            self._rows[row[0]].add(row[1])

    def add_later(self, pairs: Iterable[Files]) -> None:
        """Takes pairs in any order, after all others."""
        for found in pairs:
            self.later += 1
            if row := self._row(found):
                self._later[row[0]].add(row[1])

    def _row(self, found: Files) -> tuple[str, str] | None:
        """The split and the row of a pair."""
        assert found.image
        assert found.mask
        (image, of_image), (mask, of_mask) = found.image, found.mask
        links = self._tree.broken_links
        if links and (image in links or mask in links):
            return None
        return of_image or of_mask or NO_SPLIT, row_of(found.name, image, mask)

    def by_split(self) -> dict[str, NamedPairs]:
        """The pairs of each split."""
        for split, later in self._later.items():
            both = Kept()
            for row in heapq.merge(self._rows[split].lines(), later):
                both.add(row)
            self._rows[split] = both
        return {split: NamedPairs(self._tree.root, of.lines()) for split, of in self._rows.items()}


class _Alone:
    """Takes images and masks without a partner, in the order of their names."""

    def __init__(self) -> None:
        self._images = Kept()
        self._masks: list[Files] = []
        self._paired: set[str] = set()

    @property
    def masks(self) -> list[str]:
        """The paths of the masks; without those that a partner was found for."""
        return [found.mask[0] for found in self._masks if found.mask]

    def add(self, found: Files) -> None:
        """Takes a file."""
        if found.image:
            self._images.add(END.join((found.key_split, found.name, *found.image)))
        else:
            self._masks.append(found)

    def _each_image(self) -> Iterator[Files]:
        for line in self._images.lines():
            key_split, name, path, split = line.split(END)
            yield Files(key_split, name, (path, split), None)

    def take_alike(self) -> list[Files]:
        """Pairs of the names that differ in letter case or Unicode form, where one is meant."""
        masks = _by_folded_name(self._masks)
        if not masks:
            return []
        images = _by_folded_name(
            found for found in self._each_image() if _folded_key(found) in masks
        )
        pairs = []
        for key, image in images.items():
            mask = masks[key]
            if image and mask:
                pairs.append(Files(image.key_split, image.name, image.image, mask.mask))
        used = {id(masks[_folded_key(pair)]) for pair in pairs}
        self._masks = [mask for mask in self._masks if id(mask) not in used]
        self._paired = {pair.image[0] for pair in pairs if pair.image}
        return pairs

    def images(self) -> dict[str, Sequence[str]]:
        """The paths of the images of each split; without those that a partner was found for."""
        by_split: dict[tuple[str, str], Kept] = defaultdict(Kept)
        for found in self._each_image():
            assert found.image
            path, split = found.image
            if path not in self._paired:
                by_split[found.key_split, split or NO_SPLIT].add(path)
        in_order = sorted(by_split.items(), key=lambda item: item[0][0])
        return {split: paths.lines() for (_, split), paths in in_order}


def _folded_key(found: Files) -> tuple[str, str]:
    return found.key_split, folded(found.name)


def _by_folded_name(files: Iterable[Files]) -> dict[tuple[str, str], Files | None]:
    """Files by their folded names; None where several have one."""
    by_name: dict[tuple[str, str], Files | None] = {}
    for found in files:
        key = _folded_key(found)
        by_name[key] = None if key in by_name else found
    return by_name


def places_in(folder: str, layout: Layout) -> Callable[[str], tuple[bool, Place] | None]:
    """Says of the files in a folder whether they are masks, and what their paths say.

    A file that fits both patterns belongs to the one that gives more of the path. None stands for
    no place in the layout.
    """
    sides = [(True, layout.masks, MASK_SUFFIXES), (False, layout.images, IMAGE_SUFFIXES)]
    if layout.images.literal_length > layout.masks.literal_length:
        sides.reverse()
    patterns = [
        (is_mask, of.in_folder(folder), frozenset(suffixes)) for is_mask, of, suffixes in sides
    ]

    def place_in(name: str) -> tuple[bool, Place] | None:
        stem, dot, suffix = name.rpartition(".")
        suffix = dot + suffix.lower()
        for is_mask, place_of, suffixes in patterns:
            place = place_of(stem, suffix) if suffix in suffixes else None
            if place is not None:
                return is_mask, Place(place.split, plain(place.name))
        return None

    return place_in


def plain(name: str) -> str:
    """A name without a suffix of its own: the mask of a.jpg may be called a.jpg.png."""
    if "." not in name:
        return name
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _report_alone(
    tree: Tree, alone: list[str], unlabelled: Mapping[str, Sequence[str]], report: Report
) -> None:
    """Reports the masks without an image, each with the image whose name is nearest."""
    if not alone:
        return
    candidates = list(islice(chain.from_iterable(unlabelled.values()), NEAREST))
    for number, mask in enumerate(alone):
        near: list[str] = []
        if number < NEAREST_SHOWN:  # the others are like these
            near = difflib.get_close_matches(mask, candidates, 1, cutoff=0.5)
        hint = "".join(f"; the nearest image without a mask is {shown_name(n)}" for n in near)
        remedy = "add the image or rename the mask, or move the mask out of the way"
        report(tree.root / mask, f"mask without a partner: no image has its name{hint}", remedy)


def _raise_or_keep(faults: list[Fault], problems: list[Problem] | None) -> None:
    if problems is not None:
        problems += [(path, text) for path, text, _ in faults]
    elif faults:
        path, text, remedy = faults[0]
        others = len(faults) - 1
        have = counted(others, "more file{} " + ("has" if others == 1 else "have"))
        more = f" ({have} faults.)" if others else ""
        raise InputError(f"{shown_name(path)}: {text}: {remedy}.{more}")
