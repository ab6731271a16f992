"""The layouts of folders of images and masks, and what a folder in one of them holds."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fcn_tf.config.mask_values import MaskValues
from fcn_tf.config.schema import DataConfig
from fcn_tf.counted import counted
from fcn_tf.data.class_files import CLASS_FILES, Colors, Names, find_class_file, find_coding
from fcn_tf.data.drawn import Meaning
from fcn_tf.data.drawn_pairs import ORIGINS, DrawnPairs, find_drawn
from fcn_tf.data.explain import check_is_folder, no_pair, not_understood
from fcn_tf.data.find_layout import find_layout, named
from fcn_tf.data.listing import NO_SPLIT, Listing, list_pairs
from fcn_tf.data.named_pairs import NamedPairs
from fcn_tf.data.pairs import Pair, Problem
from fcn_tf.data.patterns import SUFFIXES, Layout
from fcn_tf.data.some_files import some_of
from fcn_tf.data.splits import find_splits
from fcn_tf.data.tree import Tree, walk
from fcn_tf.errors import InputError, check
from fcn_tf.files import shown_name
from fcn_tf.images.coding import Coding

# A further layout is a further entry. Those with an origin are taken before what is found by
# words, where they fit at least half as many files.
LAYOUTS = (
    Layout.of("images/SPLIT/* + masks/SPLIT/*", "own"),
    Layout.of("images/* + masks/*", "unsplit"),
    Layout.of("SPLIT/* + SPLITannot/*", "segnet", "the SegNet tutorial, CVAT's CamVid"),
    Layout.of("JPEGImages/* + SegmentationClassPNG/*", "labelme_png", "older labelme"),
    Layout.of("JPEGImages/* + SegmentationClass/*", "voc", "labelme, CVAT, VOC"),
    Layout.of(
        "leftImg8bit/SPLIT/*_leftImg8bit + gtFine/SPLIT/*_gtFine_labelIds",
        "cityscapes",
        "Cityscapes",
        mask_values="cityscapes",
    ),
    Layout.of(
        "leftImg8bit/SPLIT/*_leftImg8bit + gtFine/SPLIT/*_gtFine_labelTrainIds",
        "cityscapes_train_ids",
        "Cityscapes",
        mask_values="cityscapes_train_ids",
    ),
    Layout.of(
        "images/SPLIT/ADE_* + annotations/SPLIT/ADE_*", "ade20k", "ADE20K", mask_values="ade20k"
    ),
)
ANY = Layout.of("* + *.json")  # for the lists of splits
NAMED = 3  # folders or files that a printed line names


@dataclass(frozen=True)
class LabelledFolder:
    """What a folder holds.

    Args:
        class_names: the classes, in the order of the masks' indices.
        colors: an RGB triple for each, 0..255; PASCAL VOC's if the folder gives none.
        splits: the pairs of each split, sorted by name; many are read from a temporary file.
        coding: what the values of the masks mean: data.mask_values, else what goes with the
            layout, else what the class file says.
    """

    class_names: Names
    colors: Colors
    splits: dict[str, Sequence[Pair]]
    coding: Coding


def open_folder(config: DataConfig, problems: list[Problem] | None = None) -> LabelledFolder:
    """Finds the classes and the pairs of a folder, in whichever layout it has.

    What was found is printed: the layout, the number of pairs in each split, and what is left out.

    Args:
        config: the folder, and how it is read.
        problems: takes a `Problem` for each file that is refused, for classes that are not known
            (which are then none), and for splits that cannot be made, in place of an error.

    Raises:
        InputError: no such folder, layout or classes; no pair in train; a mask without an image.

    Example:
        >>> open_folder(DataConfig(data_dir="street")).class_names
        Layout: images/SPLIT/* + masks/SPLIT/*, pairs: 24 in train, 6 in val.
        ('road', 'car', 'tree')
    """
    if "://" in (config.data_dir or ""):
        raise InputError(
            f"data.data_dir={config.data_dir}: images and masks are read from a disk. Copy the "
            "folder there, or read a data set of TFDS that fcn-tf prepare made of it elsewhere."
        )
    data_dir = Path(config.data_dir or "").expanduser()
    check_is_folder(data_dir)
    tree = walk(data_dir)
    layout, drawn = _layout_or_drawn(tree, config.layout)
    if drawn is not None:
        return _open_drawn(tree, drawn, config, problems)
    if layout is None:
        raise InputError(not_understood(tree, LAYOUTS))
    listing = list_pairs(tree, layout, problems)
    if not listing.num_pairs:
        raise InputError(no_pair(tree, layout, listing))
    splits, notes = _splits(tree, layout, listing, config=config, problems=problems)
    mask_values = config.mask_values
    said = ""
    if mask_values is None and layout.mask_values:
        mask_values = MaskValues.of(layout.mask_values)
        said = f" (data.mask_values {layout.mask_values})"
    _print_found(f"{layout}{said}", splits, (*notes, *_left_out(tree, listing)))
    coding = _coding(_folder_of_classes(data_dir, splits), config, mask_values, problems)
    pairs = {split: named.in_order for split, named in splits.items()}
    return LabelledFolder(coding.class_names, coding.colors, pairs, coding)


def _print_found(layout: str, splits: Mapping[str, NamedPairs], lines: Iterable[str]) -> None:
    counts = ", ".join(f"{len(names)} in {split}" for split, names in splits.items())
    for line in (f"Layout: {layout}, pairs: {counts}.", *lines):
        print(line, flush=True)


def _layout_or_drawn(tree: Tree, given: str | None) -> tuple[Layout | None, DrawnPairs | None]:
    """The layout of a folder of images and masks, or else the outlines in JSON that it has."""
    if given in ORIGINS:
        drawn = find_drawn(tree, given)
        if drawn is None:
            raise InputError(f"data.layout={given}: {tree.root} has no {ORIGINS[given]}.")
        return None, drawn
    layout = given_layout(given) if given else _found_layout(tree)
    return layout, None if layout else find_drawn(tree)


def _found_layout(tree: Tree) -> Layout | None:
    """The layout of a folder; of very many files, some decide."""
    some = some_of(tree)
    layout = find_layout(some, LAYOUTS) if some else None
    return layout or find_layout(tree, LAYOUTS)


def _open_drawn(
    tree: Tree, drawn: DrawnPairs, config: DataConfig, problems: list[Problem] | None
) -> LabelledFolder:
    """As `open_folder`, where the masks are outlines in JSON."""
    for key in ("mask_values", "ignore_label"):
        value = getattr(config, key)
        allowed = f"left out: the outlines of {ORIGINS[drawn.kind]} have names"
        check(value is None, f"data.{key}", value, allowed)
    splits, notes = _splits(tree, ANY, drawn.listing, config=config, problems=problems)
    lines = (*notes, *_left_out(tree, drawn.listing))
    _print_found(f"{ORIGINS[drawn.kind]}, masks are drawn", splits, lines)
    coding = _coding_of_drawn(tree.root, drawn, config, problems)
    pairs = {split: named.in_order for split, named in splits.items()}
    return LabelledFolder(coding.class_names, coding.colors, pairs, coding)


def _coding_of_drawn(
    data_dir: Path, drawn: DrawnPairs, config: DataConfig, problems: list[Problem] | None
) -> Coding:
    """The classes of outlines: as they are given or in a file, else the names of the outlines."""

    def with_names(coding: Coding) -> Coding:
        meaning = Meaning.of(coding.class_names)
        return replace(coding, drawn=lambda mask: drawn.draw(mask, meaning))

    with _noted_in(problems):
        names = config.class_names
        if names is None and find_class_file(data_dir)[0] is None:
            names = list(drawn.class_names())
            print(f"Classes, by the names of the outlines: {', '.join(names)}.", flush=True)
        return with_names(find_coding(data_dir, names))
    return with_names(Coding(0, ()))


@contextlib.contextmanager
def _noted_in(problems: list[Problem] | None) -> Iterator[None]:
    """Ends the block at an error, which `problems` takes; raises it where there are none."""
    try:
        yield
    except InputError as error:
        if problems is None:
            raise
        problems.append((None, str(error)))


def _splits(
    tree: Tree,
    layout: Layout,
    listing: Listing,
    *,
    config: DataConfig,
    problems: list[Problem] | None,
) -> tuple[dict[str, NamedPairs], list[str]]:
    """As `find_splits`; where problems are taken, the pairs as they are in place of an error."""
    with _noted_in(problems):
        return find_splits(tree, layout, listing, config.validation_fraction)
    return {split or "train": pairs for split, pairs in listing.splits.items()}, []


def _coding(
    data_dir: Path,
    config: DataConfig,
    mask_values: MaskValues | None,
    problems: list[Problem] | None,
) -> Coding:
    """As `find_coding`; where problems are taken, a coding of no class in place of an error."""
    with _noted_in(problems):
        return find_coding(data_dir, config.class_names, mask_values, config.ignore_label)
    return Coding(0, ())


def given_layout(text: str) -> Layout:
    """The layout that data.layout gives: the name of a known one, or two patterns.

    Raises:
        InputError: it is neither.
    """
    known = {layout.name: layout for layout in LAYOUTS if layout.name}
    names = ", ".join((*known, *ORIGINS))
    if text in known:
        return known[text]
    layout = Layout.of(text.replace("\\", "/"))
    fault = layout.fault()
    if fault:
        raise InputError(
            f"data.layout={text!r}: {fault}. Give two patterns, "
            '"images/SPLIT/* + masks/SPLIT/*_mask" for instance, with SPLIT for the word of the '
            f"split and * for the name that an image and its mask share; or {names}."
        )
    return named(layout, LAYOUTS)


def _left_out(tree: Tree, listing: Listing) -> list[str]:
    """A line for each kind of file that is left out, or taken in spite of its name."""
    lines = []
    for split, paths in listing.unlabelled.items():
        of = f" of {split}" if split != NO_SPLIT else ""
        more = ", …" if len(paths) > 1 else ""
        images = counted(len(paths), f"image{{}}{of} without a mask")
        lines.append(f"Left out: {images} ({shown_name(paths[0])}{more}).")
    if total := listing.unused.total():
        files = counted(total, "image file{} with no place in this layout")
        lines.append(f"Left out: {files}, in {_by_folder(listing.unused)}.")
    if hidden := sum(count for suffix, count in tree.hidden.items() if suffix in SUFFIXES):
        lines.append(f"Left out: {counted(hidden, 'hidden image file{}')}.")
    if listing.alike:
        pairs = counted(listing.alike, "pair{}")
        lines.append(f"Letter case or Unicode form differs between the names of {pairs}.")
    return lines


def _by_folder(counts: Counter[str]) -> str:
    """The folders with the most files, for a line."""
    parts = [
        f"{shown_name(folder or '.')} ({count})" for folder, count in counts.most_common(NAMED)
    ]
    if len(counts) > NAMED:
        parts.append(counted(len(counts) - NAMED, "more folder{}"))
    return ", ".join(parts)


def _folder_of_classes(data_dir: Path, splits: dict[str, NamedPairs]) -> Path:
    """The folder with the class file: the highest one above the first image that has one."""
    image = next(pairs.in_order[0].image for pairs in splits.values() if pairs)
    places = [data_dir / folder for folder in reversed(image.relative_to(data_dir).parents)]
    return next((p for p in places if any((p / n).is_file() for n in CLASS_FILES)), data_dir)
