"""`folder`: pairs of images and masks as they lie on the disk, none copied."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import tensorflow as tf

from fcn_tf.data.layouts import find_layout
from fcn_tf.data.pairs import Coding, Pair, read_pair
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError

# Pairs that are read before training begins; `fcn-tf check-data` reads all.
CHECKED_AT_START = 500


def folder_source(data_dir, class_names=None, ignore_label=None, validation_fraction=0.2):
    """Indexes a folder of pairs and reads some of them, to meet faults early.

    Args:
        data_dir: the folder.
        class_names: names of the classes where the folder has no file of them.
        ignore_label: the value, besides 255, that means "not labelled".
        validation_fraction: float in (0, 1), share of val where the folder has no split.

    Returns:
        A `Source`.

    Raises:
        InputError: as `find_layout` and `read_pair`.
    """
    layout = find_layout(data_dir, class_names, validation_fraction)
    coding = Coding(len(layout.class_names), layout.colors, ignore_label)
    read = partial(read_pair, coding=coding)
    _check_some([pair for pairs in layout.splits.values() for pair in pairs], read)

    def records(split):
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": [str(pair.image) for pair in layout.splits[split]],
                "mask": [str(pair.mask) for pair in layout.splits[split]],
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

    sizes = {split: len(pairs) for split, pairs in layout.splits.items()}
    return Source(layout.class_names, sizes, records, decode, layout.colors)


def problems_of(pairs, read):
    """What is wrong with each pair, None or the message, in their order."""

    def problem(pair):
        try:
            read(pair)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        yield from pool.map(problem, pairs)


def _check_some(pairs, read):
    """Reads pairs spread over the folder, so that a fault is met before training."""
    step = -(-len(pairs) // CHECKED_AT_START)
    some = pairs[::step]
    which = f"{len(some)} of {len(pairs)}" if step > 1 else f"{len(pairs)}"
    print(f"Reading {which} images and masks once, to check them …", flush=True)
    found = [text for text in problems_of(some, read) if text]
    if found:
        more = f" ({len(found) - 1} more pairs have faults.)" if len(found) > 1 else ""
        raise InputError(found[0] + more)
