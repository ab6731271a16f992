"""`folder`: pairs of images and masks, read from where they are; nothing is copied."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.first_pages import say_first_pages
from fcn_tf.data.layouts import open_folder
from fcn_tf.data.pairs import Notes, Pair, fault_in, read_pair
from fcn_tf.data.skipped import Skipped
from fcn_tf.data.source import Dataset, Example, Record, Source
from fcn_tf.data.start_check import check_at_start
from fcn_tf.images.graph import Tensor, Window, as_bytes, cut, from_python, image_size
from fcn_tf.images.mask_graph import decode_mask
from fcn_tf.images.orientation_graph import decode_turned, image_turn
from fcn_tf.images.read import Reading

# Pairs of a folder whose paths are held in memory. Those of more are read as they are needed.
IN_MEMORY = 50_000


def folder_source(config: DataConfig, trains: bool = True) -> Source:
    """Lists the pairs of a folder, and reads some of them, to find faults early.

    Args:
        config: the data set, resolved.
        trains: whether a training follows, which needs two classes in train.

    Raises:
        InputError: as in `open_folder` and `read_pair`.
    """
    folder = open_folder(config)
    coding = folder.coding
    reading = Reading(config.exif, config.value_range, config.bands)
    skipped = Skipped() if config.broken == "skip" else None
    read = partial(read_pair, coding=coding, reading=reading)
    notes = Notes()
    check_at_start(
        folder.splits,
        partial(read, notes=notes),
        folder.class_names,
        config=config,
        notes=notes,
        skipped=skipped,
        trains=trains,
    )
    say_first_pages(folder.splits.values())
    is_large = sum(map(len, folder.splits.values())) > IN_MEMORY

    def records(split: str) -> Dataset:
        pairs = folder.splits[split]
        if is_large:
            numbers = tf.data.Dataset.range(len(pairs))
            return numbers.map(lambda n: record_at(split, n), tf.data.AUTOTUNE, deterministic=True)
        paths = [_paths(pair) for pair in pairs]
        return tf.data.Dataset.from_tensor_slices(
            {"image": [image for image, _ in paths], "mask": [mask for _, mask in paths]}
        )

    def record_at(split: str, number: Tensor) -> Record:
        return pair_record(folder.splits[split], number)

    def mask_contents(record: Record) -> Tensor:
        """What tells a mask from another: outlines of several images may lie in one file."""
        return tf.io.read_file(record["mask"]) if coding.drawn is None else record["mask"]

    def drawn_or_read(record: Record) -> Tensor:
        return decode_mask(mask_contents(record), coding, record["mask"])

    def size_of(record: Record) -> Tensor:
        def mask_px() -> Tensor:
            if coding.drawn is not None:
                return tf.shape(drawn_or_read(record))[:2]
            return image_size(mask_contents(record), record["mask"])

        contents = tf.io.read_file(record["image"])
        return image_turn(contents, record["image"], reading.exif, mask_px).shown_px

    def decode(record: Record, window: Window | None = None) -> Example:
        contents = tf.io.read_file(record["image"])
        mask = drawn_or_read(record)
        mask_px = tf.shape(mask)[:2]
        turn = image_turn(contents, record["image"], reading.exif, lambda: mask_px)
        same_size = tf.reduce_all(mask_px == turn.shown_px)
        # Where the sizes differ, reading the pair in Python gives the error that names both.
        files = record["image"], record["mask"]
        mask = tf.cond(same_size, lambda: mask, lambda: from_python(mask_of, files, channels=1))
        return {
            "image": decode_turned(contents, turn, window, name=record["image"], reading=reading),
            "segmentation_mask": cut(mask, window),
            "file_name": tf.strings.split(record["image"], os.sep)[-1],
        }

    def mask_of(*files: Any) -> NDArray[np.uint8]:
        return read(_pair(*files))[1]

    def fault(record: Record) -> str | None:
        return fault_in(read, _pair(record["image"], record["mask"]))

    return Source(
        class_names=folder.class_names,
        split_sizes={split: len(pairs) for split, pairs in folder.splits.items()},
        records=records,
        image_size=size_of,
        decode=decode,
        colors=folder.colors,
        coding=coding,
        record_at=record_at if is_large else None,
        fault=fault,
        skipped=skipped,
    )


def pair_record(pairs: Sequence[Pair], number: Tensor) -> Record:
    """The paths of the pair with a number (int64, scalar), in graph mode."""

    def read_paths(number: Any) -> tuple[bytes, bytes]:
        return _paths(pairs[int(number)])

    kinds = tf.string, tf.string
    paths = tf.numpy_function(read_paths, (number,), kinds, stateful=False)
    image, mask = (tf.ensure_shape(path, ()) for path in paths)
    return {"image": image, "mask": mask}


def _paths(pair: Pair) -> tuple[bytes, bytes]:
    return os.fsencode(pair.image), os.fsencode(pair.mask)


def _pair(*files: Any) -> Pair:
    """The pair of two paths, as TensorFlow hands them to Python."""
    image, mask = (Path(os.fsdecode(as_bytes(file))) for file in files)
    return Pair(image, mask)
