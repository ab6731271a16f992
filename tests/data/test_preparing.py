"""Labelled images as a data set of TFDS: what is read of it is what is read of the files."""

import os
import re
import shlex

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from fcn_tf.cli import main
from fcn_tf.commands.prepare import PrepareOptions, prepare
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.errors import InputError, RunError
from fcn_tf.models import load_model
from tests.data.tfds_sets import build, pets
from tests.data.tricky_pairs import (
    COLORS,
    NAMES,
    TRAIN,
    VAL,
    image,
    mask,
    tricky_folder,
    write_pair,
)

KEPT = ["plain.jpg", "stored.jpg", "grey.png", "clear.png", "c.jpg", "d.png"]


def opened(**data):
    return open_source(Config(data=DataConfig(**data)).data, trains=False)


def read(source, split):
    """Images and labels by the names of their files."""
    return {
        os.fsdecode(one["file_name"]).rpartition("/")[2]: (one["image"], one["segmentation_mask"])
        for one in whole_images(source, split).as_numpy_iterator()
    }


def assert_equal(one, other, splits):
    """Two data sets hold the same images with the same labels."""
    assert one.split_sizes == other.split_sizes == splits
    for split in splits:
        expected = read(one, split)
        found = read(other, split)
        assert len(found) == len(expected) == splits[split]
        for name, arrays in expected.items():
            for array, expected_array in zip(found[name], arrays, strict=True):
                np.testing.assert_array_equal(array, expected_array, err_msg=name)


