"""`folder`: pairs of images and masks, read from where they are; nothing is copied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.layouts import open_folder
from fcn_tf.data.pairs import Pair, read_pair
from fcn_tf.data.source import Dataset, Example, Record, Source
from fcn_tf.data.start_check import check_at_start
from fcn_tf.images.graph import (
    Window,
    as_bytes,
    cut,
    decode_image,
    from_python,
    image_size,
)
from fcn_tf.images.mask_graph import decode_mask


def folder_source(config: DataConfig) -> Source:
    """Lists the pairs of a folder, and reads some of them, to find faults early.

    Args:
        config: the data set, resolved.

    Raises:
        InputError: as in `open_folder` and `read_pair`.
    """
    folder = open_folder(config)
    coding = folder.coding
    check_at_start([pair for pairs in folder.splits.values() for pair in pairs], coding)

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
