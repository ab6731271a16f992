"""The layouts that files of a folder may have, by the names of folders and files."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from fcn_tf.data.affixes import PLAIN, Affix, learn_affixes
from fcn_tf.data.patterns import Layout
from fcn_tf.data.templates import Group
from fcn_tf.data.tree import Tree
from fcn_tf.data.words import Role
from fcn_tf.images.formats import IMAGE_SUFFIXES
from fcn_tf.images.mask_pixels import MASK_SUFFIXES

MOST_GROUPS = 40  # of images, and of masks, that are tried with each other
SUFFIXES_OF = {"images": IMAGE_SUFFIXES, "masks": MASK_SUFFIXES}
ENOUGH = 0.95  # of the masks that pair by their plain names, so that no affix is looked for


@dataclass(frozen=True)
class Candidate:
    """A layout that fits some files.

    Args:
        layout: the two patterns.
        pairs: the masks by their images, as paths below the root.
        trains: whether some of them may be used for training.
        rank: how far its names are from what images and masks are usually called; 0 is best.
        affix: the number of characters of what names have before and behind.
    """

    layout: Layout
    pairs: dict[str, str]
    trains: bool
    rank: int
    affix: int = 0

    @property
    def order(self) -> tuple[int, int, int, int, str]:
        """The best candidate of one rank comes first."""
        stars = self.layout.images.stars + self.layout.masks.stars
        splits = self.layout.images.has_split + self.layout.masks.has_split
        return -len(self.pairs), stars, self.affix, -splits, str(self.layout)

    def contradicts(self, chosen: Candidate) -> bool:
        """Whether it gives an image another mask, or a mask another image, from unused files."""
        images = set(chosen.pairs)
        masks = set(chosen.pairs.values())
        if images >= set(self.pairs) and masks >= set(self.pairs.values()):
            return False
        by_mask = {mask: image for image, mask in chosen.pairs.items()}
        return any(
            chosen.pairs.get(image, mask) != mask or by_mask.get(mask, image) != image
            for image, mask in self.pairs.items()
        )


def candidates_of(tree: Tree, groups: list[Group], *, by_words: bool = True) -> list[Candidate]:
    """The layouts that pair files of a folder.

    Args:
        tree: the files of the folder.
        groups: its folders.
        by_words: whether the words of the names must say what masks are. Otherwise any two
            folders are tried.
    """
    groups = sorted(groups, key=lambda group: -len(group.members))
    images = [group for group in groups if group.role in ("images", None)]
    masks = [group for group in groups if group.role == "masks" or not (by_words or group.role)]
    sides = Sides(tree)
    found: list[Candidate] = []
    for image_group, mask_group in product(images[:MOST_GROUPS], masks[:MOST_GROUPS]):
        if mask_group.text != image_group.text:
            found += _between(sides, image_group, mask_group, by_words)
    paired = _paired_files(found)
    for group in groups[:MOST_GROUPS]:
        if group.role != "other" and not _covered(tree, group, paired):
            found += _within(sides, group, by_words)
    return found


def _paired_files(candidates: list[Candidate]) -> set[str]:
    """The images and the masks that candidates of the best rank pair."""
    best = [candidate.pairs for candidate in candidates if candidate.rank == 0]
    return {path for pairs in best for pair in pairs.items() for path in pair}


def _covered(tree: Tree, group: Group, paired: set[str]) -> bool:
    """Whether most files of a group have been paired."""
    files = [path for path, _, _ in group.paths(tree)]
    return sum(path in paired for path in files) >= ENOUGH * len(files)


@dataclass(frozen=True)
class Side:
    """The images, or the masks, that a group of folders may hold.

    Args:
        group: the folders.
        affix: what the names have.
        files: the paths by split and name.
    """

    group: Group
    affix: Affix
    files: dict[tuple[str, str], str]


@dataclass(frozen=True)
class Sides:
    """The images and the masks that groups may hold; what is asked for often is kept.

    Args:
        tree: the files of the folder.
    """

    tree: Tree
    kept: dict[tuple[str, str, bool], Side] = field(default_factory=dict)

    def plain(self, group: Group, role: Role, by_split: bool) -> Side:
        """The files of a group by their plain names."""
        key = group.text, role, by_split
        if key not in self.kept:
            self.kept[key] = self.with_affix(group, role, by_split, PLAIN)
        return self.kept[key]

    def with_affix(self, group: Group, role: Role, by_split: bool, affix: Affix) -> Side:
        """The files of a group that have an affix."""
        return Side(group, affix, group.files(self.tree, SUFFIXES_OF[role], affix, by_split))

    def affixes(self, group: Group, role: Role) -> list[Affix]:
        """What many names of a group have, and what does not speak of something else."""
        stems = [stem for _, stem, suffix in group.paths(self.tree) if suffix in SUFFIXES_OF[role]]
        return [affix for affix in learn_affixes(stems) if affix.role in (role, None)]


def _between(sides: Sides, images: Group, masks: Group, by_words: bool) -> list[Candidate]:
    """The layouts with images in some folders and masks in others."""
    by_split = "SPLIT" in images.text and "SPLIT" in masks.text
    rank = masks.rank + (images.role is None)
    of_images = sides.plain(images, "images", by_split)
    of_masks = sides.plain(masks, "masks", by_split)
    plain = _candidate(of_images, of_masks, rank)
    if plain and len(plain[0].pairs) >= ENOUGH * len(of_masks.files):
        return plain
    image_sides = [of_images] + [
        sides.with_affix(images, "images", by_split, affix)
        for affix in sides.affixes(images, "images")
    ]
    found = []
    for affix in (PLAIN, *sides.affixes(masks, "masks")):
        mask_side = sides.with_affix(masks, "masks", by_split, affix)
        for image_side in image_sides:
            if _may_differ(image_side.affix, affix, by_words):
                found += _candidate(image_side, mask_side, rank)
    found.sort(key=lambda candidate: candidate.order)
    # The images with the best affix, and all masks that fit them.
    return plain + [c for c in found if c.layout.images == found[0].layout.images]


def _within(sides: Sides, group: Group, by_words: bool) -> list[Candidate]:
    """The layouts with images and masks in the same folders."""
    by_split = "SPLIT" in group.text
    images = [sides.plain(group, "images", by_split)] + [
        sides.with_affix(group, "images", by_split, affix)
        for affix in sides.affixes(group, "images")
        if affix.role
    ]
    found = []
    for affix in sides.affixes(group, "masks"):
        if affix.role or not (by_words or affix.whole):
            masks = sides.with_affix(group, "masks", by_split, affix)
            for side in images:
                found += _candidate(side, masks, 1)
    # Photographs, and PNGs of the same names.
    of_masks = sides.with_affix(group, "masks", by_split, Affix(suffix=".png"))
    for suffix in (".jpg", ".jpeg"):
        of_images = sides.with_affix(group, "images", by_split, Affix(suffix=suffix))
        found += _candidate(of_images, of_masks, 3)
    return found


def _may_differ(images: Affix, masks: Affix, by_words: bool) -> bool:
    """Whether two affixes may be all that tells the name of an image from that of its mask.

    One of them may be any. Of two, at least one must be a word of images, masks or splits:
    "day_1" is not the image of "night_1".
    """
    if images == masks:
        return False
    some = PLAIN in (images, masks) or images.role or masks.role or "SPLIT" in images.after
    return bool(some) or not by_words


def _candidate(images: Side, masks: Side, rank: int) -> list[Candidate]:
    """The layout of two sides, if it pairs files."""
    pairs = {image: masks.files[key] for key, image in images.files.items() if key in masks.files}
    if not pairs or any(image == mask for image, mask in pairs.items()):
        return []
    layout = Layout(images.group.pattern(images.affix), masks.group.pattern(masks.affix))
    trains = any(split in ("", "train") for split, _ in images.files.keys() & masks.files.keys())
    affix = len(images.affix) + len(masks.affix)
    rank += masks.affix.rank
    return [Candidate(layout, pairs, trains=trains, rank=rank, affix=affix)]
