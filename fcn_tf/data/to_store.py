"""What is stored of a labelled image: the bytes of its file, and the labels that training reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.broken import SKIPPED_MARK, decoded, unlabelled_example
from fcn_tf.data.order import records_at
from fcn_tf.data.skipped import Skipped
from fcn_tf.data.source import Record, Source
from fcn_tf.images.graph import DEPTH_16_BIT, JPEG, PNG, PNG_DEPTH, Tensor
from fcn_tf.images.orientation import SizePx, chosen_orientation
from fcn_tf.images.read import read_header


class ToStore(NamedTuple):
    """A labelled image.

    Args:
        number: of the record in its split, from 0.
        file_name: the path of the image below the folder of the data, or its title.
        image: the bytes of its file where every reader makes these pixels of them; else the
            pixels, uint8 (H, W, 3) RGB.
        labels: uint8 (H, W, 1), the numbers of the classes and VOID.
        is_turned: whether its EXIF orientation turned the pixels.
    """

    number: int
    file_name: bytes
    image: bytes | NDArray[np.uint8]
    labels: NDArray[np.uint8]
    is_turned: bool


class Unusable(NamedTuple):
    """A record whose files cannot be used: its split, its number there, and why."""

    split: str
    number: int
    text: str


def to_store(
    source: Source, data: DataConfig, split: str, numbers: Sequence[int] | None = None
) -> Iterator[ToStore | Unusable]:
    """The labelled images of a split in their order, decoded as training decodes them.

    Args:
        source: the data set.
        data: its configuration, resolved.
        split: one of its splits.
        numbers: of the records that are wanted, rising; None for all.
    """
    skipped = source.skipped if source.skipped is not None else Skipped()
    source = replace(source, skipped=skipped)
    if numbers is None:
        records, numbers = source.records(split), range(source.split_sizes[split])
    else:
        records = records_at(source, split, numbers)
    is_folder = data.name == "folder"

    def named(record: Record) -> dict[str, Tensor]:
        if is_folder:
            return {"contents": tf.io.read_file(record["image"]), "place": record["image"]}
        return {"contents": record["image"], "place": record["place"]}

    def decode(record: Record) -> dict[str, Tensor]:
        return {**source.decode(record), **named(record)}

    def instead(record: Record) -> dict[str, Tensor]:
        example = unlabelled_example(source)(record)
        return {**example, "contents": b"", "place": example["file_name"]}

    examples = decoded(source, records, decode, instead).prefetch(tf.data.AUTOTUNE)
    below = _below(data) if is_folder else None
    for number, example in zip(numbers, examples.as_numpy_iterator(), strict=True):
        name = os.fsdecode(example["file_name"])
        if name.endswith(SKIPPED_MARK):
            text = skipped.faults()[name.removesuffix(SKIPPED_MARK)]
            yield Unusable(split, number, text)
            continue
        labels = example["segmentation_mask"]
        place, contents = os.fsdecode(example["place"]), example["contents"]
        stays, is_turned = stays_as_it_is(contents, place, data, labels.shape[:2])
        yield ToStore(
            number=number,
            file_name=example["file_name"] if below is None else below(example["place"]),
            image=contents if stays else example["image"],
            labels=labels,
            is_turned=is_turned,
        )


def _below(data: DataConfig) -> Callable[[bytes], bytes]:
    """The path of an image below the folder of the data; of one that lies elsewhere its name."""
    root = Path(data.data_dir or "").expanduser()

    def below(place: bytes) -> bytes:
        path = Path(os.fsdecode(place))
        inside = path.is_relative_to(root)
        return os.fsencode(path.relative_to(root).as_posix() if inside else path.name)

    return below


def stays_as_it_is(
    contents: bytes, place: str, data: DataConfig, mask_px: SizePx
) -> tuple[bool, bool]:
    """Whether an image is stored as its file is, and whether its EXIF orientation turns it.

    The readers of TFDS decode JPEG and PNG, leave the orientation aside, cut 16 bits to 8, and
    make other colours of CMYK.

    Args:
        contents: the bytes of its file.
        place: of the file, for messages.
        data: the configuration of the data set.
        mask_px: height and width of its mask.
    """
    header = read_header(place, contents)
    is_turned = data.name == "folder" and header.orientation != 1
    if is_turned:
        chosen = chosen_orientation(data.exif, header.orientation, header.stored_px, mask_px)
        is_turned = chosen != 1
    start, length = PNG_DEPTH
    is_deep = contents.startswith(PNG) and contents[start : start + length] == DEPTH_16_BIT
    is_known = contents.startswith((JPEG, PNG)) and not header.mode.startswith("CMYK")
    return is_known and not is_turned and not is_deep and data.bands is None, is_turned
