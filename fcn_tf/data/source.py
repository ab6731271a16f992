"""What every data set looks like to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fcn_tf.classes import check_num_classes
from fcn_tf.data.skipped import Skipped
from fcn_tf.images.coding import Coding
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
class Pieces:
    """A split whose records can only be read one after the other, cut into pieces.

    Some pieces at a time are shuffled together in memory. So a stream may begin at any piece
    without reading those before.

    Args:
        lengths: the number of records in each piece.
        together: the number of pieces that are shuffled together.
        read: the records of the piece with a number (int64, scalar), as they are stored and in
            their order, in graph mode.
        unpack: a `Record` from what `read` gives, in graph mode.
    """

    lengths: Sequence[int]
    together: int
    read: Callable[[Tensor], Dataset]
    unpack: Callable[..., Record]


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
        coding: what the values of the masks mean, where masks are decoded by one.
        record_at: the record of a split with a number (int64, scalar), counted as in `records`,
            in graph mode. None where records can only be read one after the other.
        pieces: the same records in pieces. Where this is None too, the records of a whole split
            are shuffled in memory.
        fault: what is wrong with the files of a record (of eager tensors), or None where it finds
            nothing. Its message names the file, which that of `decode` may not.
        skipped: notes the records whose files cannot be used, where these are skipped; None where
            they end the work.

    Raises:
        InputError: there are fewer than 2 classes, or more than 255.
    """

    class_names: tuple[str, ...]
    split_sizes: dict[str, int]
    records: Callable[[str], Dataset]
    image_size: Callable[[Record], Tensor]
    decode: Decode
    colors: tuple[tuple[int, int, int], ...] | None = None
    coding: Coding | None = None
    record_at: Callable[[str, Tensor], Record] | None = None
    pieces: Callable[[str], Pieces] | None = None
    fault: Callable[[Record], str | None] = lambda record: None
    skipped: Skipped | None = None

    def __post_init__(self) -> None:
        check_num_classes(len(self.class_names), "number of classes of the data set")
