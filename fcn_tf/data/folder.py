"""`folder`: pairs of images and index masks as they lie on the disk, none copied.

Two layouts are recognised:

    images/SPLIT/NAME.jpg  masks/SPLIT/NAME.png     SPLIT is train, val or test
    SPLIT/NAME.jpg         SPLITannot/NAME.png      the SegNet tutorial's

A mask is an 8-bit PNG, greyscale or with a palette, whose values are the
classes' indices: the lines of classes.txt, from 0.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from fcn_tf.classes import VOID, read_class_names
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Pair:
    """The files of an image and of its mask."""

    image: Path
    mask: Path


def folder_source(data_dir, class_names=None, ignore_label=None):
    """Indexes a folder of pairs and reads each of them once.

    Args:
        data_dir: the folder.
        class_names: names of the classes where the folder has no classes.txt.
        ignore_label: the value, besides 255, that means "not labelled".

    Returns:
        A `Source`.

    Raises:
        InputError: no such folder, layout or classes; train or val empty; an image
            without a mask or a mask without an image; a pair that cannot be read,
            differs in size or holds a value outside the classes.
    """
    data_dir = Path(data_dir).expanduser()
    if not data_dir.is_dir():
        raise InputError(f"data.data_dir={data_dir}: no such folder.")
    class_names = find_class_names(data_dir, class_names)
    pairs = {split: list_pairs(*folders) for split, folders in split_folders(data_dir).items()}
    read = partial(read_pair, num_classes=len(class_names), ignore_label=ignore_label)
    check_pairs([pair for split in pairs.values() for pair in split], read)

    def records(split):
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": [str(pair.image) for pair in pairs[split]],
                "mask": [str(pair.mask) for pair in pairs[split]],
            }
        )

    def decode(record):
        # Pillow, because TensorFlow turns a palette PNG into colours.
        image, mask = tf.numpy_function(
            lambda *paths: read(Pair(*(Path(path.decode()) for path in paths))),
            (record["image"], record["mask"]),
            (tf.uint8, tf.uint8),
            stateful=False,
        )
        image.set_shape((None, None, 3))
        mask.set_shape((None, None, 1))
        file_name = tf.strings.regex_replace(record["image"], ".*/", "")
        return {"image": image, "segmentation_mask": mask, "file_name": file_name}

    sizes = {split: len(found) for split, found in pairs.items()}
    return Source(class_names, sizes, records, decode)


def find_class_names(data_dir, given):
    """The names in classes.txt, one a line, or those given; both must agree."""
    path = data_dir / "classes.txt"
    names = None if given is None else tuple(given)
    if path.is_file():
        read = read_class_names(path)
        if names not in (None, read):
            raise InputError(
                f"{path} names {', '.join(read)}, but data.class_names is {', '.join(names)}: "
                "leave data.class_names out (null), or correct one of them."
            )
        names = read
    if names is None:
        raise InputError(
            f"{data_dir} has no classes.txt: write one with a class a line, in the order of "
            "the masks' values, or name them with --data.class_names."
        )
    if not 2 <= len(names) <= VOID or len(set(names)) < len(names):
        raise InputError(
            f"{data_dir} has the classes {', '.join(names)}: there must be between 2 and {VOID}, "
            "each with a name of its own."
        )
    return names


def split_folders(data_dir):
    """Finds the layout: {split: (folder of images, folder of masks)}."""
    layouts = (
        lambda split: (data_dir / "images" / split, data_dir / "masks" / split),
        lambda split: (data_dir / split, data_dir / f"{split}annot"),
    )
    for layout in layouts:
        found = {split: layout(split) for split in SPLITS if layout(split)[0].is_dir()}
        if found:
            break
    for split in ("train", "val"):
        if split not in found:
            raise InputError(
                f"{data_dir} has no split {split}: images are looked for in images/{split}/ and "
                f"masks in masks/{split}/, or in {split}/ and {split}annot/."
            )
    return found


def list_pairs(image_dir, mask_dir):
    """The pairs of two folders, by stem, sorted."""
    if not mask_dir.is_dir():
        raise InputError(f"{image_dir} has no folder of masks beside it: {mask_dir} is missing.")
    images = by_stem(image_dir, IMAGE_SUFFIXES)
    masks = by_stem(mask_dir, (".png",))
    for there, here, what in ((masks, images, "mask"), (images, masks, "image")):
        lonely = sorted(there.keys() - here.keys())
        if lonely:
            other_dir = image_dir if what == "mask" else mask_dir
            more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise InputError(
                f"{what} {there[lonely[0]]}{more} has no partner of the same stem in {other_dir}: "
                "add it, or move the file out of the way."
            )
    if not images:
        raise InputError(f"{image_dir} holds no image ({' '.join(IMAGE_SUFFIXES)}).")
    return [Pair(images[stem], masks[stem]) for stem in sorted(images)]


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


def read_pair(pair, num_classes, ignore_label):
    """Reads an image and its mask.

    Returns:
        image uint8 (H, W, 3) RGB and mask uint8 (H, W, 1) with labels and VOID.

    Raises:
        InputError: unreadable, not an index mask, sizes that differ, a value
            outside the classes.
    """
    image = open_image(pair.image).convert("RGB")
    mask_file = open_image(pair.mask)
    if mask_file.mode not in ("L", "P", "1"):
        raise InputError(
            f"{pair.mask}: mode {mask_file.mode}; a mask is an 8-bit PNG with one channel of "
            "class indices, greyscale or with a palette."
        )
    if image.size != mask_file.size:
        raise InputError(
            f"{pair.mask}: {describe_size(mask_file)}, but {pair.image.name} is "
            f"{describe_size(image)}; both must have one size."
        )
    mask = np.array(mask_file, np.uint8)
    if ignore_label is not None:
        mask[mask == ignore_label] = VOID
    outside = mask[(mask >= num_classes) & (mask != VOID)]
    if outside.size:
        ignored = f", {ignore_label}" if ignore_label is not None else ""
        raise InputError(
            f"{pair.mask}: value {outside[0]} in {outside.size} pixels; allowed are "
            f"0..{num_classes - 1} ({num_classes} classes) and {VOID}{ignored} for what is not "
            "labelled (--data.ignore_label)."
        )
    return np.asarray(image), mask[..., None]


def open_image(path):
    """A decoded Pillow image."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: cannot be read as an image ({error}); replace it or take it out."
        ) from error


def describe_size(image):
    return "{}×{} px".format(*image.size)


def check_pairs(pairs, read):
    """Reads every pair, so that a broken one is met before training and not in its midst."""
    print(f"Reading {len(pairs)} images and masks once, to check them …", flush=True)

    def problem(pair):
        try:
            read(pair)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        problems = [text for text in pool.map(problem, pairs) if text]
    if problems:
        more = f" ({len(problems) - 1} more pairs have faults.)" if len(problems) > 1 else ""
        raise InputError(problems[0] + more)
