"""Lines that are kept in a file, and sorted, are those of a list."""

import os
import random
from functools import partial
from pathlib import Path

import pytest

from fcn_tf.data import lines
from fcn_tf.data.lines import Kept, LineFile, Sorted
from fcn_tf.errors import RunError

# Not ASCII, a line break, nothing at all, and a name that is no UTF-8 on the disk.
ODD = ["ß/é", "a\nb", "", os.fsdecode(b"\xff.png"), "z\0y", "\U0001f6b2", "\ue000"]


@pytest.fixture(autouse=True)
def _few_in_memory(monkeypatch):
    monkeypatch.setattr(lines, "IN_MEMORY", 3)
    monkeypatch.setattr(lines, "AT_ONCE", 2)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 25])
def test_lines_come_back_in_their_order_and_by_their_numbers(count):
    given = (ODD + [f"{number:02}" for number in range(18)])[:count]
    kept = Kept()
    for line in given:
        kept.add(line)
    found = kept.lines()
    assert isinstance(found, list) == (count <= 3)
    assert (list(found), len(found)) == (given, count)
    assert [found[number] for number in range(-count, count)] == given * 2
    assert found[1::2] == given[1::2]
    with pytest.raises(IndexError):
        found[count]


def test_one_file_holds_several_lists():
    file = LineFile()
    first, second = file.extend(["a", "b"]), file.extend(ODD)
    assert [list(first), list(second), second[1]] == [["a", "b"], ODD, ODD[1]]


@pytest.mark.parametrize("count", [0, 3, 4, 25])
def test_lines_are_sorted_as_a_list_is(count):
    given = (ODD + [f"{number:02}" for number in range(18)])[:count]
    random.Random(0).shuffle(given)
    in_order = Sorted()
    for line in given:
        in_order.add(line)
    assert len(in_order) == count
    assert list(in_order) == list(in_order) == sorted(given)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_said_in_a_line(monkeypatch):
    full = partial(Path("/dev/full").open, "r+b", 0)
    monkeypatch.setattr(lines.tempfile, "TemporaryFile", full)
    with pytest.raises(RunError, match=r"No space left on device.*TMPDIR"):
        LineFile().extend("ab")
