"""How people's folders of images and masks are laid out, and which pair is in which split."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fcn_tf.classes import VOID, voc_palette
from fcn_tf.data.pairs import Pair
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines
from fcn_tf.image_files import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")
# What the lists of ImageSets/Segmentation are called, in CVAT and elsewhere.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
CLASS_FILES = ("classes.txt", "labelmap.txt", "class_names.txt")
KNOWN = (
    "images/SPLIT + masks/SPLIT, images/ + masks/, SPLIT/ + SPLITannot/ (the SegNet tutorial), or "
    "JPEGImages/ + SegmentationClass/ (labelme, CVAT, VOC)"
)


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Args:
        class_names: the classes, in the order of the masks' indices.
        colors: an RGB triple for each; PASCAL VOC's where none are given.
        splits: the pairs of each split, sorted by name.
    """

    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    splits: dict[str, list[Pair]]


def find_layout(data_dir, class_names=None, validation_fraction=0.2, problems=None):
    """Recognises a folder's layout.

    Args:
        data_dir: the folder.
        class_names: names of the classes where no file in the folder has them.
        validation_fraction: float in (0, 1), share of val where the folder has no split.
        problems: a list that takes (path, text) of each file without a partner in place
            of an error.

    Returns:
        A `Layout`.

    Raises:
        InputError: no such folder, layout or classes; train or val empty; an image
            without a mask or a mask without an image.
    """
    data_dir = Path(data_dir).expanduser()
    if not data_dir.is_dir():
        raise InputError(f"data.data_dir={data_dir}: no such folder.")
    names, colors = find_classes(data_dir, class_names)
    folders = split_folders(data_dir)
    if folders is None:
        pairs = whole_folder(data_dir, problems)
        if not pairs:
            raise InputError(f"No image in {data_dir} has a mask of the same stem.")
        splits = listed_splits(data_dir, pairs, validation_fraction)
    else:
        splits = {split: list_pairs(*both, problems=problems) for split, both in folders.items()}
    for split in ("train", "val"):
        if not splits.get(split):
            raise InputError(f"{data_dir} has no images in split {split}; known are {KNOWN}.")
    return Layout(names, colors, splits)


def find_classes(data_dir, given):
    """The names of the classes and their colours, from the folder's file or as given."""
    names, colors = given and tuple(given), None
    path = next((data_dir / n for n in CLASS_FILES if (data_dir / n).is_file()), None)
    if path is not None:
        read, colors = read_class_file(path)
        if names not in (None, read):
            raise InputError(
                f"{path} names {', '.join(read)}, but data.class_names is {', '.join(names)}: "
                "leave data.class_names out (null), or correct one of them."
            )
        names = read
    if not names:
        raise InputError(
            f"{data_dir} has no classes.txt: write one with a class a line, in the order of "
            "the masks' values, or name them with --data.class_names."
        )
    if not 2 <= len(names) <= VOID or len(set(names)) < len(names):
        raise InputError(
            f"{data_dir} has the classes {', '.join(names)}: there must be between 2 and {VOID}, "
            "each with a name of its own."
        )
    return names, colors or tuple(map(tuple, voc_palette(len(names)).tolist()))


def read_class_file(path):
    """Names, and colours if every line has one: `road`, `road 128 64 128`, `road:128,64,128::`.

    The last is CVAT's labelmap.txt, in which # starts a comment. labelme's `__ignore__` is no
    class.

    Returns:
        tuple of names, and tuple of RGB triples or None.
    """
    names, colors = [], []
    for line in read_lines(path):
        if line.startswith("#") or line == "__ignore__":
            continue
        colored = re.fullmatch(r"(.+?)[\s:,]+(\d+)[\s,]+(\d+)[\s,]+(\d+)(?::.*)?", line)
        if colored:
            color = tuple(int(value) for value in colored.groups()[1:])
            if max(color) > 255:
                raise InputError(f"{path}: {line!r}: a colour is three numbers from 0 to 255.")
            colors.append(color)
        plain = line.split(":")[0] if path.name == "labelmap.txt" else line
        names.append(colored[1] if colored else plain)
    if colors and (len(colors) < len(names) or len(set(colors)) < len(colors)):
        raise InputError(f"{path}: give every class a colour of its own, or none of them.")
    return tuple(names), tuple(colors) or None


def split_folders(data_dir):
    """{split: (folder of images, folder of masks)} of a layout that has splits, or None."""
    layouts = (
        lambda split: (data_dir / "images" / split, data_dir / "masks" / split),
        lambda split: (data_dir / split, data_dir / f"{split}annot"),
    )
    for layout in layouts:
        found = {split: layout(split) for split in SPLITS if layout(split)[0].is_dir()}
        if found:
            return found
    return None


