"""Folders whose masks are outlines in JSON: which image belongs to which outlines."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fcn_tf.data.coco import CocoFile, draw_coco, is_coco, read_coco
from fcn_tf.data.drawn import Meaning, class_names_of, read_json
from fcn_tf.data.labelme import draw_labelme, is_labelme, names_in
from fcn_tf.data.listing import NO_SPLIT, Listing
from fcn_tf.data.named_pairs import NamedPairs
from fcn_tf.data.pairs import Pair
from fcn_tf.data.tree import Tree, join
from fcn_tf.data.words import SPLIT_WORDS, split_words
from fcn_tf.errors import InputError
from fcn_tf.files import shown_name
from fcn_tf.images.formats import IMAGE_SUFFIXES
from fcn_tf.images.read import read_header

LABELME, COCO = "labelme", "coco"
ORIGINS = {LABELME: "labelme's JSON", COCO: "COCO's JSON"}


@dataclass(frozen=True)
class DrawnPairs:
    """The pairs of a folder whose masks are outlines.

    Args:
        kind: `LABELME` or `COCO`.
        listing: the pairs. The mask of a `Pair` is the JSON file of the image, or for COCO the name
            of the image below the JSON file.
        class_names: gives the classes where no class file names them.
        draw: draws the mask of a pair, uint8 (H, W) with labels and VOID.
    """

    kind: str
    listing: Listing
    class_names: Callable[[], tuple[str, ...]]
    draw: Callable[[Path, Meaning], NDArray[np.uint8]]


def find_drawn(tree: Tree, kind: str | None = None) -> DrawnPairs | None:
    """The outlines of a folder, or None where it has none.

    Args:
        tree: the files of the folder.
        kind: `LABELME` or `COCO`; None for whichever is there.

    Raises:
        InputError: a JSON file contradicts itself, or belongs to no image or to several.
    """
    files = [join(*file) for file in tree.files((".json",))]
    coco: dict[str, CocoFile] = {}
    for file in files:
        values = read_json(tree.root / file)
        if is_labelme(values) and kind in (LABELME, None) and not coco:
            return _of_labelme(tree, files)
        if is_coco(values) and kind in (COCO, None):
            coco[file] = read_coco(tree.root / file, values)
    return _of_coco(tree, coco) if coco else None


def _of_labelme(tree: Tree, files: list[str]) -> DrawnPairs:
    by_stem = _images_by(tree, lambda path: PurePosixPath(path).stem)
    pairs: dict[str, dict[str, Pair]] = defaultdict(dict)
    used: set[str] = set()
    for file in files:
        beside = [image for image in by_stem[PurePosixPath(file).stem] if _beside(image, file)]
        images = beside or _of_split(by_stem[PurePosixPath(file).stem], split_of_image(file))
        image = _only(tree, images, file, PurePosixPath(file).stem, used=used)
        split = split_of_image(image) or split_of_image(file) or NO_SPLIT
        pairs[split][os.path.splitext(image)[0]] = Pair(tree.root / image, tree.root / file)
    image_of = {pair.mask: pair.image for named in pairs.values() for pair in named.values()}

    def draw(mask: Path, meaning: Meaning) -> NDArray[np.uint8]:
        return draw_labelme(mask, meaning, lambda: read_header(image_of[mask]).stored_px)

    def class_names() -> tuple[str, ...]:
        return class_names_of(sorted({name for mask in image_of for name in names_in(mask)}))

    listing = Listing(_by_name(tree, pairs), _unlabelled(tree, used))
    return DrawnPairs(LABELME, listing, class_names, draw)


def _of_coco(tree: Tree, files: dict[str, CocoFile]) -> DrawnPairs:
    by_name = _images_by(tree, lambda path: PurePosixPath(path).name)
    pairs: dict[str, dict[str, Pair]] = defaultdict(dict)
    of_mask: dict[Path, tuple[CocoFile, str]] = {}
    used: set[str] = set()
    for file, outlines in files.items():
        for name in outlines.sizes_px:
            posix = PurePosixPath(name.replace("\\", "/"))
            images = [i for i in by_name[posix.name] if f"/{i}".endswith(f"/{posix}")]
            images = images or by_name[posix.name]
            images = [image for image in images if _beside(image, file)] or images
            image = _only(tree, _of_split(images, split_in(file)), file, name, used=used)
            pair = Pair(tree.root / image, tree.root / file / name)
            of_mask[pair.mask] = outlines, name
            split = split_in(file) or split_of_image(image) or NO_SPLIT
            pairs[split][os.path.splitext(image)[0]] = pair

    def draw(mask: Path, meaning: Meaning) -> NDArray[np.uint8]:
        return draw_coco(*of_mask[mask], meaning)

    def class_names() -> tuple[str, ...]:
        categories: dict[int, str] = {}
        for outlines in files.values():
            for number, name in outlines.categories.items():
                if categories.setdefault(number, name) != name:
                    raise InputError(
                        f"{shown_name(outlines.path)}: category {number} is {name}, and in another "
                        f"JSON file it is {categories[number]}."
                    )
        return class_names_of(categories[number] for number in sorted(categories))

    listing = Listing(_by_name(tree, pairs), _unlabelled(tree, used))
    return DrawnPairs(COCO, listing, class_names, draw)


def split_in(path: str) -> str | None:
    """The split that the names in a path say: the last one.

    Example:
        >>> split_in("annotations/instances_val2017.json")
        'val'
    """
    words = [word for part in path.split("/") for word, _, _ in split_words(part)]
    splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    return splits[-1] if splits else None


def split_of_image(path: str) -> str | None:
    """The split that the folders of a file say; its own name may be about trains."""
    return split_in(path.rpartition("/")[0])


def _images_by(tree: Tree, key: Callable[[str], str]) -> dict[str, list[str]]:
    images: dict[str, list[str]] = defaultdict(list)
    for path in _images(tree):
        images[key(path)].append(path)
    return images


def _images(tree: Tree) -> Iterator[str]:
    return (join(*file) for file in tree.files(tuple(IMAGE_SUFFIXES)))


def _beside(image: str, file: str) -> bool:
    return PurePosixPath(image).parent == PurePosixPath(file).parent


def _of_split(images: list[str], split: str | None) -> list[str]:
    """The images of a split, or all where none is of it."""
    return [image for image in images if split_of_image(image) == split] or images


def _only(tree: Tree, images: list[str], file: str, name: str, *, used: set[str]) -> str:
    """The image of outlines, which is added to those that are used."""
    if len(images) == 1:
        if images[0] in used:
            raise InputError(f"{shown_name(tree.root / file)}: {name} is in two JSON files.")
        used.add(images[0])
        return images[0]
    what = "there is no image" if not images else f"there are {len(images)} images"
    raise InputError(
        f"{shown_name(tree.root / file)}: {what} called {shown_name(name)}; add it, or take what "
        "does not belong together out of the folder."
    )


def _by_name(tree: Tree, pairs: dict[str, dict[str, Pair]]) -> dict[str, NamedPairs]:
    return {split: NamedPairs.of(tree.root, named) for split, named in pairs.items()}


def _unlabelled(tree: Tree, used: set[str]) -> dict[str, list[str]]:
    """The images without outlines, by split."""
    images: dict[str, list[str]] = defaultdict(list)
    for path in _images(tree):
        if path not in used:
            images[split_of_image(path) or NO_SPLIT].append(path)
    return images
