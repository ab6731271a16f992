"""What is stored of a TFDS data set is read as it is, in both formats, and counted."""

import numpy as np
import pytest

from fcn_tf.data import open_source, tfds_records, training_batches, whole_images
from fcn_tf.data.faults import data_errors_as
from fcn_tf.data.order import training_order
from fcn_tf.errors import InputError, RunError
from tests.data.tfds_sets import PETS, build, claim, pets, picture

FORMATS = ("array_record", "tfrecord")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The data set in three files of each format."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
    for name, folder in folders.items():
        build(folder, file_format=name, shards=3)
    return folders


def numbers_of(examples):
    """The number of each pet, from its pixels; image and mask have to be as they were stored."""
    numbers = []
    for example in examples.as_numpy_iterator():
        numbers.append(int(example["image"][0, 0, 0]))
        image, mask = picture(numbers[-1])
        np.testing.assert_array_equal(example["image"], image)
        np.testing.assert_array_equal(example["segmentation_mask"], mask)
        assert example["file_name"].decode().endswith(f"_{numbers[-1]}.png")
    return numbers


def test_both_formats_give_the_same_records_in_the_same_order(folders, capsys):
    numbers = []
    for folder in folders.values():
        source = open_source(pets(folder, validation_fraction=0.25))
        assert source.split_sizes == {"train": 9, "test": 3, "val": 3}
        numbers.append([numbers_of(whole_images(source, split)) for split in source.split_sizes])
        places = [r["place"].decode()[-10:] for r in source.records("val").as_numpy_iterator()]
        assert places == ["(train[9])", "train[10])", "train[11])"]
    assert numbers[0] == numbers[1]
    train, test, val = numbers[0]
    assert sorted(train + val) == list(range(PETS))
    assert sorted(test) == [0, 1, 2]
    assert "the last 3 of the 12 records of train become val" in capsys.readouterr().out


def order_of(source, skip=0, count=3 * PETS):
    drawn = training_order(source, 4, skip).map(lambda n, record: (n, record["place"]))
    return list(drawn.take(count).as_numpy_iterator())


def test_a_tfrecord_set_beyond_the_bound_is_shuffled_in_blocks(folders, monkeypatch, capsys):
    """Blocks of two pieces, of a record or two each, from three files."""
    open_source(pets(folders["tfrecord"]))
    assert "shuffled together" not in capsys.readouterr().out
    size = sum(file.stat().st_size for file in folders["tfrecord"].rglob("*train*"))
    monkeypatch.setattr(tfds_records, "BLOCK_BYTES", size // 3)
    monkeypatch.setattr(tfds_records, "PIECES_A_BLOCK", 2)
    source = open_source(pets(folders["tfrecord"]))
    assert "records at a time are shuffled together" in capsys.readouterr().out
    pieces = source.pieces("train")
    assert 1 < pieces.together < len(pieces.lengths)
    assert sum(pieces.lengths) == source.split_sizes["train"] == 10
    order = order_of(source)
    assert len({place for _, place in order[:10]}) == 10
    assert order_of(source, 13, 23) == order[13:]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_split_with_fewer_records_than_its_metadata_says_is_refused(tmp_path, file_format):
    builder = build(tmp_path, file_format=file_format, shards=2)
    claim(builder, "train", [6, 7])
    with pytest.raises(InputError, match=r"split train: .* says 13 records.* hold 12 .*: 6 of 7\)"):
        open_source(pets(tmp_path))


def test_a_long_split_that_is_too_short_ends_with_an_error(tmp_path, monkeypatch):
    """One whose records are not counted beforehand."""
    monkeypatch.setattr(tfds_records, "COUNTED_BYTES", 0)
    builder = build(tmp_path, file_format="tfrecord")
    claim(builder, "train", [15])
    # 12 of train, 3 of val, which do not exist
    source = open_source(pets(tmp_path), trains=False)
    message = r"split train: its metadata says 15 records, but its files hold 12"
    config = pets(tmp_path, crop_px=4, batch_size=2)
    for data in (
        whole_images(source, "val"),
        training_batches(
            open_source(pets(tmp_path, validation_fraction=0.1), trains=False), config, 0
        ),
    ):
        with pytest.raises(RunError, match=message), data_errors_as(RunError):
            next(iter(data))


def test_missing_and_damaged_files_are_named(tmp_path):
    for file_format in FORMATS:
        folder = tmp_path / file_format
        builder = build(folder, file_format=file_format)
        (file,) = builder.data_path.glob("*train*")
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(InputError, match=rf"{file.name} is damaged"):
            open_source(pets(folder))
        file.unlink()
        with pytest.raises(InputError, match=rf"{file.name} is missing"):
            open_source(pets(folder))