def whole_folder(data_dir, problems=None):
    """The pairs of a layout without folders for splits."""
    mask_dirs = ("SegmentationClassPNG", "SegmentationClass")  # labelme's older and newer
    layouts = [("images", "masks"), *(("JPEGImages", name) for name in mask_dirs)]
    for images, masks in layouts:
        if (data_dir / images).is_dir() and (data_dir / masks).is_dir():
            # CVAT and VOC have photographs that nobody has labelled.
            some_unlabelled = images == "JPEGImages"
            return list_pairs(data_dir / images, data_dir / masks, some_unlabelled, problems)
    raise InputError(f"{data_dir} is laid out in no way that is known: {KNOWN}.")


def listed_splits(data_dir, pairs, validation_fraction):
    """Splits by the lists in ImageSets/Segmentation, what they leave open by a hash.

    Where there is a list of train but none of val, val is taken out of train.
    """
    by_stem = {pair.image.stem: pair for pair in pairs}
    unlabelled = {path.stem for path in pairs[0].image.parent.iterdir()} - by_stem.keys()
    splits, listed = {}, {}
    for path in sorted((data_dir / "ImageSets" / "Segmentation").glob("*.txt")):
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None:  # trainval, or CVAT's default
            continue
        stems = set(read_lines(path)) - unlabelled
        missing = sorted(stems - by_stem.keys())
        if missing:
            raise InputError(f"{path} lists {missing[0]}, of which there is no image with a mask.")
        for stem in sorted(stems):
            if stem in listed:
                raise InputError(f"{path} lists {stem}, which is in {listed[stem]} too.")
            listed[stem] = split
        splits[split] = [by_stem[stem] for stem in sorted(stems)]
    rest = [pair for pair in pairs if pair.image.stem not in listed]
    if "val" not in splits:
        return splits | hashed_splits(splits.get("train") or rest, validation_fraction)
    if "train" not in splits:
        return splits | {"train": rest}
    if rest:
        print(f"{len(rest)} images are in no list and are left out.", flush=True)
    return splits


def hashed_splits(pairs, validation_fraction):
    """train and val by a hash of the name, so that an image stays where it is when others come."""
    if len(pairs) < 2:
        raise InputError(f"{pairs[0].image} is alone: train and val need an image each.")

    def share(pair):
        digest = hashlib.sha256(pair.image.stem.encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    by_share = sorted(pairs, key=share)
    # At least one in each.
    size = sum(share(pair) < validation_fraction for pair in pairs)
    size = min(max(size, 1), len(pairs) - 1)
    val = set(by_share[:size])
    return {
        "train": [pair for pair in pairs if pair not in val],
        "val": [pair for pair in pairs if pair in val],
    }


def list_pairs(image_dir, mask_dir, some_unlabelled=False, problems=None):
    """The pairs of two folders, by stem, sorted.

    Args:
        image_dir: the folder of the images.
        mask_dir: the folder of the masks.
        some_unlabelled: bool, leave images without a mask out in place of refusing them.
        problems: as in `find_layout`.
    """
    if not mask_dir.is_dir():
        raise InputError(f"{image_dir} has no folder of masks beside it: {mask_dir} is missing.")
    images = by_stem(image_dir, IMAGE_SUFFIXES)
    masks = by_stem(mask_dir, (".png",))
    if some_unlabelled and (unlabelled := images.keys() - masks.keys()):
        print(f"{len(unlabelled)} images in {image_dir} have no mask and are left out.", flush=True)
        images = {stem: path for stem, path in images.items() if stem in masks}
    for there, here, what in ((masks, images, "mask"), (images, masks, "image")):
        lonely = sorted(there.keys() - here.keys())
        if problems is not None:
            problems += [(there[stem], f"{what} without a partner") for stem in lonely]
        elif lonely:
            other_dir = image_dir if what == "mask" else mask_dir
            more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise InputError(
                f"{what} {there[lonely[0]]}{more} has no partner of the same stem in {other_dir}: "
                "add it, or move the file out of the way."
            )
    if not images:
        raise InputError(f"{image_dir} holds no image ({' '.join(IMAGE_SUFFIXES)}).")
    return [Pair(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]


def by_stem(folder, suffixes):
    """The files of a folder with one of the suffixes, by stem; hidden files are left out."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise InputError(
                    f"{files[path.stem]} and {path.name} have the same stem: keep one of them."
                )
            files[path.stem] = path
    return files
