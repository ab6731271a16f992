"""What the names of images and of masks have before and behind that by which they pair."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fcn_tf.data.words import SPLIT_WORDS, Role, rank_of, role_of, split_words

SAMPLED = 2000  # names from which the affixes are learned
LEAST_SHARE = 0.1  # of the names that must have an affix; a mask may lie there in several forms
MOST = 16  # affixes that are tried
# A name can be cut where letters meet digits or a separator.
CUT = re.compile(r"(?<=[^\W_])(?=[\W_])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
SEPARATORS = "_-. "
DIGIT = re.compile(r"\d")
LETTER = re.compile(r"[^\W\d_]")
# Letters that mean a mask, behind a separator: CamVid's _L, and fast.ai's _P.
MASK_LETTERS = frozenset({"_L", "_l", "_P"})


@dataclass(frozen=True)
class Affix:
    """What the names of some files have in common.

    Args:
        before: the start of the names.
        after: their end. SPLIT in it stands for a word of a split.
        suffix: the suffix of the files, or "" for any.
        whole: whether `before` is the whole name, and the folder is what tells files apart.
    """

    before: str = ""
    after: str = ""
    suffix: str = ""
    whole: bool = False

    def __str__(self) -> str:
        return f"*/{self.before}" if self.whole else f"{self.before}*{self.after}{self.suffix}"

    def __len__(self) -> int:
        return len(self.before) + len(self.after)

    @property
    def words(self) -> set[str]:
        """The words in it."""
        return {word for word, _, _ in split_words(f"{self.before} {self.after}")}

    @property
    def role(self) -> Role | None:
        """What its words say that the files are."""
        return "masks" if self.after in MASK_LETTERS else role_of(self.words)

    @property
    def rank(self) -> int:
        """0, or 1 for masks that are taken where there are no others."""
        return rank_of(self.words)

    def core(self, stem: str) -> str | None:
        """A name without the affix, or None if it does not have it."""
        if self.whole:
            return "" if stem == self.before else None
        if "SPLIT" in self.after:
            separator = self.after[: -len("SPLIT")]
            rest, found, word = stem.rpartition(separator) if separator else ("", "", "")
            return rest or None if found and word.lower() in SPLIT_WORDS else None
        if not (stem.startswith(self.before) and stem.endswith(self.after)):
            return None
        return stem[len(self.before) : len(stem) - len(self.after)] or None


PLAIN = Affix()


def learn_affixes(stems: Iterable[str]) -> list[Affix]:
    """The affixes that many names have, the most frequent first; `PLAIN` is not among them.

    Args:
        stems: the names of files without their suffixes.
    """
    stems = sorted(set(stems))
    if len(stems) > SAMPLED:  # not every n-th: an image and its mask may take turns
        stems = random.Random(0).sample(stems, SAMPLED)
    counts = Counter(affix for stem in stems for affix in set(_affixes(stem)))
    least = max(LEAST_SHARE * len(stems), 1)
    often = [
        (affix, count)
        for affix, count in counts.items()
        # Of few names, any part may be in common by chance. Words of images and masks may not.
        if count >= (least if affix.role and not DIGIT.search(affix.before) else max(least, 2))
    ]
    often.sort(key=lambda item: (-item[1], len(item[0]), str(item[0])))
    return [affix for affix, _ in often[:MOST]]


def _affixes(stem: str) -> Iterator[Affix]:
    yield Affix(before=stem, whole=True)
    cuts = [cut.start() for cut in CUT.finditer(stem)]
    for cut in cuts:
        after = stem[cut:]
        if LETTER.search(after):
            yield Affix(after=_with_split(after))
        before = stem[:cut]
        if LETTER.search(before):
            # The separator belongs to the start: "img_001" is "img_" and "001".
            yield Affix(before=before + after[: len(after) - len(after.lstrip(SEPARATORS))])


def _with_split(after: str) -> str:
    word = re.fullmatch(r"([\W_]+)([A-Za-z]+)", after)
    return f"{word[1]}SPLIT" if word and word[2].lower() in SPLIT_WORDS else after
