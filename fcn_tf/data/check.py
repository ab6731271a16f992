"""What is wrong with which file of a data set, before a training meets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import ExifTags, Image

from fcn_tf.classes import VOID, palette_or_voc
from fcn_tf.config.schema import DataConfig
from fcn_tf.data.frequencies import median_frequency_weights
from fcn_tf.data.layouts import open_folder
from fcn_tf.data.pairs import Pair, Problem, read_pair, size_problem
from fcn_tf.data.pipeline import LabelledImage, open_source, spread_samples, whole_images
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError
from fcn_tf.images.masks import Coding, labels_of
from fcn_tf.images.read import open_image, to_rgb
from fcn_tf.progress import with_progress

SAMPLES = 6
BACKGROUNDS = ("background", "_background_", "bg", "void", "unlabelled", "unlabeled")


@dataclass(frozen=True)
class Checked:
    """The findings in a data set.

    Args:
        problems: what is wrong, each with its file.
        counts: the labelled pixels of each class in each image of a split, int64 (C,).
        class_names: C names.
        colors: C RGB triples, 0..255.
        samples: a few labelled images, for a sheet.
    """

    problems: list[Problem]
    counts: dict[str, list[NDArray[np.int64]]]
    class_names: tuple[str, ...]
    colors: Sequence[Sequence[int]]
    samples: list[LabelledImage]


def check_data_set(config: DataConfig) -> Checked:
    """Reads every image and mask of a data set.

    Args:
        config: the data set, resolved.

    Raises:
        InputError: there is nothing to read, because there is no such folder for instance.
    """
    checked = _check_folder(config) if config.name == "folder" else _check_source(config)
    present = _counts_of_train(checked).sum(axis=0) > 0
    missing = [n for n, there in zip(checked.class_names, present, strict=True) if not there]
    for name in missing:
        checked.problems.append((None, f"class {name} never occurs in train"))
    return checked


def as_json(checked: Checked) -> dict[str, Any]:
    """The findings as values that JSON has: the problems, and figures of each class in train."""
    counts = _counts_of_train(checked)
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


def _counts_of_train(checked: Checked) -> NDArray[np.int64]:
    """The labelled pixels of each class in each image of train, (images, C)."""
    counts = np.array(checked.counts["train"], np.int64)
    return counts.reshape(-1, len(checked.class_names))  # (0, C) where no image could be read


def faults_of(
    pair: Pair, coding: Coding, background: int | None
) -> tuple[list[Problem], NDArray[np.int64]]:
    """Everything that is wrong with a pair, and the contents of its mask.

    Args:
        pair: the files.
        coding: what the values of the mask mean.
        background: the label of the background, or None. A mask with no other label is a fault.

    Returns:
        the problems, and the labelled pixels of each class, int64 (C,); zeros without a mask.
    """
    faults: list[Problem] = []
    counts = np.zeros(coding.num_classes, np.int64)
    image = _opened(pair.image, faults)
    mask_file = _opened(pair.mask, faults)
    if image:
        faults += [(pair.image, text) for text in _image_faults(image, pair.image)]
    if mask_file:
        try:
            labels = labels_of(mask_file, pair.mask, coding)
        except InputError as error:
            faults.append((pair.mask, str(error)))
        else:
            counts += np.bincount(labels.ravel(), minlength=VOID + 1)[: coding.num_classes]
            if text := _empty(counts, background):
                faults.append((pair.mask, text))
    if image and mask_file and (text := size_problem(pair, image, mask_file)):
        faults.append((pair.mask, text))
    return faults, counts


def _opened(path: Path, faults: list[Problem]) -> Image.Image | None:
    """A decoded file. If it cannot be read this is None, and `faults` gets the reason."""
    try:
        return open_image(path)
    except InputError as error:
        faults.append((path, str(error)))
        return None


def _image_faults(image: Image.Image, path: Path) -> Iterator[str]:
    """Why a decoded image is refused, or read in another way than some may expect."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation != 1:
        yield (
            f"EXIF orientation {orientation}: viewers turn it, training reads the pixels as they "
            "are stored; turn the image for good, as its mask is"
        )
    if image.mode == "CMYK":
        yield "CMYK: colours are converted roughly; save it as RGB"
    try:
        to_rgb(image, path)
    except InputError as error:
        yield str(error)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        yield "an alpha channel, which is dropped: save it as RGB"


def _empty(counts: NDArray[np.int64], background: int | None) -> str | None:
    """The message for a mask without labels or with background alone, or None."""
    if not counts.any():
        return "empty: no pixel is labelled"
    if background is not None and counts[background] == counts.sum():
        return "empty: nothing but background"
    return None


def _check_folder(config: DataConfig) -> Checked:
    problems: list[Problem] = []
    folder = open_folder(config, problems)
    coding = folder.coding
    background = 0 if folder.class_names[0].lower() in BACKGROUNDS else None
    check = partial(faults_of, coding=coding, background=background)
    counts: dict[str, list[NDArray[np.int64]]] = {}
    whole = []
    with ThreadPoolExecutor() as pool:
        for split, pairs in folder.splits.items():
            print(f"{split}, {len(pairs)} images and masks:", flush=True)
            counts[split] = []
            results = with_progress(pool.map(check, pairs), len(pairs), "pair")
            for pair, (faults, pixels) in zip(pairs, results, strict=True):
                problems += faults
                counts[split].append(pixels)
                if not faults:
                    whole.append(pair)
    samples: list[LabelledImage] = []
    for pair in whole[:: max(1, len(whole) // SAMPLES)][:SAMPLES]:
        image, mask = read_pair(pair, coding)
        samples.append({"image": image, "truth": mask[..., 0], "title": pair.image.name})
    return Checked(problems, counts, folder.class_names, folder.colors, samples=samples)


def _check_source(config: DataConfig) -> Checked:
    source = open_source(config)
    problems: list[Problem] = []
    counts = {}
    for split, size in source.split_sizes.items():
        print(f"{split}, {size} images and masks:", flush=True)
        counts[split] = _count_split(source, split, problems)
    size = len(counts["train"])  # up to the first that is broken
    samples = list(spread_samples(source, "train", size, SAMPLES))
    colors = palette_or_voc(source.colors, len(source.class_names))
    return Checked(problems, counts, source.class_names, colors, samples=samples)


def _count_split(source: Source, split: str, problems: list[Problem]) -> list[NDArray[np.int64]]:
    """The labelled pixels of each class in each image, up to the first that is broken."""
    num_classes = len(source.class_names)
    counts: list[NDArray[np.int64]] = []
    examples = whole_images(source, split).as_numpy_iterator()
    try:
        for example in with_progress(examples, source.split_sizes[split], "image"):
            image, mask = example["image"], example["segmentation_mask"]
            name = example["file_name"].decode()
            pixels = np.bincount(mask.ravel(), minlength=VOID + 1)
            counts.append(pixels[:num_classes])
            if image.shape[:2] != mask.shape[:2]:
                problems.append((name, f"{image.shape[:2]}, its mask {mask.shape[:2]}"))
            if pixels[num_classes:VOID].any():
                problems.append((name, "its mask has values of no class"))
    except tf.errors.OpError as error:
        place = f"image {len(counts) + 1} of {split}"
        problems.append((None, f"{place} cannot be decoded: {str(error).splitlines()[0]}"))
    return counts
