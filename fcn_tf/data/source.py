"""What every data set looks like to the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fcn_tf.data.skipped import Skipped
from fcn_tf.images.graph import Tensor, Window

Dataset = Any  # a tf.data.Dataset; TensorFlow has no types
# What is known of one image before it is decoded: a tensor or a dict of them, small; paths or
# encoded bytes for instance.
Record = Any
# `image` uint8 (h, w, 3) RGB, `segmentation_mask` uint8 (h, w, 1) with labels and VOID, and
# `file_name`, a scalar string.
Example = dict[str, Tensor]


class Decode(Protocol):
    """Decodes a record in graph mode."""

    def __call__(self, record: Record, window: Window | None = None) -> Example:
        """The image and the mask of a record.

        Args:
            record: one of `Source.records`.
            window: (start, size), both int32 (2,), rows and columns: the part that is wanted;
                None for all of it.
        """
        ...


@dataclass(frozen=True)
class Source:
    """A labelled data set.

    Args:
        class_names: the classes, in the order of their labels.
        split_sizes: the number of images in each split: "train", "val" and perhaps "test".
        records: the records of a split, in a fixed order.
        image_size: height and width of a record's image, int32 (2,), in graph mode, without
            decoding it.
        decode: decodes a record, in graph mode.
        colors: the classes' own RGB triples, 0..255, or None.
        fault: what is wrong with the files of a record (of eager tensors), or None where it finds
            nothing. Its message names the file, which that of `decode` may not.
        skipped: notes the records whose files cannot be used, where these are skipped; None where
            they end the work.
    """

    class_names: tuple[str, ...]
    split_sizes: dict[str, int]
    records: Callable[[str], Dataset]
    image_size: Callable[[Record], Tensor]
    decode: Decode
    colors: tuple[tuple[int, int, int], ...] | None = None
    fault: Callable[[Record], str | None] = lambda record: None
    skipped: Skipped | None = None
