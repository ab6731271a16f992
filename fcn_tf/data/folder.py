"""`folder`: pairs of images and masks as they lie on the disk, none copied."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.data.decoding import cut, decode_image, image_size, is_grey_png
from fcn_tf.data.layouts import find_layout
from fcn_tf.data.pairs import Coding, Pair, read_mask, read_pair
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

    def decode(record, window=None):
        contents = tf.io.read_file(record["image"])
        mask = _decode_mask(record["mask"], coding)
        same_size = tf.reduce_all(tf.shape(mask)[:2] == image_size(contents))
        # Reading both names the files whose sizes differ.
        mask = tf.cond(
            same_size,
            lambda: mask,
            lambda: _by_pillow(lambda *p: read(Pair(*p))[1], record["image"], record["mask"]),
        )
        return {
            "image": decode_image(contents, window),
            "segmentation_mask": cut(mask, window),
            "file_name": tf.strings.regex_replace(record["image"], ".*/", ""),
        }

    return Source(
        class_names=layout.class_names,
        split_sizes={split: len(pairs) for split, pairs in layout.splits.items()},
        records=records,
        image_size=lambda record: image_size(tf.io.read_file(record["image"])),
        decode=decode,
        colors=layout.colors,
    )


def _decode_mask(path, coding):
    """Labels, uint8 (H, W, 1), of a mask's file, in graph mode."""

    def by_pillow():  # TensorFlow turns a palette PNG into colours
        return _by_pillow(lambda file: read_mask(file, coding), path)

    def of_grey_png():
        mask = tf.io.decode_png(contents, channels=1)
        if coding.ignore_label is not None:
            mask = tf.where(mask == coding.ignore_label, tf.constant(VOID, tf.uint8), mask)
        outside = tf.reduce_any((mask >= coding.num_classes) & (mask != VOID))
        # Pillow's way names the file and the value.
        return tf.cond(outside, by_pillow, lambda: mask)

    contents = tf.io.read_file(path)
    return tf.cond(is_grey_png(contents), of_grey_png, by_pillow)


def _by_pillow(read, *paths):
    """The mask, uint8 (H, W, 1), that Python reads from the files, in graph mode."""
    mask = tf.numpy_function(
        lambda *names: read(*(Path(name.decode()) for name in names)),
        paths,
        tf.uint8,
        stateful=False,
    )
    return tf.ensure_shape(mask, (None, None, 1))


def _check_some(pairs, read):
    """Reads pairs spread over the folder, so that a fault is met before training."""
    step = -(-len(pairs) // CHECKED_AT_START)
    some = pairs[::step]
    which = f"{len(some)} of {len(pairs)}" if step > 1 else f"{len(pairs)}"
    print(f"Reading {which} images and masks once, to check them …", flush=True)

    def problem(pair):
        try:
            read(pair)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        found = [text for text in pool.map(problem, some) if text]
    if found:
        more = f" ({len(found) - 1} more pairs have faults.)" if len(found) > 1 else ""
        raise InputError(found[0] + more)
