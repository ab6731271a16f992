"""Records whose files cannot be used: found, named, and skipped where `data.broken` says so."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.data.as_written import as_written
from fcn_tf.data.source import Dataset, Example, Record, Source
from fcn_tf.images.graph import Tensor

# What TensorFlow raises for a file that is not there or cannot be decoded.
FILE_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnknownError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,  # a folder in place of a file
    tf.errors.DataLossError,
)

SKIPPED_MARK = " (skipped)"  # behind the name of a record


@as_written
def decoded(
    source: Source,
    records: Dataset,
    decode: Callable[..., Any],
    instead: Callable[..., Any],
) -> Dataset:
    """Decodes records, several at a time and in their order.

    Args:
        source: the data set of the records.
        records: a `tf.data.Dataset`; the last part of each element is a record.
        decode: a function of an element, in graph mode.
        instead: the same for an element whose files cannot be used, where these are skipped:
            then `Skipped` notes the record. Otherwise `decode`'s error ends the data set.
    """
    skipped = source.skipped
    if skipped is None:
        return records.map(decode, tf.data.AUTOTUNE, deterministic=True)

    def one(*element: Any) -> Dataset:
        data = tf.data.Dataset.from_tensors(element)
        # The second part is read only where the first one has nothing left.
        return data.map(decode).ignore_errors().concatenate(data.map(instead)).take(1)

    together = 2 * (os.cpu_count() or 1)
    return records.interleave(
        one, cycle_length=together, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def skip(source: Source, record: Record, size: int | None = None) -> Tensor:
    """Notes a record as skipped, in graph mode.

    Args:
        source: the data set, whose `skipped` takes the note.
        record: the record.
        size: as in `Skipped.note`.

    Returns:
        The name of the record, a scalar string. What depends on it happens after the note.
    """
    structure, skipped = record, source.skipped

    def note(*leaves: Tensor) -> bytes:
        of_record = tf.nest.pack_sequence_as(structure, leaves)
        name = name_of(of_record)
        if skipped is not None and name not in skipped:
            text = source.fault(of_record) or find_fault(
                source, tf.data.Dataset.from_tensors(of_record)
            )
            text = text or f"{name}: it could not be read."
            skipped.note(name, text, size)
        return os.fsencode(name)

    return tf.ensure_shape(tf.py_function(note, tf.nest.flatten(record), tf.string), ())


def unlabelled_example(source: Source) -> Callable[[Record], Example]:
    """A function that notes a record as skipped, and gives one pixel without a label for it."""

    def instead(record: Record) -> Example:
        return {
            "image": tf.zeros((1, 1, 3), tf.uint8),
            "segmentation_mask": tf.fill((1, 1, 1), tf.constant(VOID, tf.uint8)),
            "file_name": tf.strings.join([skip(source, record), SKIPPED_MARK]),
        }

    return instead


def unlabelled_crop(height_px: int, width_px: int) -> tuple[Tensor, Tensor]:
    """A crop without a label: an image of the mean colour, and its mask."""
    mean = tf.cast(tf.constant(MEAN_RGB), tf.uint8)
    image = tf.broadcast_to(mean, (height_px, width_px, 3))
    return image, tf.fill((height_px, width_px), tf.constant(VOID, tf.uint8))


def find_fault(source: Source, records: Dataset) -> str | None:
    """What is wrong with the first of some records whose files cannot be used, or None.

    Args:
        source: the data set.
        records: a finite `tf.data.Dataset` of its records.
    """
    number = 0
    try:
        for _ in records.map(source.decode):
            number += 1
    except FILE_ERRORS as error:
        name, text = f"record {number}", None
        with contextlib.suppress(*FILE_ERRORS):  # where the record itself cannot be read
            record = next(iter(records.skip(number)))
            name, text = name_of(record), source.fault(record)
        text = text or named_fault(error)
        return text or f"{name}: it cannot be decoded ({first_line(error)})."
    return None


def named_fault(error: BaseException) -> str | None:
    """The message of our own that an error of TensorFlow carries, or None."""
    ours = re.search(r"InputError: (.*)", str(error))
    return ours[1] if ours else None


def first_line(error: BaseException) -> str:
    """The first line of an error of TensorFlow, without the names of its graph's nodes."""
    text = re.sub(r"\{\{.*?\}\}|\[(Op|\[).*", "", str(error).splitlines()[0])
    return " ".join(text.split())


def name_of(record: Record) -> str:
    """What messages call a record: its place or the path of its image, if it has them."""
    known = record if isinstance(record, dict) else {"": record}
    key = next((key for key in ("place", "file_name", "image") if key in known), "")
    value = np.asarray(known.get(key, "?"), object).item()
    return os.fsdecode(value) if isinstance(value, bytes) else f"record {value}"
