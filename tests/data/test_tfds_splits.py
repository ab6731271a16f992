"""Which splits of a TFDS data set are train, val and test."""

from types import SimpleNamespace

import pytest

from fcn_tf.data.tfds_splits import Share, share_out
from fcn_tf.errors import InputError


def info_of(unmixed=False, **sizes):
    """What is asked of a `tfds.core.DatasetInfo`."""
    splits = {name: SimpleNamespace(num_examples=size) for name, size in sizes.items()}
    return SimpleNamespace(full_name="toys/1.0.0", splits=splits, disable_shuffling=unmixed)


@pytest.mark.parametrize("val", ["val", "validation", "valid", "dev"])
def test_published_names_become_ours_and_others_stay(val, capsys):
    shares = share_out(info_of(train=5, **{val: 3}, test=2, unlabelled=4, empty=0), 0.2)
    assert shares == {
        "train": Share("train", 0, 5),
        "val": Share(val, 0, 3),
        "test": Share("test", 0, 2),
        "unlabelled": Share("unlabelled", 0, 4),
    }
    assert shares["val"].instruction == f"{val}[0:3]"
    assert capsys.readouterr().out == ""


def test_without_a_validation_split_the_end_of_train_becomes_val(capsys):
    shares = share_out(info_of(training=10, test=2), 0.25)
    assert shares["train"] == Share("training", 0, 8)
    assert shares["val"] == Share("training", 8, 10)
    printed = capsys.readouterr().out
    assert "the last 2 of the 10 records of training become val" in printed
    assert "order" not in printed
    share_out(info_of(unmixed=True, train=10), 0.25)
    assert "in the order in which they were made" in capsys.readouterr().out
    # Neither is ever empty.
    assert share_out(info_of(train=2), 0.01)["val"] == Share("train", 1, 2)
    assert share_out(info_of(train=2), 0.99)["train"] == Share("train", 0, 1)


def test_a_set_that_cannot_be_trained_on_is_refused():
    with pytest.raises(InputError, match="no split train; its splits are: test, all"):
        share_out(info_of(test=3, all=4), 0.2)
    with pytest.raises(InputError, match="has 1 record in train"):
        share_out(info_of(train=1), 0.2)
