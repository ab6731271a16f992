"""`folder`: pairs of images and masks, read from where they are; nothing is copied."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.data.layouts import open_folder
from fcn_tf.data.pairs import Pair, read_pair
from fcn_tf.data.source import Dataset, Example, Record, Source
from fcn_tf.errors import InputError
from fcn_tf.images.formats import pages_of
from fcn_tf.images.graph import (
    Window,
    as_bytes,
    cut,
    decode_image,
    decode_mask,
    from_python,
    image_size,
)
from fcn_tf.images.masks import Coding

# Pairs that are read before training begins; `fcn-tf check-data` reads all.
CHECKED_AT_START = 500


def folder_source(
    data_dir: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    ignore_label: int | None = None,
    validation_fraction: float = 0.2,
) -> Source:
    """Lists the pairs of a folder, and reads some of them, to find faults early.

    Args:
        data_dir: the folder.
        class_names: names of the classes if the folder has no file of them.
        ignore_label: the value, besides 255, that means "not labelled".
        validation_fraction: share of val if the folder has no splits, above 0 and below 1.

    Raises:
        InputError: as in `open_folder` and `read_pair`.
    """
    folder = open_folder(data_dir, class_names, validation_fraction)
    coding = Coding(len(folder.class_names), folder.colors, ignore_label)
    _check_some([pair for pairs in folder.splits.values() for pair in pairs], coding)

    def records(split: str) -> Dataset:
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": [str(pair.image) for pair in folder.splits[split]],
                "mask": [str(pair.mask) for pair in folder.splits[split]],
            }
        )

    def decode(record: Record, window: Window | None = None) -> Example:
        contents = tf.io.read_file(record["image"])
        mask = decode_mask(tf.io.read_file(record["mask"]), coding, record["mask"])
        same_size = tf.reduce_all(tf.shape(mask)[:2] == image_size(contents, record["image"]))
        # Where the sizes differ, reading the pair in Python gives the error that names both.
        files = record["image"], record["mask"]
        mask = tf.cond(same_size, lambda: mask, lambda: from_python(mask_of, files, channels=1))
        return {
            "image": decode_image(contents, window, record["image"]),
            "segmentation_mask": cut(mask, window),
            "file_name": tf.strings.regex_replace(record["image"], ".*/", ""),
        }

    def mask_of(*files: Any) -> NDArray[np.uint8]:
        image, mask = (Path(os.fsdecode(as_bytes(file))) for file in files)
        return read_pair(Pair(image, mask), coding)[1]

    return Source(
        class_names=folder.class_names,
        split_sizes={split: len(pairs) for split, pairs in folder.splits.items()},
        records=records,
        image_size=lambda record: image_size(tf.io.read_file(record["image"]), record["image"]),
        decode=decode,
        colors=folder.colors,
    )


def _check_some(pairs: list[Pair], coding: Coding) -> None:
    """Reads pairs spread over the folder, so that a fault is found before training."""
    step = -(-len(pairs) // CHECKED_AT_START)
    some = pairs[::step]
    which = f"{len(some)} of {len(pairs)}" if step > 1 else f"{len(pairs)}"
    print(f"Reading {which} images and masks once, to check them …", flush=True)

    def problem(pair: Pair) -> str | None:
        try:
            read_pair(pair, coding)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        found = [text for text in pool.map(problem, some) if text]
        pages = list(pool.map(lambda pair: pages_of(pair.image), some))
    if paged := [pair.image for pair, count in zip(some, pages, strict=True) if count > 1]:
        print(
            f"{len(paged)} images have several pages or frames, of which the first is read: "
            f"{paged[0]}, for instance.",
            flush=True,
        )
    if found:
        more = f" ({len(found) - 1} more pairs have faults.)" if len(found) > 1 else ""
        raise InputError(found[0] + more)
