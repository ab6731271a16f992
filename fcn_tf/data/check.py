"""What is wrong with which file, before training trips over it."""

from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import tensorflow as tf
from PIL import ExifTags

from fcn_tf.classes import VOID, voc_palette
from fcn_tf.data.frequencies import median_frequency_weights
from fcn_tf.data.layouts import find_layout
from fcn_tf.data.pairs import Coding, labels_of, read_pair, size_problem
from fcn_tf.data.pipeline import open_source, spread_samples, whole_images
from fcn_tf.errors import InputError
from fcn_tf.image_files import open_image
from fcn_tf.progress import with_progress

SAMPLES = 6
BACKGROUNDS = ("background", "_background_", "bg", "void", "unlabelled", "unlabeled")

# Pairs of a path (None for the whole data set) and a text; the labelled pixels of each class
# in each image of a split; names, colours, and a few samples for a sheet.
Checked = namedtuple("Checked", "problems counts class_names colors samples")


def check_data(config):
    """Reads every image and mask of a data set.

    Args:
        config: a `DataConfig`, resolved.

    Returns:
        A `Checked`.

    Raises:
        InputError: there is nothing that could be read, no such folder for instance.
    """
    checked = _check_folder(config) if config.name == "folder" else _check_source(config)
    present = np.sum(checked.counts["train"], axis=0) > 0
    missing = [n for n, there in zip(checked.class_names, present, strict=True) if not there]
    for name in missing:
        checked.problems.append((None, f"class {name} never occurs in train"))
    return checked


def plain(checked):
    """A `Checked` as plain Python for JSON: problems, and what is known of each class in train."""
    counts = np.array(checked.counts["train"])
    pixels = counts.sum(axis=0)
    weights = median_frequency_weights(counts)
    return {
        "images": {split: len(images) for split, images in checked.counts.items()},
        "problems": [
            {"file": path and str(path), "problem": text} for path, text in checked.problems
        ],
        "classes": {
            name: {
                "images": int((counts[:, index] > 0).sum()),
                "pixels": int(pixels[index]),
                "share": float(pixels[index] / max(pixels.sum(), 1)),
                "median_frequency_weight": round(weights[index], 4),
            }
            for index, name in enumerate(checked.class_names)
        },
    }


def faults_of(pair, coding, background):
    """Everything that is wrong with a pair, and what is in its mask.

    Args:
        pair: a `Pair`.
        coding: a `Coding`.
        background: the label of which a mask is not worth having alone, or None.

    Returns:
        list of (path, text), and int64 (C,) labelled pixels, zeros if there is no mask.
    """
    faults, image, mask_file = [], None, None
    counts = np.zeros(coding.num_classes, np.int64)
    try:
        image = open_image(pair.image)
        faults += [(pair.image, text) for text in _odd(image)]
    except InputError as error:
        faults.append((pair.image, str(error)))
    try:
        mask_file = open_image(pair.mask)
        labels = labels_of(mask_file, pair.mask, coding)
    except InputError as error:
        faults.append((pair.mask, str(error)))
    else:
        counts += np.bincount(labels.ravel(), minlength=VOID + 1)[: coding.num_classes]
        if not counts.any():
            faults.append((pair.mask, "empty: no pixel is labelled"))
        elif background is not None and counts[background] == counts.sum():
            faults.append((pair.mask, "empty: nothing but background"))
    if image and mask_file and (text := size_problem(pair, image, mask_file)):
        faults.append((pair.mask, text))
    return faults, counts


def _odd(image):
    """What of a decoded image is read otherwise than somebody may expect."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation != 1:
        yield (
            f"EXIF orientation {orientation}: viewers turn it, training reads the pixels as they "
            "are stored; turn the image for good, as its mask is"
        )
    if image.mode == "CMYK":
        yield "CMYK: colours are converted roughly; save it as RGB"
    if image.mode.startswith(("I", "F")):
        yield f"more than 8 bits a channel ({image.mode}): save it as 8-bit RGB"
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        yield "an alpha channel, which is dropped: save it as RGB"


def _check_folder(config):
    problems = []
    layout = find_layout(config.data_dir, config.class_names, config.validation_fraction, problems)
    coding = Coding(len(layout.class_names), layout.colors, config.ignore_label)
    background = 0 if layout.class_names[0].lower() in BACKGROUNDS else None
    check = partial(faults_of, coding=coding, background=background)
    counts, whole = {}, []
    with ThreadPoolExecutor() as pool:
        for split, pairs in layout.splits.items():
            print(f"{split}, {len(pairs)} images and masks:", flush=True)
            counts[split] = []
            results = with_progress(pool.map(check, pairs), len(pairs), "pair")
            for pair, (faults, pixels) in zip(pairs, results, strict=True):
                problems += faults
                counts[split].append(pixels)
                if not faults:
                    whole.append(pair)
    samples = []
    for pair in whole[:: max(1, len(whole) // SAMPLES)][:SAMPLES]:
        image, mask = read_pair(pair, coding)
        samples.append({"image": image, "truth": mask[..., 0], "title": pair.image.name})
    return Checked(problems, counts, layout.class_names, layout.colors, samples)


def _check_source(config):
    source = open_source(config)
    problems, counts = [], {}
    for split, size in source.split_sizes.items():
        print(f"{split}, {size} images and masks:", flush=True)
        counts[split] = []
        examples = whole_images(source, split).as_numpy_iterator()
        try:
            for example in with_progress(examples, size, "image"):
                image, mask = example["image"], example["segmentation_mask"]
                name = example["file_name"].decode()
                pixels = np.bincount(mask.ravel(), minlength=VOID + 1)
                counts[split].append(pixels[: len(source.class_names)])
                if image.shape[:2] != mask.shape[:2]:
                    problems.append((name, f"{image.shape[:2]}, its mask {mask.shape[:2]}"))
                if pixels[len(source.class_names) : VOID].any():
                    problems.append((name, "its mask has values of no class"))
        except tf.errors.OpError as error:
            place = f"image {len(counts[split]) + 1} of {split}"
            problems.append((None, f"{place} cannot be decoded: {str(error).splitlines()[0]}"))
    size = len(counts["train"])  # up to the first that is broken
    samples = list(spread_samples(source, "train", size, SAMPLES))
    colors = source.colors or voc_palette(len(source.class_names)).tolist()
    return Checked(problems, counts, source.class_names, colors, samples)
