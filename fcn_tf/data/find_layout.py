"""Finds where the images and the masks of a folder lie, from the names of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fcn_tf.data.candidates import Candidate, candidates_of
from fcn_tf.data.listing import NO_SPLIT, list_pairs
from fcn_tf.data.patterns import Layout
from fcn_tf.data.templates import Group, group_folders, wrapper
from fcn_tf.data.tree import Tree
from fcn_tf.errors import InputError
from fcn_tf.files import shown_name


def find_layout(tree: Tree, known: Sequence[Layout]) -> Layout | None:
    """The layout of a folder, or None if none pairs a file.

    A layout that pairs at least half as many files as the one that pairs most is as good. Of
    those, one that is known by a tool or a data set is taken first, then the one with the names
    that are most usual, then the one that pairs most.

    Args:
        tree: the files of the folder.
        known: the layouts that have names.

    Raises:
        InputError: two layouts are as good, and give an image different masks.
    """
    groups = group_folders(tree)
    candidates = [*_known(tree, groups, known), *candidates_of(tree, groups)]
    candidates = candidates or list(candidates_of(tree, group_folders(tree, deeper=True)))
    if not candidates:
        return None
    candidates = [candidate for candidate in candidates if candidate.trains] or candidates
    most = max(len(candidate.pairs) for candidate in candidates)
    good = [candidate for candidate in candidates if 2 * len(candidate.pairs) >= most]
    by_name = next((c.layout for c in good if c.layout.origin), None)
    return by_name or named(_only(tree, good).layout, known)


def _only(tree: Tree, good: list[Candidate]) -> Candidate:
    """The best of the candidates that are good.

    Raises:
        InputError: another is as good, and gives an image another mask.
    """
    rank = min(candidate.rank for candidate in good)
    chosen, *others = sorted((c for c in good if c.rank == rank), key=lambda c: c.order)
    rivals = [other for other in others if other.contradicts(chosen)]
    if rivals:
        more = f" (or {len(rivals) - 2} more)" if len(rivals) > 2 else ""
        raise InputError(
            f"{shown_name(tree.root)} can be read in several ways, which give images different "
            f"masks. Say which is right: {' or '.join(map(option, (chosen, *rivals[:2])))}{more}."
        )
    return chosen


def option(candidate: Candidate) -> str:
    """The option that chooses a candidate, for messages."""
    return f'--data.layout "{candidate.layout}" ({len(candidate.pairs)} pairs)'


def named(layout: Layout, known: Sequence[Layout]) -> Layout:
    """A layout with the coding of a known one whose files have the same names."""
    for other in known:
        same = other.images.file == layout.images.file and other.masks.file == layout.masks.file
        if str(other) == str(layout) or (same and other.images.file != "*"):
            return replace(other, images=layout.images, masks=layout.masks)
    return layout


def _known(tree: Tree, groups: list[Group], known: Sequence[Layout]) -> Iterator[Candidate]:
    """The known layouts of tools and data sets that fit files of a folder."""
    above = "/".join(wrapper(tree))
    folders = {group.text for group in groups}
    for layout in known:
        layout = layout.below(above)
        if layout.origin and {layout.images.folder, layout.masks.folder} <= folders:
            listing = list_pairs(tree, layout, [])
            pairs = {
                image: mask for of in listing.splits.values() for image, mask in of.paths_in_order()
            }
            if pairs:
                trains = bool(listing.splits.keys() & {NO_SPLIT, "train"})
                yield Candidate(layout, pairs, trains, 0)
