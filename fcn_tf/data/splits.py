"""Which pair of a folder is in train, val or test."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

from fcn_tf.counted import counted
from fcn_tf.data.listing import NO_SPLIT, Listing, PairsByName
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
) -> tuple[dict[str, PairsByName], list[str]]:
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
) -> dict[str, PairsByName]:
    """The splits that lists name. What is in no list becomes train where train has no list.

    Args:
        tree, layout, listing: as above, of a layout without SPLIT.
        notes: takes what there is to say.

    Raises:
        InputError: as above.
    """
    pairs = listing.splits[NO_SPLIT]
    splits: dict[str, PairsByName] = {}
    split_of: dict[str, str] = {}
    lists = find_lists(tree, layout)
    index = _index(tree, listing) if lists else {}
    for split, path in lists:
        splits.setdefault(split, {})  # a list without a name is a split without an image
        for line in read_lines(path):
            name = _resolved(line, index, path)
            if name not in pairs:  # an image without a mask
                continue
            if split_of.setdefault(name, split) != split:
                raise InputError(f"{path} lists {name}, which is in {split_of[name]} too.")
    for name in sorted(split_of):
        splits[split_of[name]][name] = pairs[name]
    if lists:
        notes.append(f"Splits: {', '.join(str(path) for _, path in lists)}.")
    rest = {name: pair for name, pair in pairs.items() if name not in split_of}
    if "train" not in splits:
        splits["train"] = rest
    elif rest:
        notes.append(f"Left out: {counted(len(rest), 'image{}')} in no list.")
    return splits


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


def _index(tree: Tree, listing: Listing) -> dict[str, str | None]:
    """The names of the images by all that a list may call them; None where several are meant."""
    index: dict[str, str | None] = {}
    short: dict[str, str | None] = {}
    images = {
        name: os.path.relpath(pair.image, tree.root)
        for name, pair in listing.splits[NO_SPLIT].items()
    }
    images |= {f"\0{path}": path for path in listing.unlabelled.get(NO_SPLIT, ())}
    for name, path in images.items():
        stem = _normal(os.path.splitext(path)[0])
        index[stem] = name
        index[_normal(name)] = name
        for last in {stem.rpartition("/")[2], _normal(name).rpartition("/")[2]}:
            short[last] = name if short.setdefault(last, name) == name else None
    return short | index


def _resolved(line: str, index: dict[str, str | None], path: Path) -> str:
    """The name of the image that a line of a list means.

    A line is a name, a path, or the paths of image and mask; a path may begin anywhere.
    """
    for text in (line, line.split(",")[0], line.split()[0]):
        stem, suffix = os.path.splitext(text.strip("\"' "))
        parts = _normal(stem if suffix.lower() in SUFFIXES else stem + suffix).split("/")
        for start in range(len(parts)):
            name = index.get(tail := "/".join(parts[start:]), "")
            if name is None:
                raise InputError(f"{path} lists {line}: several images are called {tail}.")
            if name:
                return name
    raise InputError(f"{path} lists {shown_name(line)}, of which there is no image with a mask.")


def _normal(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/"))


def hashed_splits(pairs: PairsByName, validation_fraction: float) -> dict[str, PairsByName]:
    """train and val by a hash of the name: an image stays in its split when others are added.

    Args:
        pairs: at least two.
        validation_fraction: share of val, above 0 and below 1; each split gets at least one.

    Raises:
        InputError: there is one pair alone.
    """
    if len(pairs) < 2:
        raise InputError(
            f"{next(iter(pairs.values())).image} is alone: train and val need an image each."
        )

    def share(name: str) -> float:
        digest = hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", name))).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    size = sum(share(name) < validation_fraction for name in pairs)
    size = min(max(size, 1), len(pairs) - 1)
    val = set(sorted(pairs, key=share)[:size])
    return {
        "train": {name: pair for name, pair in pairs.items() if name not in val},
        "val": {name: pair for name, pair in pairs.items() if name in val},
    }
