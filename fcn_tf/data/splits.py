"""Which pair of a folder without split folders is in train, val or test."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fcn_tf.data.pairs import Pair
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines

# The names of the lists in ImageSets/Segmentation, in CVAT and elsewhere.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def listed_splits(
    data_dir: Path, pairs: list[Pair], validation_fraction: float
) -> dict[str, list[Pair]]:
    """Splits by the lists in ImageSets/Segmentation; a hash decides what the lists leave open.

    If there is a list of train but none of val, part of train becomes val.

    Args:
        data_dir: the folder.
        pairs: all its pairs, at least one.
        validation_fraction: share of val where a hash decides, above 0 and below 1.

    Returns:
        the pairs of each split, sorted by name.

    Raises:
        InputError: a list names an image that is not there, or that is in another list too.
    """
    splits = _read_lists(data_dir / "ImageSets" / "Segmentation", pairs)
    listed = {pair for members in splits.values() for pair in members}
    rest = [pair for pair in pairs if pair not in listed]
    if "val" not in splits:
        return splits | hashed_splits(splits.get("train") or rest, validation_fraction)
    if "train" not in splits:
        return splits | {"train": rest}
    if rest:
        print(f"{len(rest)} images are in no list and are left out.", flush=True)
    return splits


def _read_lists(folder: Path, pairs: list[Pair]) -> dict[str, list[Pair]]:
    """The pairs of each split that has a list."""
    with_mask = {pair.image.stem: pair for pair in pairs}
    unlabelled = {path.stem for path in pairs[0].image.parent.iterdir()} - with_mask.keys()
    splits: dict[str, list[Pair]] = {}
    listed: dict[str, str] = {}  # the split of each name
    for path in sorted(folder.glob("*.txt")):
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None:  # trainval, or CVAT's default
            continue
        stems = set(read_lines(path)) - unlabelled
        missing = sorted(stems - with_mask.keys())
        if missing:
            raise InputError(f"{path} lists {missing[0]}, of which there is no image with a mask.")
        if twice := sorted(stems & listed.keys()):
            raise InputError(f"{path} lists {twice[0]}, which is in {listed[twice[0]]} too.")
        listed |= dict.fromkeys(stems, split)
        splits[split] = []  # a list without a name is a split without an image
    for stem in sorted(listed):
        splits[listed[stem]].append(with_mask[stem])
    return splits


def hashed_splits(pairs: list[Pair], validation_fraction: float) -> dict[str, list[Pair]]:
    """train and val by a hash of the name: an image stays in its split when others are added.

    Args:
        pairs: at least two.
        validation_fraction: share of val, above 0 and below 1; each split gets at least one.

    Raises:
        InputError: there is one pair alone.
    """
    if len(pairs) < 2:
        raise InputError(f"{pairs[0].image} is alone: train and val need an image each.")

    def share(pair: Pair) -> float:
        digest = hashlib.sha256(pair.image.stem.encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    size = sum(share(pair) < validation_fraction for pair in pairs)
    size = min(max(size, 1), len(pairs) - 1)
    val = set(sorted(pairs, key=share)[:size])
    return {
        "train": [pair for pair in pairs if pair not in val],
        "val": [pair for pair in pairs if pair in val],
    }
