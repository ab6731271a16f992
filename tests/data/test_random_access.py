"""array_record files inside graphs, and through `tfds.load`."""

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import fcn_tf.data  # noqa: F401 (registers the data set)
from fcn_tf.data.random_access import example_at


def test_an_example_keeps_its_zeros():
    source = [b"ab\0", b"", b"\0\0"]
    read = tf.function(lambda number: example_at(source, number))
    assert [read(tf.constant(number)).numpy() for number in range(3)] == source


def test_tfds_load_reads_a_data_set_of_ours_however_it_is_stored(tmp_path):
    limit = tfds.download.DownloadConfig(max_examples_per_split=3)
    builder = tfds.builder("shapes", data_dir=tmp_path)
    builder.download_and_prepare(file_format="array_record", download_config=limit)
    data, info = tfds.load("shapes", data_dir=tmp_path, with_info=True)
    assert info.file_format.value == "array_record"
    assert set(data) == {"train", "val", "test"}
    names = [example["file_name"] for example in data["val"].as_numpy_iterator()]
    assert len(names) == len(data["val"]) == 3
    some = {"data_dir": tmp_path, "decoders": tfds.decode.PartialDecoding({"file_name": True})}
    (batch,) = tfds.load("shapes", split="val[1:]", batch_size=2, **some)
    assert {key: value.numpy().tolist() for key, value in batch.items()} == {"file_name": names[1:]}
    seeded = tfds.ReadConfig(shuffle_seed=1)
    shuffled = tfds.load("shapes", split="val", shuffle_files=True, read_config=seeded, **some)
    assert sorted(e["file_name"] for e in shuffled.as_numpy_iterator()) == sorted(names)
    with pytest.raises(ValueError, match="as_supervised"):
        tfds.load("shapes", split="val", data_dir=tmp_path, as_supervised=True)
