"""The order of train, of data sets that give any record and of those that are read in pieces."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.data.order import training_order, wanted_records
from fcn_tf.data.source import Pieces
from tests.sources import numbered_pair, source_of

LENGTHS = (3, 4, 1, 5, 2, 4)  # of the pieces of train
SIZE = sum(LENGTHS)
STARTS = np.cumsum((0, *LENGTHS))[:-1]


def in_pieces(together, read_pieces=None):
    """A data set of `SIZE` images whose pieces are noted in `read_pieces` when they are read."""
    source = source_of(train=[numbered_pair(1, 1)] * SIZE)

    def note(piece):
        read_pieces.append(int(piece))
        return piece

    def read(piece):
        if read_pieces is not None:
            piece = tf.numpy_function(note, (piece,), tf.int64)
        first = tf.constant(STARTS, tf.int64)[piece]
        numbers = tf.data.Dataset.range(first, first + tf.constant(LENGTHS, tf.int64)[piece])
        # As a data set of TFDS: the number and what is stored of it.
        return numbers.map(lambda number: (number, tf.strings.as_string(number)))

    def unpack(number, stored):
        return {"number": number, "stored": tf.strings.to_number(stored, tf.int64)}

    pieces = Pieces(LENGTHS, together, read, unpack)
    return dataclasses.replace(source, pieces=lambda split: pieces)


def by_number(read_numbers=None):
    """The same, which gives any record by its number; they are noted in `read_numbers`."""
    source = source_of(train=[numbered_pair(1, 1)] * SIZE)

    def note(number):
        read_numbers.append(int(number))
        return number

    def record_at(split, number):
        assert split == "train"
        return tf.numpy_function(note, (number,), tf.int64) if read_numbers is not None else number

    return dataclasses.replace(source, record_at=record_at)


def numbers_of(data, count):
    """The samples and the records' numbers of the first `count`."""
    drawn = list(data.take(count).as_numpy_iterator())
    samples = [int(sample) for sample, _ in drawn]
    records = [record for _, record in drawn]
    if isinstance(records[0], dict):
        assert all(record["number"] == record["stored"] for record in records)
        records = [record["number"] for record in records]
    return samples, [int(record) for record in records]


SOURCES = {
    "by number": by_number,
    "in pieces": lambda: in_pieces(together=2),
    "in one block": lambda: in_pieces(together=len(LENGTHS)),
    "in memory": lambda: source_of(train=[numbered_pair(1, 1)] * SIZE),
}


@pytest.mark.parametrize("name", ["by number", "in pieces"])
def test_an_epoch_has_every_record_once_and_goes_on_wherever_it_was_left(name):
    source = SOURCES[name]()
    samples, records = numbers_of(training_order(source, seed=1), 3 * SIZE)
    assert samples == list(range(3 * SIZE))
    epochs = [records[first : first + SIZE] for first in range(0, 3 * SIZE, SIZE)]
    assert all(sorted(epoch) == list(range(SIZE)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert records != numbers_of(training_order(source, seed=2), 3 * SIZE)[1]
    for skip in (7, SIZE + 8):
        left = numbers_of(training_order(source, 1, skip), 3 * SIZE - skip)
        assert left == (samples[skip:], records[skip:])


def test_what_fits_into_memory_has_one_order_however_it_is_read():
    orders = [
        numbers_of(training_order(SOURCES[name](), seed=1), 2 * SIZE)
        for name in ("by number", "in one block", "in memory")
    ]
    assert orders[0] == orders[1] == orders[2]


def test_pieces_from_different_places_are_shuffled_together():
    of_piece = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    _, records = numbers_of(training_order(in_pieces(together=2), seed=3), 4 * SIZE)
    neighbours = set()
    for epoch in np.split(of_piece[records], 4):
        # Wherever a block ends, its two pieces have ended.
        first = list(dict.fromkeys(epoch))
        assert len(first) == len(LENGTHS)
        blocks = [set(first[place : place + 2]) for place in (0, 2, 4)]
        places = np.split(epoch, np.cumsum([sum(LENGTHS[p] for p in b) for b in blocks])[:-1])
        assert [set(block) for block in places] == blocks
        neighbours |= {frozenset(block) for block in blocks}
        # At least one of the blocks mixes its two.
        assert any((np.diff(block) != 0).sum() > 1 for block in places)
    assert len(neighbours) > 6  # other pieces meet in each epoch


def test_what_is_skipped_is_not_read():
    read = []
    _, records = numbers_of(training_order(by_number(read), 1, SIZE - 4), 4)
    assert set(records) <= set(read)
    later = numbers_of(training_order(by_number(), 1, SIZE), 40)[1]
    assert set(read) <= set(records) | set(later)  # and what comes next
    pieces = []
    whole = numbers_of(training_order(in_pieces(2), 1), SIZE)
    rest = numbers_of(training_order(in_pieces(2, pieces), 1, SIZE - 1), 1)
    assert rest == ([SIZE - 1], whole[1][-1:])
    # The two pieces of the last block come first.
    of_piece = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    assert of_piece[whole[1][-1]] in pieces[:2]
    assert of_piece[whole[1][0]] not in pieces[:2]


@pytest.mark.parametrize("name", ["by number", "in pieces"])
def test_the_shares_of_workers_are_disjoint_and_whole(name):
    whole = numbers_of(training_order(SOURCES[name](), 5, 3), 30)
    shares = [
        numbers_of(training_order(SOURCES[name](), 5, 3, lambda n, w=w: n % 3 == w), 10)
        for w in range(3)
    ]
    merged = sorted((n, r) for share in shares for n, r in zip(*share, strict=True))
    assert merged == list(zip(*whole, strict=True))


def test_a_record_that_another_worker_takes_is_not_read():
    read = []
    numbers_of(training_order(by_number(read), 5, 0, lambda n: n % SIZE == 2), 6)
    assert len(read) < 60  # of six epochs, which have 114; some are read ahead


def test_only_the_wanted_records_are_read():
    read = []
    data = wanted_records(by_number(read), "train", lambda n: n % 6 == 1)
    assert [int(n) for n in data.as_numpy_iterator()] == [1, 7, 13] == sorted(read)
    in_turn = wanted_records(SOURCES["in memory"](), "train", lambda n: n % 6 == 1)
    assert [int(n) for n in in_turn.as_numpy_iterator()] == [1, 7, 13]
