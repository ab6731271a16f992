"""Which records are read, and in what order: each epoch of train in an order of its own.

The order of an epoch comes from the seed and the epoch's number, so a stream can begin in any
epoch without reading those before. What is held in memory does not grow with the number of
records: where a data set gives any record by its number, the numbers alone are shuffled. Where it
gives them one after the other, its pieces are put into another order, and some pieces at a time
are shuffled together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from fcn_tf.data.as_written import as_written
from fcn_tf.data.source import Dataset, Pieces, Record, Source
from fcn_tf.images.graph import Tensor

# Whether the sample, or the record, with a number (int64, scalar) is wanted.
IsWanted = Callable[[Tensor], Tensor]


@as_written
def training_order(
    source: Source, seed: int, skip_samples: int = 0, is_wanted: IsWanted | None = None
) -> Dataset:
    """The numbered records of train, each epoch in an order of its own, without end.

    Args:
        source: the data set.
        seed: of the orders.
        skip_samples: number of samples that are left out at the beginning. Their records are
            not read; of a data set in pieces, the pieces that are shuffled together with the first
            sample are.
        is_wanted: which samples are given, by their numbers; default all.

    Returns:
        A `tf.data.Dataset` of the sample's number, int64 from 0, and its record.
    """
    if source.record_at is None:
        return _by_pieces(source, seed, skip_samples, is_wanted)
    return _by_number(source, seed, skip_samples, is_wanted)


@as_written
def records_at(source: Source, split: str, numbers: Sequence[int]) -> Dataset:
    """The records of a split with these numbers, which rise."""
    wanted, read = tf.constant(numbers, tf.int64), source.record_at
    if read is None:
        return wanted_records(source, split, lambda number: tf.reduce_any(number == wanted))
    return tf.data.Dataset.from_tensor_slices(wanted).map(lambda n: read(split, n))


@as_written
def wanted_records(source: Source, split: str, is_wanted: IsWanted) -> Dataset:
    """Those records of a split whose numbers are wanted, in their order.

    Where the data set gives any record by its number, no other is read.
    """
    read = source.record_at
    if read is None:
        numbered = source.records(split).enumerate().filter(lambda n, _: is_wanted(n))
        return numbered.map(lambda _, record: record)
    numbers = tf.data.Dataset.range(source.split_sizes[split]).filter(is_wanted)
    return numbers.map(lambda n: read(split, n), tf.data.AUTOTUNE, deterministic=True)


def _by_number(source: Source, seed: int, skip_samples: int, is_wanted: IsWanted | None) -> Dataset:
    size = source.split_sizes["train"]
    first_epoch, skip_records = divmod(skip_samples, size)

    def one_epoch(epoch: Tensor) -> Dataset:
        # Four bytes a record are enough; the order is the same.
        order = _shuffled(size, _key(seed, epoch), tf.int32 if size < 2**31 else tf.int64)
        first = tf.where(epoch == first_epoch, tf.constant(skip_records, tf.int64), 0)
        places = tf.data.Dataset.range(first, size)
        if is_wanted is not None:
            places = places.filter(lambda place: is_wanted(epoch * size + place))
        return places.map(lambda place: (epoch * size + place, order[place]))

    def read(sample: Tensor, number: Tensor) -> tuple[Tensor, Record]:
        assert source.record_at is not None
        number = tf.cast(number, tf.int64)
        return sample, source.record_at("train", number)

    numbers = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(one_epoch)
    return numbers.map(read, tf.data.AUTOTUNE, deterministic=True)


def _by_pieces(source: Source, seed: int, skip_samples: int, is_wanted: IsWanted | None) -> Dataset:
    size = source.split_sizes["train"]
    first_epoch, skip_records = divmod(skip_samples, size)
    pieces = source.pieces("train") if source.pieces else _one_piece(source.records("train"), size)
    count, together = len(pieces.lengths), pieces.together
    blocks = -(-count // together)

    def blocks_of(epoch: Tensor) -> Dataset:
        """The records of each block, which are read together, and where they belong."""
        turn = tf.range(count, dtype=tf.int64)
        if blocks > 1:
            turn = _shuffled(count, _key(seed, epoch))
        lengths = tf.gather(tf.constant(pieces.lengths, tf.int64), turn)
        starts = tf.concat([[tf.constant(0, tf.int64)], tf.cumsum(lengths)], 0)  # (count + 1,)
        skip = tf.where(epoch == first_epoch, tf.constant(skip_records, tf.int64), 0)

        def end(block: Tensor) -> Tensor:
            return starts[tf.minimum((block + 1) * together, count)]

        def read(block: Tensor) -> Dataset:
            start = starts[block * together]
            parts = turn[block * together : (block + 1) * together]
            records = tf.data.Dataset.from_tensor_slices(parts).flat_map(pieces.read)
            records = records.batch(end(block) - start, drop_remainder=True)
            return records.map(lambda *of_block: (epoch, block, start, skip, of_block))

        left = tf.data.Dataset.range(blocks).filter(lambda block: end(block) > skip)
        return left.flat_map(read)

    def samples(
        epoch: Tensor, block: Tensor, start: Tensor, skip: Tensor, of_block: Any
    ) -> Dataset:
        length = tf.shape(tf.nest.flatten(of_block)[0], out_type=tf.int64)[0]
        key = _key(seed, epoch)
        if blocks > 1:
            key = tf.random.experimental.stateless_fold_in(key, block)
        order = _shuffled(length, key)
        first_sample = epoch * size + start
        places = tf.data.Dataset.range(tf.maximum(skip - start, 0), length)
        if is_wanted is not None:
            places = places.filter(lambda place: is_wanted(first_sample + place))
        return places.map(
            lambda place: (
                first_sample + place,
                tf.nest.map_structure(lambda values: values[order[place]], of_block),
            )
        )

    data = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(blocks_of)
    if blocks > 1:
        data = data.prefetch(1)  # the next block is read while samples of this one are drawn
    return data.flat_map(samples).map(
        lambda sample, stored: (sample, pieces.unpack(*stored)),
        tf.data.AUTOTUNE if source.pieces else None,  # records in memory need no work
        deterministic=True if source.pieces else None,
    )


def _one_piece(records: Dataset, size: int) -> Pieces:
    """All records of a split as one piece."""
    return Pieces([size], 1, lambda _: records, lambda record: record)


def _key(seed: int, epoch: Tensor) -> Tensor:
    return tf.stack([tf.constant(seed, tf.int64), epoch])


def _shuffled(length: Tensor | int, key: Tensor, dtype: tf.DType = tf.int64) -> Tensor:
    """The numbers below `length` in an order drawn from a key, (length,)."""
    return tf.random.experimental.stateless_shuffle(tf.range(length, dtype=dtype), key)
