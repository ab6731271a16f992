"""The stored records of a prepared TFDS data set: any by its number, or in pieces.

array_record files give any record by its number. tfrecord files give their records one after the
other: they are read in pieces, of which as many are shuffled together as fit into `BLOCK_BYTES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from fcn_tf.data.random_access import example_at, raw_examples
from fcn_tf.data.source import Dataset, Pieces, Record
from fcn_tf.data.tfds_splits import Share
from fcn_tf.errors import InputError
from fcn_tf.images.graph import Tensor

Builder = Any  # a tfds.core.DatasetBuilder; TFDS has no types
ARRAY_RECORD = tfds.core.FileFormat.ARRAY_RECORD
TFRECORD = tfds.core.FileFormat.TFRECORD

# Records that are shuffled together where they can only be read one after the other. The next
# ones are read meanwhile, so twice as much is held in memory.
BLOCK_BYTES = 2**25
PIECES_A_BLOCK = 8  # each from another place of the files
# The records of more tfrecord files are not counted before they are read.
COUNTED_BYTES = 2**28


class Stored(NamedTuple):
    """The fields of a `Source` that say how its records are read."""

    records: Callable[[str], Dataset]
    record_at: Callable[[str, Tensor], Record] | None
    pieces: Callable[[str], Pieces] | None


@dataclass(frozen=True)
class Part:
    """Neighbours in one file.

    Args:
        file: the path.
        start: the number of the first in its file.
        length: how many records.
        number: the number of the first in its split.
        size_bytes: about the bytes of its records.
    """

    file: str
    start: int
    length: int
    number: int
    size_bytes: float


def stored_records(
    builder: Builder, shares: dict[str, Share], unpack: Callable[[Share, Tensor, Tensor], Record]
) -> Stored:
    """How the records of a prepared data set are read.

    Args:
        builder: of the data set.
        shares: what each split of ours is.
        unpack: a `Record` from a share, a number in TFDS' split and the bytes of an example, in
            graph mode.

    Raises:
        InputError: files are missing or damaged, hold another number of records than the metadata
            says, or have a format that is not read.
    """
    formats = builder.info.available_file_formats()
    if ARRAY_RECORD in formats:
        return _by_number(builder, shares, unpack)
    if formats != {TFRECORD}:
        names = " and ".join(sorted(f.value for f in formats))
        raise InputError(
            f"{builder.info.full_name} in {builder.data_dir} is stored as {names}: array_record "
            "and tfrecord are read; prepare it as one of them."
        )
    return _in_pieces(builder, shares, unpack)


def _by_number(builder: Builder, shares: dict[str, Share], unpack: Callable[..., Record]) -> Stored:
    sources = {split: raw_examples(builder, share.instruction) for split, share in shares.items()}
    check_lengths(builder, shares.values())

    def record_at(split: str, number: Tensor) -> Record:
        share = shares[split]
        return unpack(share, share.start + number, example_at(sources[split], number))

    def records(split: str) -> Dataset:
        numbers = tf.data.Dataset.range(shares[split].size)
        return numbers.map(lambda n: record_at(split, n), tf.data.AUTOTUNE, deterministic=True)

    return Stored(records, record_at, None)


def _in_pieces(builder: Builder, shares: dict[str, Share], unpack: Callable[..., Record]) -> Stored:
    check_lengths(builder, shares.values())
    planned = {split: cut_into_parts(builder, share) for split, share in shares.items()}
    parts, together = planned["train"]
    if len(parts) > together:
        print(
            f"{builder.info.full_name} is stored as tfrecord, which is read one record after the "
            f"other: about {BLOCK_BYTES / 1e6:.0f} MB of records at a time are shuffled together. "
            "Stored as array_record, a data set is shuffled as a whole.",
            flush=True,
        )

    def pieces(split: str) -> Pieces:
        parts, together = planned[split]
        share = shares[split]
        lengths = [part.length for part in parts]

        def read(piece: Tensor) -> Dataset:
            def of_piece(values: list[Any], dtype: tf.DType = tf.int64) -> Tensor:
                return tf.constant(values, dtype)[piece]

            start = of_piece([part.start for part in parts])
            first, length = of_piece([part.number for part in parts]), of_piece(lengths)
            file = of_piece([part.file for part in parts], tf.string)
            data = tf.data.TFRecordDataset(file).skip(start).take(length)
            return exactly(data, first, length, lambda: _count_anew(builder, share))

        return Pieces(lengths, together, read, lambda n, example: unpack(share, n, example))

    def records(split: str) -> Dataset:
        of_split = pieces(split)
        data = tf.data.Dataset.range(len(of_split.lengths)).flat_map(of_split.read)
        return data.map(of_split.unpack, tf.data.AUTOTUNE, deterministic=True)

    return Stored(records, None, pieces)


def cut_into_parts(builder: Builder, share: Share) -> tuple[list[Part], int]:
    """The parts in which the tfrecord files of a share are read.

    Returns:
        The parts in the order of the records, and how many of them are shuffled together: all of
        them if they fit into `BLOCK_BYTES`.
    """
    whole = []
    number = share.start
    for file in builder.info.splits[share.instruction].file_instructions:
        record_bytes = _size_bytes(file.filename) / file.examples_in_shard
        part = Part(
            str(file.filename),
            start=file.skip,
            length=file.take,
            number=number,
            size_bytes=file.take * record_bytes,
        )
        whole.append(part)
        number += file.take
    if sum(part.size_bytes for part in whole) <= BLOCK_BYTES:
        return whole, len(whole)
    parts = [part for file in whole for part in _smaller(file)]
    return parts, max(1, int(BLOCK_BYTES // max(part.size_bytes for part in parts)))


def _smaller(part: Part) -> list[Part]:
    """A part, cut so that several fit into a block."""
    record_bytes = part.size_bytes / part.length
    most = max(1, int(BLOCK_BYTES / PIECES_A_BLOCK / record_bytes))
    cuts = []
    for first in range(0, part.length, most):
        length = min(most, part.length - first)
        cut = replace(
            part,
            start=part.start + first,
            length=length,
            number=part.number + first,
            size_bytes=length * record_bytes,
        )
        cuts.append(cut)
    return cuts


def exactly(data: Dataset, first: Tensor, length: Tensor, complain: Callable[[], None]) -> Dataset:
    """Numbered records, of which there must be `length`.

    Args:
        data: a `tf.data.Dataset` of strings.
        first: the number of the first, int64.
        length: how many there must be, int64.
        complain: raises the error if there are fewer.
    """

    def missing(_: Tensor) -> Tensor:
        def fail(_: Any) -> Any:
            complain()
            raise InputError("The data set changed while it was read.")

        return tf.ensure_shape(tf.numpy_function(fail, (first,), tf.string), ())

    # It is read only where the records end too early.
    end = tf.data.Dataset.range(1).map(missing)
    return data.concatenate(end).take(length).enumerate(first)


def check_lengths(builder: Builder, shares: Iterable[Share]) -> None:
    """Counts the records of a data set's files, unless they are tfrecord files and large.

    Raises:
        InputError: a file is missing or damaged, or a split has another number of records than its
            metadata says.
    """
    for split in dict.fromkeys(share.split for share in shares):
        files = builder.info.splits[split].file_instructions
        with ThreadPoolExecutor() as pool:
            sizes = list(pool.map(lambda file: _size_bytes(file.filename), files))
            is_long = sum(sizes) > COUNTED_BYTES
            if is_long and builder.info.file_format is TFRECORD:
                continue
            counts = list(pool.map(partial(_count, builder.info.file_format), files))
        _check_counts(builder, split, counts)


def _count_anew(builder: Builder, share: Share) -> None:
    """Refuses a split that proved too short while it was read."""
    files = builder.info.splits[share.split].file_instructions
    _check_counts(builder, share.split, [_count(TFRECORD, file) for file in files])


def _check_counts(builder: Builder, split: str, counts: list[int]) -> None:
    files = builder.info.splits[split].file_instructions
    expected = builder.info.splits[split].num_examples
    for file, found in zip(files, counts, strict=True):
        if found != file.examples_in_shard:
            raise InputError(
                f"{builder.info.full_name}, split {split}: its metadata says {expected} records, "
                f"but its files hold {sum(counts)} ({Path(file.filename).name}: {found} of "
                f"{file.examples_in_shard}). Copy the data set again, or delete {builder.data_dir} "
                "to have it prepared anew."
            )


def _size_bytes(file: Any) -> int:
    try:
        return tf.io.gfile.stat(str(file)).length
    except tf.errors.OpError as error:
        raise InputError(
            f"{file} is missing or cannot be read: copy the data set again, or delete its folder "
            "to have it prepared anew."
        ) from error


def _count(file_format: tfds.core.FileFormat, file: Any) -> int:
    """The records of one file. An array_record file says it at its end."""
    path = str(file.filename)
    try:
        if file_format is ARRAY_RECORD:
            from array_record.python.array_record_data_source import ArrayRecordDataSource

            return len(ArrayRecordDataSource([path]))
        data = tf.data.TFRecordDataset(path)
        return int(data.reduce(np.int64(0), lambda count, _: count + 1).numpy())
    except (tf.errors.DataLossError, ValueError, RuntimeError, OSError) as error:
        raise InputError(
            f"{path} is damaged ({str(error).splitlines()[0]}): copy the data set again, or "
            "delete its folder to have it prepared anew."
        ) from error
