"""The words by which people name folders of images, of masks and of splits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "train_val": "train",
    "train-val": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def _words(text: str) -> frozenset[str]:
    """The words of a text, and their plurals."""
    return frozenset(word + end for word in text.split() for end in ("", "s"))


IMAGE_WORDS = _words(
    "image img im jpeg jpg rgb photo picture pic frame input original orig sat satellite raw scan"
)
MASK_WORDS = _words(
    "mask label labeled labelled lbl lab ann anno annot annotation annotated gt groundtruth truth "
    "seg segm semseg segmentation segmap semantic target manual trimap matte alpha map"
)
# Beside these words, the others of a name do not count.
NOT_MASK_WORDS = _words(
    "visualization visualisation viz vis overlay preview thumb thumbnail instance object panoptic "
    "depth disparity npy prediction pred"
)
# A second form of masks, taken where there is no other.
COLOR_WORDS = _words("color colour colored coloured colormap rgb coarse raw")
NEUTRAL_WORDS = _words(
    "dir folder set data dataset file png tif tiff bmp crop class classes all fine id full bit left"
)
KNOWN_WORDS = (
    frozenset(SPLIT_WORDS) | IMAGE_WORDS | MASK_WORDS | NOT_MASK_WORDS | COLOR_WORDS | NEUTRAL_WORDS
)
TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# The ends of words that are written together, as in "defaultannot".
ENDS = ("images", "labels", "label", "annot", "masks", "mask", "imgs", "img")

Role = Literal["images", "masks", "other"]


@dataclass(frozen=True)
class Name:
    """What the name of a folder says.

    Args:
        name: the name itself.
        role: what its words say is in the folder, or None.
        split: "train", "val" or "test", or None.
        pattern: the name, with SPLIT in place of the word of the split.
        rank: 0, or 1 for masks that are taken where there are no others.
        sure: whether no other words stand beside the word of the split.
    """

    name: str
    role: Role | None
    split: str | None
    pattern: str
    rank: int
    sure: bool

    @property
    def speaks(self) -> bool:
        """Whether it says anything."""
        return bool(self.role or self.split)


@cache
def read_name(name: str) -> Name:
    """Reads the words of a folder's name.

    Example:
        >>> read_name("train_labels").pattern
        'SPLIT_labels'
    """
    words = split_words(name)
    found = {word for word, _, _ in words}
    places = [(word, start, end) for word, start, end in words if word in SPLIT_WORDS]
    split, pattern = None, name
    if len(places) == 1 or [word for word, _, _ in places] == ["train", "val"]:
        split = SPLIT_WORDS[places[0][0]]
        pattern = f"{name[: places[0][1]]}SPLIT{name[places[-1][2] :]}"
    unknown = [word for word in found - KNOWN_WORDS if not word.isdecimal()]
    return Name(
        name=name,
        role=role_of(found),
        split=split,
        pattern=pattern,
        rank=rank_of(found),
        sure=not unknown,
    )


def role_of(words: set[str]) -> Role | None:
    """What words say that files are. A word of masks counts more than one of images."""
    if words & NOT_MASK_WORDS:
        return "other"
    if words & MASK_WORDS:
        return "masks"
    return "images" if words & IMAGE_WORDS else None


def rank_of(words: set[str]) -> int:
    """0, or 1 for masks that are taken where there are no others."""
    return int(bool(words & COLOR_WORDS))


def split_words(name: str) -> list[tuple[str, int, int]]:
    """The words of a name in small letters, each with the place where it starts and ends.

    Example:
        >>> split_words("leftImg8bit")
        [('left', 0, 4), ('img', 4, 7), ('8', 7, 8), ('bit', 8, 11)]
    """
    words = []
    for token in TOKEN.finditer(name):
        start = token.start()
        for word in _parts(token[0].lower()):
            words.append((word, start, start + len(word)))
            start += len(word)
    return words


def _parts(token: str) -> list[str]:
    """The words of a token in which they are written together."""
    if token in KNOWN_WORDS:
        return [token]
    for word in SPLIT_WORDS:
        if token.startswith(word) and token[len(word) :] in KNOWN_WORDS:
            return [word, token[len(word) :]]
    for end in ENDS:
        if token.endswith(end):
            return [*_parts(token[: -len(end)]), end]
    return [token]