def stored(out, data_dir, **data):
    prepare(PrepareOptions(data=DataConfig(data_dir=str(data_dir), **data), out=str(out)))
    return opened(tfds_name=f"{out}/1.0.0", value_range=data.get("value_range"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tricky_folder(tmp_path_factory.mktemp("tricky") / "street")


@pytest.mark.slow
def test_what_is_read_of_the_shards_is_what_is_read_of_the_files(folder, tmp_path, capsys):
    out = tmp_path / "sets/street"
    source = stored(out, folder)
    said = capsys.readouterr().out
    assert "1 image turned by EXIF orientation, and stored so.\n" in said
    assert "4 images stored as PNG, as not every reader" in said
    assert f"{out}/1.0.0: {TRAIN} in train, {VAL} in val. To train on it: fcn-tf train " in said
    assert [path.name for path in out.parent.iterdir()] == ["street"]

    assert_equal(opened(data_dir=str(folder)), source, {"train": TRAIN, "val": VAL})
    assert (source.class_names, source.colors) == (NAMES, COLORS)
    labels = np.concatenate([labels.ravel() for _, labels in read(source, "train").values()])
    assert set(labels) == {0, 1, 2, 255}
    for split in ("train", "val"):
        raw = tfds.builder_from_directory(out / "1.0.0").as_data_source(
            split, decoders={"image": tfds.decode.SkipDecoding()}
        )
        for one in raw:
            path = folder / one["file_name"].decode()
            is_kept = one["image"] == path.read_bytes()
            assert is_kept is (path.name in KEPT), path
            assert is_kept or one["image"].startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_again_does_nothing_and_another_is_refused(folder, tmp_path, capsys):
    data_dir, out = tricky_folder(tmp_path / "street"), tmp_path / "made"
    (out / "incomplete.ABC_1.0.0").mkdir(parents=True)  # of a run that was killed
    stored(out, data_dir)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    capsys.readouterr()
    stored(out, data_dir)
    said = capsys.readouterr().out
    assert "Nothing to do: this data set is there" in said
    assert f"To train on it: fcn-tf train --data.tfds_name {out}/1.0.0\n" in said
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    shard = next(out.rglob("*train.array_record*"))
    contents = shard.read_bytes()
    shard.unlink()
    with pytest.raises(InputError, match="is missing or cannot be read"):
        stored(out, data_dir)
    shard.write_bytes(contents)
    with pytest.raises(InputError, match="exists, and holds another data set, or this one as it"):
        stored(out, data_dir, exif="ignore", broken="skip")
    path = data_dir / "masks/val/site0/c.png"
    labels = np.asarray(Image.open(path)).copy()
    labels[0, 0] = COLORS[0] if (labels[0, 0] != COLORS[0]).any() else COLORS[1]
    Image.fromarray(labels).save(path)
    with pytest.raises(InputError, match="name another folder, or delete it"):
        stored(out, data_dir)
    with pytest.raises(InputError, match=r"exists, and holds classes\.txt: name a folder"):
        stored(data_dir, data_dir)


@pytest.mark.slow
def test_images_that_cannot_be_used_are_refused_or_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fcn_tf.data.start_check.CHECKED_AT_START", 1)  # not read before
    data_dir = tricky_folder(tmp_path / "street")
    for name in ("images/train/grey.png", "masks/train/ink.png", "images/train/turned.jpg"):
        (data_dir / name).write_bytes(b"no image")
    write_pair(data_dir, "val/odd.png", image(), mask((24, 28)))
    with pytest.raises(RunError, match=r"^4 of 11 images cannot be used, so nothing was w") as end:
        stored(tmp_path / "made", data_dir)
    said = str(end.value)
    assert "train/grey.png: cannot be read" in said
    assert "masks/train/ink.png: cannot be read" in said
    assert "… and 1 more. Mend them, or give --data.broken skip" in said
    assert "\n" not in said
    assert not list((tmp_path / "made").iterdir())

    capsys.readouterr()
    source = stored(tmp_path / "made", data_dir, broken="skip")
    assert source.split_sizes == {"train": TRAIN - 3, "val": VAL}
    said = capsys.readouterr().out
    assert "4 images are skipped (data.broken): " in said
    assert not {"grey.png", "ink.jpg", "turned.jpg"} & set(read(source, "train"))
    assert set(read(source, "val")) == {"c.jpg", "d.png"}

    for name in ("c.jpg", "d.png"):
        next(data_dir.rglob(f"images/val/*/{name}")).write_bytes(b"no image")
    with pytest.raises(RunError, match=r"^None of the 3 images of val can be used; nothing was w"):
        stored(tmp_path / "none", data_dir, broken="skip")


@pytest.mark.slow
def test_values_of_more_than_8_bits_are_stored_as_training_sees_them(tmp_path, capsys):
    data_dir = tricky_folder(tmp_path / "street")
    values = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 5
    write_pair(data_dir, "train/deep.png", Image.fromarray(values), mask())
    source = stored(tmp_path / "made", data_dir, value_range=(0, 4095))
    files = opened(data_dir=str(data_dir), value_range=(0, 4095))
    assert_equal(files, source, {"train": TRAIN + 1, "val": VAL})
    line = capsys.readouterr().out.splitlines()
    command = next(text for text in line if "To train on it: " in text)
    assert command.endswith("/made/1.0.0 --data.value_range '[0, 4095]'")


@pytest.mark.slow
def test_a_data_set_of_tfds_is_stored_anew_with_the_labels_that_it_has_here(tmp_path):
    build(tmp_path)
    data = pets(tmp_path, class_names=None, mask_values="{1: pet, 2: background, 3: ignore}")
    prepare(PrepareOptions(data=data, out=f"{tmp_path}/made/pets"))
    source = opened(tfds_name=f"{tmp_path}/made/pets/1.0.0")
    assert source.class_names == ("pet", "background")
    before = open_source(data, trains=False)
    assert_equal(before, source, before.split_sizes)


@pytest.mark.slow
def test_the_command_that_is_printed_trains(folder, tmp_path, capsys):
    main(["prepare", f"--data.data_dir={folder}", f"--out={tmp_path}/a_b"])
    command = re.search("To train on it: fcn-tf (.*)", capsys.readouterr().out)[1]
    small = {
        "training.max_steps": 1,
        "model.width": 0.0625,
        "model.head_units": 8,
        "data.crop_px": 32,
        "workdir": tmp_path / "run",
    }
    main([*shlex.split(command), *(f"--{key}={value}" for key, value in small.items())])
    model = load_model(tmp_path / "run")
    assert (tuple(model.class_names), tuple(map(tuple, model.palette))) == (NAMES, COLORS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out=a"], "Name the data to store: --data.data_dir street"),
        (["--data.data_dir=gone", "--out=sets/street-1"], "letters, digits and underscores"),
        (["--data.data_dir=gone", "--out=a"], "data.data_dir=gone: no such folder"),
    ],
)
def test_what_need_not_be_begun_is_refused(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["prepare", *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
