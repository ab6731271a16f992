"""What every data set looks like to the pipeline."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Source:
    """A labelled data set.

    Args:
        class_names: the classes, in the order of their labels.
        split_sizes: images a split, by "train", "val" and "test".
        records: maps a split to a `tf.data.Dataset` of small undecoded
            records, in a fixed order.
        image_size: maps a record, in graph mode, to its height and width,
            int32 (2,), without decoding it.
        decode: maps a record and a window (start, size), or None for all of
            it, in graph mode, to a dict of `image` uint8 (h, w, 3),
            `segmentation_mask` uint8 (h, w, 1) with labels and VOID, and
            `file_name`.
        colors: the classes' own RGB triples, or None.
    """

    class_names: tuple[str, ...]
    split_sizes: dict[str, int]
    records: Callable[[str], tf.data.Dataset]
    image_size: Callable[[dict], tf.Tensor]
    decode: Callable[..., dict]
    colors: tuple[tuple[int, int, int], ...] | None = None
