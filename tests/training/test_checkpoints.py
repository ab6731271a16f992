"""Checkpoints of a few variables, broken in every way that a file can be."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.errors import InputError, RunError
from fcn_tf.training.checkpoints import (
    Place,
    checkpoints,
    full_disk_as_run_error,
    restore_newest,
    save_checkpoint,
)

ABOUT = {"variant": "fcn8s", "classes": ["sky", "ground"]}


def variables(fill=0.0):
    return {
        "model/conv1_1/kernel": tf.Variable(np.full((3, 3, 4), fill, "float32")),
        "optimizer/0/iteration": tf.Variable(int(fill), dtype=tf.int64),
        "random/0": tf.Variable([7, int(fill)], dtype=tf.int32),
    }


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of the steps 1, 2 and 3, each filled with its number, as far as they are kept."""
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, Place(step=step, best_iou=0.1 * step), variables(step), ABOUT)
    return tmp_path


def test_what_is_saved_is_restored_to_the_bit(folder):
    values = variables()
    place = restore_newest(folder, values, ABOUT)
    assert place == Place(step=3, best_iou=0.1 * 3)
    for name, variable in variables(3).items():
        np.testing.assert_array_equal(values[name].numpy(), variable.numpy())
        assert values[name].dtype == variable.dtype
    assert [path.name for path in checkpoints(folder)] == [
        "step-000000002.npz",
        "step-000000003.npz",
    ]
    assert restore_newest(folder / "none", values, ABOUT) is None


def test_a_place_is_whole_again_after_json(tmp_path):
    place = Place(
        step=7,
        samples=28,
        epoch=2,
        best_iou=1 / 3,
        best_step=6,
        losses=[float(np.float32(0.1)), 2.5],
        confusion=[[5, 0], [1, 2]],
        seconds=0.1,
        evaluated_step=6,
        without_gain=3,
        train_line={"loss": 0.3, "mean_iou": None},
    )
    assert {field.name for field in dataclasses.fields(place)} == vars(place).keys()
    save_checkpoint(tmp_path, place, variables(), ABOUT)
    assert restore_newest(tmp_path, variables(), ABOUT) == place


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
@pytest.mark.parametrize("start", [0, 3])
def test_a_changed_byte_is_never_restored(tmp_path, start, flip, capsys):
    """Of an array it is found by its checksum; elsewhere it may not matter."""
    save_checkpoint(tmp_path, Place(step=1), variables(1), ABOUT)
    save_checkpoint(tmp_path, Place(step=2), variables(2), ABOUT)
    newest = checkpoints(tmp_path)[-1]
    whole = newest.read_bytes()
    for byte in range(start, len(whole), 7):
        content = bytearray(whole)
        content[byte] ^= flip
        newest.write_bytes(content)
        values = variables()
        place = restore_newest(tmp_path, values, ABOUT)
        said = capsys.readouterr().out
        for name, variable in variables(place.step).items():
            np.testing.assert_array_equal(values[name].numpy(), variable.numpy())
        assert (place.step == 1) == (f"{newest} is damaged" in said)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_or_emptied_one_is_passed_over(folder, share, capsys):
    newest = checkpoints(folder)[-1]
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    values = variables()
    assert restore_newest(folder, values, ABOUT).step == 2
    assert f"{newest} is damaged" in capsys.readouterr().out
    np.testing.assert_array_equal(values["random/0"], [7, 2])
    assert newest.with_name(newest.name + ".damaged").exists()
    # It is not taken for one of the newest.
    save_checkpoint(folder, Place(step=3), variables(3), ABOUT)
    assert restore_newest(folder, values, ABOUT).step == 3


def test_none_that_is_whole_is_refused(folder):
    for path in checkpoints(folder):
        path.write_bytes(b"")
    values = variables(9)
    for _ in range(2):
        with pytest.raises(InputError, match="all checkpoints are damaged"):
            restore_newest(folder, values, ABOUT)
    assert len(checkpoints(folder)) == 2
    np.testing.assert_array_equal(values["random/0"], [7, 9])


def test_another_network_is_refused_and_nothing_changed(folder):
    other_shape = {**variables(9), "model/conv1_1/kernel": tf.Variable(tf.zeros((3, 3, 8)))}
    more = {**variables(9), "average/conv1_1/kernel": tf.Variable(0.0)}
    for values, about, message in [
        (
            variables(9),
            {**ABOUT, "variant": "fcn16s"},
            "variant fcn8s, but the configuration has variant fcn16s",
        ),
        (
            variables(9),
            {**ABOUT, "classes": ["sky"]},
            r"classes \['sky', 'ground'\], but the configuration has classes \['sky'\]",
        ),
        (
            other_shape,
            ABOUT,
            r"kernel has the shape \(3, 3, 4\) in the checkpoint and \(3, 3, 8\) in",
        ),
        (more, ABOUT, "average/conv1_1/kernel is not in the checkpoint"),
    ]:
        with pytest.raises(InputError, match=message):
            restore_newest(folder, values, about)
        np.testing.assert_array_equal(values["random/0"], [7, 9])
    assert len(checkpoints(folder)) == 2


def test_weights_that_are_no_numbers_make_no_checkpoint(folder):
    values = variables(4)
    values["model/conv1_1/kernel"][0, 0, 0].assign(np.nan)
    with pytest.raises(RunError, match="conv1_1/kernel has NaN or infinite values after step 4"):
        save_checkpoint(folder, Place(step=4), values, ABOUT)
    assert restore_newest(folder, variables(), ABOUT).step == 3


def test_a_full_disk_leaves_what_was_there(folder, monkeypatch):
    """/dev/full takes no byte: the new file's name leads to it."""
    (folder / f".step-000000004.{os.getpid()}.npz").symlink_to("/dev/full")
    # 600,000 float32 numbers, and those of the others, which take less than 0.05 MB.
    values = {**variables(4), "model/more": tf.Variable(tf.zeros((600, 1000)))}
    space = shutil.disk_usage(folder)._replace(free=1_234_560_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: space)
    message = f"^The disk of {folder} is full: a checkpoint needs 2.4 MB and 1,234.6 MB are free"
    with pytest.raises(RunError, match=message), full_disk_as_run_error(folder, values):
        save_checkpoint(folder, Place(step=4), values, ABOUT)
    assert restore_newest(folder, variables(), ABOUT).step == 3
    assert len(list(folder.iterdir())) == 2
