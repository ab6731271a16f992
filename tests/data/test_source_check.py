"""What is said of a TFDS data set before a training begins."""

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, source_check
from fcn_tf.data.source import Source
from fcn_tf.data.source_check import check_source_at_start
from fcn_tf.errors import InputError
from tests.data.tfds_sets import NAMES, LabelledPets, build, pets


def source_of(read, **labels):
    """A `Source` of masks of one pixel; `read` takes the labels that are read."""

    def decode(record, window=None):
        label = tf.py_function(lambda label: read.append(int(label)) or label, [record], tf.uint8)
        mask = tf.reshape(label, (1, 1, 1))
        return {"image": tf.zeros((1, 1, 3), tf.uint8), "segmentation_mask": mask}

    return Source(
        class_names=("road", "car", "tree"),
        split_sizes={split: len(some) for split, some in labels.items()},
        records=lambda split: tf.data.Dataset.from_tensor_slices(np.uint8(labels[split])),
        image_size=lambda record: tf.constant([1, 1]),
        decode=decode,
    )


def test_train_is_read_until_a_second_class(monkeypatch, capsys):
    monkeypatch.setattr(source_check, "CHECKED_AT_START", 2)
    read = []
    source = source_of(read, train=[1] * 9 + [0] + [2] * 900, val=[2] * 900)
    check_source_at_start(source, DataConfig())
    assert capsys.readouterr().out == (
        "Note: class tree does not occur in the 10 of 910 masks of train that were read\n"
        "Note: classes road, car do not occur in the 2 of 900 masks of val that were read\n"
    )
    assert read.count(1) == 9
    assert len(read) < 900  # a few are read ahead


def test_val_without_a_label_is_scored_and_said(capsys):
    check_source_at_start(source_of([], train=[0, 1, 2], val=[VOID]), DataConfig())
    assert capsys.readouterr().out == (
        "Note: No pixel of val is labelled: all are 255. The scores on val are undefined (null).\n"
    )


def test_a_train_split_of_one_class_is_refused(tmp_path):
    build(tmp_path, LabelledPets)
    data = pets(tmp_path, tfds_name="labelled_pets", tfds_mask="parts", class_names=NAMES)
    assert open_source(data, trains=False).class_names == tuple(NAMES)
    with pytest.raises(InputError, match=r"in train is class none; .*say with --data.mask_values"):
        open_source(data)


def test_of_masks_that_are_0_and_255_the_share_without_a_label_is_said():
    source = source_of([], train=[0, VOID, VOID, VOID], val=[0])
    with pytest.raises(InputError, match=r"is class road; .* 75 % of its pixels are 255, which"):
        check_source_at_start(source, DataConfig())
