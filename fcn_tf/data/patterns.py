"""A layout: a pattern of the paths of images in a folder, and one of the paths of their masks."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from fcn_tf.data.words import SPLIT_WORDS
from fcn_tf.images.formats import IMAGE_SUFFIXES
from fcn_tf.images.mask_pixels import MASK_SUFFIXES

SUFFIXES = frozenset((*IMAGE_SUFFIXES, *MASK_SUFFIXES))
ANY_SPLIT = f"(?i:{'|'.join(sorted(SPLIT_WORDS, key=len, reverse=True))})"
PIECE = re.compile(r"\*|SPLIT")
# The place of a file, of its name without the suffix and of the suffix in small letters; or None.
PlaceOf = Callable[[str, str], "Place | None"]


class Place(NamedTuple):
    """What the path of a file says.

    Args:
        split: "train", "val" or "test", or None.
        name: what an image and its mask have in common, "site0/000" for instance.
    """

    split: str | None
    name: str


@dataclass(frozen=True)
class Pattern:
    """A pattern of the paths of images, or of masks, below a folder.

    SPLIT is a word that names a split: train, training, val, valid, validation, test, testing.
    The last * is the name of the file without its suffix. Folders below are allowed and are part
    of the name. A * before is a folder, which is part of the name too. A suffix, as in "*.jpg",
    allows no other.

    Args:
        text: the pattern, "masks/SPLIT/*_mask" for instance.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def stars(self) -> int:
        """The number of *."""
        return self.text.count("*")

    @property
    def has_split(self) -> bool:
        """Whether the path says the split."""
        return "SPLIT" in self.text

    @property
    def folder(self) -> str:
        """The part before the name of the file."""
        return self.text.rpartition("/")[0]

    @property
    def file(self) -> str:
        """The part that is the name of the file."""
        return self.text.rpartition("/")[2]

    @cached_property
    def literal_length(self) -> int:
        """The number of characters that are given."""
        return len(PIECE.sub("", self.text))

    @cached_property
    def suffix(self) -> str:
        """The suffix that files must have, or "" if any will do."""
        suffix = os.path.splitext(self.text)[1].lower()
        return suffix if suffix in SUFFIXES else ""

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        text = self.text[: len(self.text) - len(self.suffix)]
        before, _, after = text.rpartition("*")
        if "/" in after:  # the file has the same name in each folder
            regex = f"{_regex_of(before)}(?P<below>.+){_regex_of(after)}"
        else:
            folder, slash, start = before.rpartition("/")
            regex = (
                f"{_regex_of(folder + slash)}(?:(?P<below>.+)/)?"
                f"{_regex_of(start)}(?P<last>[^/]+){_regex_of(after)}"
            )
        return re.compile(_numbered(regex))

    def place(self, stem: str, suffix: str) -> Place | None:
        """What a path says, or None if it does not fit.

        Args:
            stem: the path without its suffix.
            suffix: of the file, in small letters.
        """
        if self.suffix and suffix != self.suffix:
            return None
        found = self._regex.fullmatch(stem)
        if not found:
            return None
        groups = found.groupdict()
        split = groups.pop("split", None)
        # In the order of the pattern: the folders before, those below, and the file.
        return Place(split and SPLIT_WORDS[split.lower()], "/".join(filter(None, groups.values())))

    def in_folder(self, folder: str) -> PlaceOf:
        """What the paths of the files in a folder say: as `place`, but fast for many files.

        Args:
            folder: its path, "" for the root.
        """
        above = f"{folder}/" if folder else ""
        start, star, after = self.file[: len(self.file) - len(self.suffix)].partition("*")
        if not star or PIECE.search(start + after):
            return lambda stem, suffix: self.place(above + stem, suffix)
        # The folder alone decides all but the last part of the name.
        any_file = self.place(f"{above}{start}*{after}", self.suffix)
        if any_file is None:
            return lambda stem, suffix: None
        split, before = any_file.split, any_file.name[:-1]
        least, end = len(start) + len(after) + 1, -len(after) or None

        def place(stem: str, suffix: str) -> Place | None:
            fits = stem.startswith(start) and stem.endswith(after) and len(stem) >= least
            if not fits or (self.suffix and suffix != self.suffix):
                return None
            return Place(split, before + stem[len(start) : end])

        return place


@dataclass(frozen=True)
class Layout:
    """A way to lay out images and masks in a folder.

    Args:
        images: where the images lie.
        masks: where the masks lie.
        name: by which data.layout chooses it; "" for a layout that was found or given.
        origin: the tools and the data sets that have it, for messages.
        mask_values: the coding of its masks, as in data.mask_values, or None.
    """

    images: Pattern
    masks: Pattern
    name: str = ""
    origin: str = ""
    mask_values: str | None = None

    def __str__(self) -> str:
        return f"{self.images} + {self.masks}"

    @property
    def base(self) -> str:
        """The folder that holds both, "" for the root."""
        common = []
        for part, other in zip(
            self.images.folder.split("/"), self.masks.folder.split("/"), strict=False
        ):
            if part != other or PIECE.search(part):
                break
            common.append(part)
        return "/".join(common)

    def below(self, folder: str) -> Layout:
        """The same layout in a folder below the root, "" for the root itself."""
        images, masks = (
            Pattern(f"{folder}/{p}" if folder else p.text) for p in (self.images, self.masks)
        )
        return replace(self, images=images, masks=masks)

    def fault(self) -> str | None:
        """What is wrong with the patterns, for a message, or None."""
        for pattern in (self.images, self.masks):
            parts = pattern.text.split("/")
            if "*" not in pattern.text:
                return f"{pattern.text or 'a pattern that is missing'} has no *"
            if not parts[0] or {".", ".."} & set(parts):
                return f"{pattern} is not a path below data_dir"
            if "**" in pattern.text:
                return f"{pattern} has **, but folders below are meant anyway"
        if self.images.stars != self.masks.stars:
            return "both patterns must have the same number of *"
        if str(self.images) == str(self.masks):
            return "both patterns are the same"
        return None

    @classmethod
    def of(
        cls, patterns: str, name: str = "", origin: str = "", mask_values: str | None = None
    ) -> Layout:
        """The layout of two patterns that are written with a plus between them.

        Args:
            patterns: "images/SPLIT/* + masks/SPLIT/*_mask" for instance.
            name, origin, mask_values: as above.
        """
        images, _, masks = patterns.partition(" + ")
        return cls(
            images=Pattern(images.strip()),
            masks=Pattern(masks.strip()),
            name=name,
            origin=origin,
            mask_values=mask_values,
        )


def _regex_of(text: str) -> str:
    """A regular expression for a part of a pattern."""
    out, end = "", 0
    for piece in PIECE.finditer(text):
        out += re.escape(text[end : piece.start()])
        out += "(?P<star>[^/]+)" if piece[0] == "*" else f"(?P<split>{ANY_SPLIT})"
        end = piece.end()
    return out + re.escape(text[end:])


def _numbered(regex: str) -> str:
    """The expression with a name of its own for each star, and a name for the first split alone."""
    numbers = itertools.count()
    regex = re.sub(r"\?P<star>", lambda _: f"?P<star{next(numbers)}>", regex)
    first, split, rest = regex.partition("?P<split>")
    return first + split + rest.replace("?P<split>", "?:")
