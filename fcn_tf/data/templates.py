"""The folders of a tree in groups that may be the folder of one pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fcn_tf.data.affixes import Affix
from fcn_tf.data.patterns import SUFFIXES, Pattern
from fcn_tf.data.tree import Tree, folded, join
from fcn_tf.data.words import Name, Role, read_name

ALL = tuple(SUFFIXES)
MOST = 24  # patterns of folders beside each other that are each tried


@dataclass(frozen=True)
class Form:
    """A way to see a folder.

    Args:
        text: the pattern that its path fits.
        of: the most general pattern that it fits.
        role: what its path says is in it, or None.
        rank: 0, or more for masks that are taken where there are no others.
        split: that its path says, or None.
        start: the part of the files' names that its path gives.
    """

    text: str
    of: str
    role: Role | None
    rank: int
    split: str | None = None
    start: str = ""


@dataclass
class Group:
    """Folders whose paths fit one pattern.

    Args:
        text: the pattern of the folders, "SPLIT/images" for instance.
        role: what their names say is in them, or None.
        rank: 0, or more for masks that are taken where there are no others.
        members: each folder, its split or None, and the part of the files' names that it gives.
    """

    text: str
    role: Role | None
    rank: int
    members: list[tuple[str, str | None, str]] = field(default_factory=list)

    def pattern(self, affix: Affix) -> Pattern:
        """The pattern of the files with an affix."""
        return Pattern(join(self.text, str(affix)))

    def paths(self, tree: Tree) -> Iterator[tuple[str, str, str]]:
        """The path of each image file, its stem, and its suffix in small letters."""
        for folder, _, _ in self.members:
            for name in tree.folders[folder]:
                stem, suffix = split_suffix(name)
                if suffix in SUFFIXES:
                    yield join(folder, name), stem, suffix

    def files(
        self, tree: Tree, suffixes: tuple[str, ...], affix: Affix, by_split: bool
    ) -> dict[tuple[str, str], str]:
        """The paths of the files with an affix, by split and name.

        Args:
            tree: the files.
            suffixes: that files may have, if the affix has none.
            affix: that the names must have.
            by_split: whether the split is part of the key; "" otherwise.
        """
        found = {}
        suffixes = (affix.suffix,) if affix.suffix else suffixes
        for folder, split, start in self.members:
            key_split = (split or "") if by_split else ""
            for name in tree.folders[folder]:
                stem, suffix = split_suffix(name)
                core = affix.core(stem) if suffix in suffixes else None
                if core is not None and (core or start):
                    key = folded(f"{start}/{core}" if start and core else start or core)
                    found[key_split, key] = join(folder, name)
        return found


def split_suffix(name: str) -> tuple[str, str]:
    """The stem of a file's name, and its suffix in small letters; a.jpg.png has the stem a."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return name, ""
    if "." in stem:
        inner, _, second = stem.rpartition(".")
        if inner and f".{second.lower()}" in SUFFIXES:
            stem = inner
    return stem, f"{dot}{suffix.lower()}"


def group_folders(tree: Tree, *, deeper: bool = False) -> list[Group]:
    """All groups of the folders that hold image files; a folder may be in several.

    Args:
        tree: the files.
        deeper: whether folders below those of images and masks are groups of their own as well,
            as where each class has a folder.
    """
    folders = sorted({folder for folder, _ in tree.files(ALL)})
    names = {folder: _names(folder) for folder in folders}
    wrapped = len(wrapper(tree))
    sure = _sure_splits(names)
    forms = [
        (folder, form)
        for folder, parts in names.items()
        for form in _forms(_one_split([_checked(part, sure) for part in parts]), wrapped, deeper)
    ]
    variants: dict[str, set[str]] = {}
    for _, form in forms:
        variants.setdefault(form.of, set()).add(form.text)
    groups: dict[str, Group] = {}
    for folder, form in forms:
        if form.text == form.of or len(variants[form.of]) <= MOST:
            group = groups.setdefault(form.text, Group(form.text, form.role, form.rank))
            group.members.append((folder, form.split, form.start))
    return list(groups.values())


def _names(folder: str) -> list[Name]:
    return [read_name(part) for part in folder.split("/")] if folder else []


def _checked(part: Name, sure: set[str]) -> Name:
    return part if part.pattern in sure else _unsplit(part)


def _unsplit(part: Name) -> Name:
    return part if part.split is None else replace(part, split=None, pattern=part.name)


def _one_split(parts: list[Name]) -> list[Name]:
    """Only the deepest folder with the word of a split is one: "training_data/val" is val."""
    deepest = max((i for i, part in enumerate(parts) if part.split), default=0)
    return [part if i == deepest else _unsplit(part) for i, part in enumerate(parts)]


def wrapper(tree: Tree) -> list[str]:
    """The folders at the top that hold all images, and say nothing of splits."""
    above = []
    folders = {folder for folder, _ in tree.files(ALL)}
    all_parts = (folder.split("/")[:-1] for folder in folders)
    for names in zip(*all_parts, strict=False):
        if len(set(names)) > 1 or read_name(names[0]).split:
            break
        above.append(names[0])
    return above


def _sure_splits(names: dict[str, list[Name]]) -> set[str]:
    """The patterns of names in which SPLIT is a split.

    Where other words stand beside, as in "test_site", there must be the same name with "train".
    """
    splits: dict[str, set[str | None]] = {}
    sure = set()
    for parts in names.values():
        for part in parts:
            splits.setdefault(part.pattern, set()).add(part.split)
            if part.sure:
                sure.add(part.pattern)
    return sure | {p for p, of in splits.items() if "train" in of or None in of}


def _forms(parts: list[Name], wrapped: int, deeper: bool) -> Iterator[Form]:
    """The ways to see a folder; the first has a * for each folder that says nothing."""
    speaking = [index < wrapped or part.speaks for index, part in enumerate(parts)]
    end = len(parts) - (speaking[::-1].index(True) if True in speaking else len(parts))
    whole = _general(parts, speaking, end, _role_of(parts[wrapped:]))
    literal = [part.pattern for part in parts[:end]]
    below = [part.name for part in parts[end:]]
    yield whole
    if not all(speaking[:end]):
        yield replace(whole, text="/".join(literal), start="/".join(below))
    if below and (deeper or whole.role is None):
        text = "/".join([*literal, below[0]])
        yield replace(whole, text=text, start="/".join(below[1:]))
    if deeper and whole.role is None and len(parts) > 1:
        # By its own name alone, whatever those above say.
        *above, last = (part.name for part in parts)
        yield replace(whole, text="*/" * len(above) + last, start="/".join(above), split=None)


def _general(
    parts: list[Name], speaking: list[bool], end: int, says: tuple[Role | None, int]
) -> Form:
    """The most general way to see a folder, of which `end` folders are in the pattern."""
    text = "/".join(
        part.pattern if yes else "*" for part, yes in zip(parts[:end], speaking, strict=False)
    )
    start = [p.name for i, p in enumerate(parts) if i >= end or not speaking[i]]
    split = next((part.split for part in parts if part.split), None)
    return Form(text, text, *says, split=split, start="/".join(start))


def _role_of(parts: list[Name]) -> tuple[Role | None, int]:
    """What the deepest name with a role says, unless one speaks of something else; the rank."""
    roles = [part.role for part in parts if part.role]
    if not roles or "other" in roles:
        return ("other" if roles else None), 0
    return roles[-1], sum(part.rank for part in parts) if roles[-1] == "masks" else 0
