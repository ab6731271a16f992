"""The pairs of images and masks in a folder whose layout is known."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fcn_tf.counted import counted
from fcn_tf.data.pairs import Pair, Problem
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

PairsByName = dict[str, Pair]  # of a split, sorted by name
Key = tuple[str, str]  # split and name
Report = Callable[[Path, str, str], None]  # a file, what is wrong with it, what to do


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Args:
        splits: the pairs of each split by name, sorted; of `NO_SPLIT` where paths say none.
        unlabelled: the images without a mask in each split, as paths below the root.
        alike: the number of pairs whose names differ in letter case or Unicode form.
        unused: the number of image files in each folder that the layout has no place for.
    """

    splits: dict[str, PairsByName] = field(default_factory=dict)
    unlabelled: dict[str, list[str]] = field(default_factory=dict)
    alike: int = 0
    unused: Counter[str] = field(default_factory=Counter)

    @property
    def num_pairs(self) -> int:
        """The number of pairs in all splits."""
        return sum(map(len, self.splits.values()))


def list_pairs(tree: Tree, layout: Layout, problems: list[Problem] | None = None) -> Listing:
    """The pairs of a folder. An image without a mask is no fault: part of a folder is labelled.

    Args:
        tree: the files of the folder.
        layout: where images and masks lie.
        problems: takes a `Problem` for each faulty file, in place of an error.

    Raises:
        InputError: two files of one name, a mask without an image, or a link to a file that is
            not there.
    """
    faults: list[tuple[Path, str, str]] = []

    def report(path: Path, text: str, remedy: str) -> None:
        faults.append((path, text, remedy))

    unused: Counter[str] = Counter()
    images, masks, split_of = _files(tree, layout, unused, report)
    pairs = {key: (images[key], masks[key]) for key in images.keys() & masks.keys()}
    exact = len(pairs)
    pairs |= _alike(images, masks)
    of_images = {image for image, _ in pairs.values()}
    of_masks = {mask for _, mask in pairs.values()}
    unlabelled: dict[str, list[str]] = {}
    for key in sorted(key for key, path in images.items() if path not in of_images):
        unlabelled.setdefault(split_of[images[key]] or NO_SPLIT, []).append(images[key])
    alone = sorted(path for path in masks.values() if path not in of_masks)
    _report_alone(tree, alone, unlabelled, report)
    _raise_or_keep(faults, problems)
    splits: dict[str, PairsByName] = {}
    for key in sorted(pairs, key=lambda key: key[1]):
        image, mask = pairs[key]
        if image in tree.broken_links or mask in tree.broken_links:
            continue
        split = split_of[image] or split_of[mask] or NO_SPLIT
        splits.setdefault(split, {})[key[1]] = Pair(tree.root / image, tree.root / mask)
    return Listing(splits, unlabelled, len(pairs) - exact, unused)


def _files(
    tree: Tree, layout: Layout, unused: Counter[str], report: Report
) -> tuple[dict[Key, str], dict[Key, str], dict[str, str | None]]:
    """The images and the masks by split and name, and the split that the path of each says."""
    both_split = layout.images.has_split and layout.masks.has_split
    images: dict[Key, str] = {}
    masks: dict[Key, str] = {}
    split_of: dict[str, str | None] = {}
    for folder, file in tree.files(ALL):
        path = join(folder, file)
        found = place_of(path, layout)
        if found is None:
            unused[folder] += 1
            continue
        if path in tree.broken_links:
            target = os.readlink(tree.root / path)
            remedy = "restore the file, or remove the link"
            report(tree.root / path, f"a link to {shown_name(target)}, which is not there", remedy)
        is_mask, place = found
        files = masks if is_mask else images
        key = (place.split or "") if both_split else "", place.name
        if key in files:
            text = f"has the same name as {shown_name(files[key])}"
            report(tree.root / path, text, "keep one of them")
        else:
            files[key] = path
            split_of[path] = place.split
    return images, masks, split_of


def place_of(path: str, layout: Layout) -> tuple[bool, Place] | None:
    """Whether a file is a mask of a layout, and what its path says; None for no place in it.

    A file that fits both patterns belongs to the one that gives more of the path.
    """
    stem, suffix = os.path.splitext(path)
    suffix = suffix.lower()
    sides = [(True, layout.masks, MASK_SUFFIXES), (False, layout.images, IMAGE_SUFFIXES)]
    if layout.images.literal_length > layout.masks.literal_length:
        sides.reverse()
    for is_mask, pattern, suffixes in sides:
        place = pattern.place(stem, suffix) if suffix in suffixes else None
        if place is not None:
            return is_mask, Place(place.split, plain(place.name))
    return None


def plain(name: str) -> str:
    """A name without a suffix of its own: the mask of a.jpg may be called a.jpg.png."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _alike(images: dict[Key, str], masks: dict[Key, str]) -> dict[Key, tuple[str, str]]:
    """Pairs of the names that differ in letter case or Unicode form, where only one is meant."""

    def by_fold(alone: Iterator[Key]) -> dict[Key, Key | None]:
        keys: dict[Key, Key | None] = {}
        for key in alone:
            alike = key[0], folded(key[1])
            keys[alike] = None if alike in keys else key
        return keys

    of_masks = by_fold(key for key in masks if key not in images)
    if not of_masks:
        return {}
    of_images = by_fold(key for key in images if key not in masks)
    return {
        image: (images[image], masks[mask])
        for alike, image in of_images.items()
        if image is not None and (mask := of_masks.get(alike)) is not None
    }


def _report_alone(
    tree: Tree, alone: list[str], unlabelled: dict[str, list[str]], report: Report
) -> None:
    """Reports the masks without an image, each with the image whose name is nearest."""
    candidates = [path for paths in unlabelled.values() for path in paths][:NEAREST]
    for number, mask in enumerate(alone):
        near: list[str] = []
        if number < NEAREST_SHOWN:  # the others are like these
            near = difflib.get_close_matches(mask, candidates, 1, cutoff=0.5)
        hint = "".join(f"; the nearest image without a mask is {shown_name(n)}" for n in near)
        remedy = "add the image or rename the mask, or move the mask out of the way"
        report(tree.root / mask, f"mask without a partner: no image has its name{hint}", remedy)


def _raise_or_keep(faults: list[tuple[Path, str, str]], problems: list[Problem] | None) -> None:
    if problems is not None:
        problems += [(path, text) for path, text, _ in faults]
    elif faults:
        path, text, remedy = faults[0]
        others = len(faults) - 1
        have = counted(others, "more file{} " + ("has" if others == 1 else "have"))
        more = f" ({have} faults.)" if others else ""
        raise InputError(f"{shown_name(path)}: {text}: {remedy}.{more}")
