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
        decode: maps a record, in graph mode, to a dict of `image` uint8
            (H, W, 3), `segmentation_mask` uint8 (H, W, 1) with labels and
            VOID, and `file_name`.
        colors: the classes' own RGB triples, or None.
    """

    class_names: tuple[str, ...]
    split_sizes: dict[str, int]
    records: Callable[[str], tf.data.Dataset]
    decode: Callable[[dict], dict]
    colors: tuple[tuple[int, int, int], ...] | None = None
