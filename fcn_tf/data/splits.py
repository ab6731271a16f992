"""Which pair of a folder is in train, val or test."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from itertools import chain, count
from pathlib import Path

import numpy as np

from fcn_tf.counted import counted
from fcn_tf.data.listing import NO_SPLIT, Listing
from fcn_tf.data.named_pairs import NamedPairs
from fcn_tf.data.patterns import SUFFIXES, Layout
from fcn_tf.data.tree import Tree
from fcn_tf.data.words import SPLIT_WORDS, split_words
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines, shown_name

SPLITS = ("train", "val", "test")
# Where lists of the splits lie. The first folder that has some is taken.
LIST_FOLDERS = ("ImageSets/Segmentation", "ImageSets", "splits", "split", "lists", "list", "")
LIST_SUFFIXES = (".txt", ".lst")
LIST_WORDS = frozenset(
    ("list", "lists", "file", "files", "name", "names", "id", "ids", "image", "images", "set")
)


def find_splits(
    tree: Tree, layout: Layout, listing: Listing, validation_fraction: float
) -> tuple[dict[str, NamedPairs], list[str]]:
    """The splits of a folder: by its folders, by lists, or by a hash of the names.

    Args:
        tree: the files of the folder.
        layout: of the folder.
        listing: its pairs, at least one.
        validation_fraction: share of val where a hash decides, above 0 and below 1.

    Returns:
        the pairs of each split by name, and what there is to say of how they were found.

    Raises:
        InputError: there is no train; a list names an image that is not there, or that is in
            another list too; there is one pair alone to be divided into train and val.
    """
    notes: list[str] = []
    found = dict(listing.splits)
    if NO_SPLIT in found:
        found = listed_splits(tree, layout, listing, notes)
    if not found.get("train"):
        have = " and ".join(split for split in SPLITS if found.get(split))
        raise InputError(
            f"{tree.root} has no images with masks in split train, only in {have}: add some, or "
            'name a layout without SPLIT, --data.layout "images/* + masks/*" for instance.'
        )
    if "val" not in found:
        found |= hashed_splits(found["train"], validation_fraction)
        notes.append(
            f"There is no val: a hash of the names takes {len(found['val'])} of "
            f"{len(found['train']) + len(found['val'])} pairs of train (data.validation_fraction "
            f"{validation_fraction})."
        )
    if not found["val"]:
        raise InputError(f"{tree.root} has no images in split val, whose list names none.")
    return {split: found[split] for split in SPLITS if found.get(split)}, notes


def listed_splits(
    tree: Tree, layout: Layout, listing: Listing, notes: list[str]
) -> dict[str, NamedPairs]:
    """The splits that lists name. What is in no list becomes train where train has no list.

    Args:
        tree, layout, listing: as above, of a layout without SPLIT.
        notes: takes what there is to say.

    Raises:
        InputError: as above.
    """
    pairs = listing.splits[NO_SPLIT]
    split_of: dict[int, str] = {}
    lists = find_lists(tree, layout)
    if not lists:
        return {"train": pairs}
    index = _index(listing)
    for split, path in lists:
        for line in read_lines(path):
            number = _resolved(line, index, path)
            if number < 0:  # an image without a mask
                continue
            if (other := split_of.setdefault(number, split)) != split:
                name = pairs.name_at(number)
                raise InputError(f"{path} lists {name}, which is in {other} too.")
    # A list without a name is a split without an image.
    is_in = {split: np.zeros(len(pairs), np.bool_) for split, _ in lists}
    for number, split in split_of.items():
        is_in[split][number] = True
    notes.append(f"Splits: {', '.join(str(path) for _, path in lists)}.")
    rest = ~np.any(list(is_in.values()), axis=0)
    if "train" not in is_in:
        is_in["train"] = rest
    elif rest.any():
        notes.append(f"Left out: {counted(int(rest.sum()), 'image{}')} in no list.")
    return {split: pairs.only(chosen) for split, chosen in is_in.items()}


def find_lists(tree: Tree, layout: Layout) -> list[tuple[str, Path]]:
    """The files that list the images of a split, in the first folder that has some."""
    for folder in LIST_FOLDERS:
        for base in dict.fromkeys(("", layout.base)):
            place = "/".join(filter(None, (base, folder)))
            lists = [
                (split, tree.root / place / name)
                for name in tree.folders.get(place, ())
                if (split := _split_of_list(name))
            ]
            if lists:
                return lists
    return []


def _split_of_list(name: str) -> str | None:
    """The split whose images a file lists by its name: "train.txt", "val_list.txt", or None."""
    stem, suffix = os.path.splitext(name)
    words = {word for word, _, _ in split_words(stem)} - LIST_WORDS
    word = words.pop() if len(words) == 1 else ""
    # trainval.txt lists what train.txt and val.txt list.
    known = suffix.lower() in LIST_SUFFIXES and word != "trainval"
    return SPLIT_WORDS.get(word) if known else None


def _index(listing: Listing) -> dict[str, int | None]:
    """The numbers of the pairs by all that a list may call them; None where several are meant.

    The number of an image without a mask is below 0.
    """
    index: dict[str, int | None] = {}
    short: dict[str, int | None] = {}
    pairs = listing.splits[NO_SPLIT]
    paths = (image for image, _ in pairs.paths_in_order())
    of_pairs = zip(pairs, paths, strict=True)
    unlabelled = ((f"\0{path}", path) for path in listing.unlabelled.get(NO_SPLIT, ()))
    numbered = chain(enumerate(of_pairs), zip(count(-1, -1), unlabelled, strict=False))
    for number, (name, path) in numbered:
        stem = _normal(os.path.splitext(path)[0])
        index[stem] = number
        index[_normal(name)] = number
        for last in {stem.rpartition("/")[2], _normal(name).rpartition("/")[2]}:
            short[last] = number if short.setdefault(last, number) == number else None
    return short | index


def _resolved(line: str, index: dict[str, int | None], path: Path) -> int:
    """The number of the image that a line of a list means.

    A line is a name, a path, or the paths of image and mask; a path may begin anywhere.
    """
    for text in (line, line.split(",")[0], line.split()[0]):
        stem, suffix = os.path.splitext(text.strip("\"' "))
        parts = _normal(stem if suffix.lower() in SUFFIXES else stem + suffix).split("/")
        for start in range(len(parts)):
            tail = "/".join(parts[start:])
            if tail not in index:
                continue
            number = index[tail]
            if number is None:
                raise InputError(f"{path} lists {line}: several images are called {tail}.")
            return number
    raise InputError(f"{path} lists {shown_name(line)}, of which there is no image with a mask.")


def _normal(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/"))


def hashed_splits(pairs: NamedPairs, validation_fraction: float) -> dict[str, NamedPairs]:
    """train and val by a hash of the name: an image stays in its split when others are added.

    Args:
        pairs: at least two.
        validation_fraction: share of val, above 0 and below 1; each split gets at least one.

    Raises:
        InputError: there is one pair alone.
    """
    if len(pairs) < 2:
        raise InputError(f"{pairs.in_order[0].image} is alone: train and val need an image each.")

    def share(name: str) -> float:
        digest = hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", name))).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    shares = np.fromiter(map(share, pairs), np.float64, len(pairs))
    size = int(np.count_nonzero(shares < validation_fraction))
    size = min(max(size, 1), len(pairs) - 1)
    is_val = np.zeros(len(pairs), np.bool_)
    is_val[np.argsort(shares, kind="stable")[:size]] = True
    return {"train": pairs.only(~is_val), "val": pairs.only(is_val)}
