"""A TFDS data set that the package does not know: found, prepared, decoded, or refused."""

import importlib.util
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from fcn_tf.classes import VOID
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.faults import data_errors_as
from fcn_tf.errors import InputError, RunError
from fcn_tf.models import load_model
from tests.data.tfds_sets import NAMES, PETS, DeepPets, LabelledPets, build, pets, picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`ToyPets`, prepared by the package."""
    folder = tmp_path_factory.mktemp("pets")
    open_source(pets(folder))
    return folder


def first(source, split="train"):
    return next(whole_images(source, split).as_numpy_iterator())


def test_a_data_set_is_prepared_once_and_its_features_are_named(tmp_path, capsys):
    source = open_source(pets(tmp_path))
    printed = capsys.readouterr().out
    assert "as array_record files: read them elsewhere with tfds.data_source" in printed
    assert "toy_pets/1.0.0: images from the feature image, masks from segmentation_mask; " in (
        printed
    )
    assert source.class_names == tuple(NAMES)
    assert source.record_at is not None
    open_source(pets(tmp_path))
    assert "Preparing" not in capsys.readouterr().out


def test_without_array_record_it_is_prepared_as_tfrecord(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    source = open_source(pets(tmp_path))
    assert (source.record_at, len(source.pieces("train").lengths)) == (None, 1)


def test_a_prepared_folder_is_a_data_set_whoever_built_it(folder, tmp_path):
    (info,) = folder.rglob("dataset_info.json")
    by_path, by_name = (
        open_source(pets(tmp_path, tfds_name=str(info.parent))),
        open_source(pets(folder)),
    )
    assert by_path.split_sizes == by_name.split_sizes
    np.testing.assert_array_equal(first(by_path)["image"], first(by_name)["image"])
    with pytest.raises(InputError, match=r"this folder has none; .*1\.0\.0 has one"):
        open_source(pets(tmp_path, tfds_name=str(folder)))


def test_a_mask_may_be_labelled_or_an_array(tmp_path):
    build(tmp_path, LabelledPets)
    data = {"tfds_name": "labelled_pets", "class_names": None}
    source = open_source(pets(tmp_path, **data))
    assert source.class_names == ("none", "pet", "background", "border")
    example = first(source, "val")
    mask = picture(int(example["image"][0, 0, 0]))[1]
    np.testing.assert_array_equal(example["segmentation_mask"], mask)
    assert example["file_name"].decode().startswith("validation[")  # nothing else names it
    of_array = open_source(pets(tmp_path, tfds_mask="array", **{**data, "class_names": NAMES}))
    np.testing.assert_array_equal(first(of_array, "val")["segmentation_mask"], mask)


def test_values_follow_the_rule_of_masks_in_folders(folder):
    source = open_source(pets(folder, ignore_label=3))
    example = first(source)
    mask = picture(int(example["image"][0, 0, 0]))[1]
    np.testing.assert_array_equal(example["segmentation_mask"], np.where(mask == 3, VOID, mask))
    few = open_source(pets(folder, class_names=NAMES[:3]), trains=False)
    name = r"train_\d+\.png \(train\[\d+\]\): value 3 in 1\d pixels"
    with pytest.raises(RunError, match=name), data_errors_as(RunError):
        first(few)


def test_mask_values_say_what_the_values_are_and_name_the_classes(folder):
    mask_values = "{1: pet, 2: background, 3: ignore}"
    source = open_source(pets(folder, class_names=None, mask_values=mask_values))
    assert source.class_names == ("pet", "background")
    example = first(source)
    mask = picture(int(example["image"][0, 0, 0]))[1]
    labels = np.array([VOID, 0, 1, VOID])[mask]
    np.testing.assert_array_equal(example["segmentation_mask"], labels)
    few = open_source(
        pets(folder, class_names=None, mask_values="{1: pet, 2: background}"), trains=False
    )
    with pytest.raises(RunError, match=r"train\[\d+\]\): .*3"), data_errors_as(RunError):
        first(few)


def test_deep_images_are_read_with_the_range_that_is_given(tmp_path):
    build(tmp_path, DeepPets)
    data = {"tfds_name": "deep_pets", "tfds_image": "scan", "tfds_mask": "mask"}
    with pytest.raises(InputError, match="more than 8 bits"), data_errors_as(InputError):
        first(open_source(pets(tmp_path, **data)))
    source = open_source(pets(tmp_path, **data, value_range=(0, 5100)))
    # 100 of 5100 is 5 of 255.
    np.testing.assert_array_equal(
        first(source)["image"][..., 1], np.arange(0, 175, 5).reshape(5, 7)
    )


def test_an_image_and_a_mask_of_different_sizes_are_refused(tmp_path):
    build(tmp_path, LabelledPets)
    source = open_source(pets(tmp_path, tfds_name="labelled_pets", tfds_mask="small"), trains=False)
    message = r"train\[\d+\]: the image has 5x7 pixels \(height x width\), its mask 2x7"
    with pytest.raises(RunError, match=message), data_errors_as(RunError):
        first(source)


def test_what_tfds_does_not_know_is_refused_with_near_names(tmp_path, monkeypatch):
    known = ["oxford_iiit_pet", "cityscapes"]
    monkeypatch.setattr(tfds, "list_builders", lambda: known)
    with pytest.raises(InputError, match=r"no such data set.* Did you mean oxford_iiit_pet\?"):
        open_source(pets(tmp_path, tfds_name="oxford_iit_pets"))
    with pytest.raises(InputError, match=r"no such data set.*dataset_info\.json\.$"):
        open_source(pets(tmp_path, tfds_name="zzz"))
    with pytest.raises(InputError, match=r"voc_segmentation/voc3000: .*voc2012, voc2012_aug"):
        open_source(pets(tmp_path, tfds_name="voc_segmentation/voc3000"))
    with pytest.raises(InputError, match="does not say what its classes are called"):
        open_source(pets(tmp_path, class_names=None))


def test_no_record_is_lost_between_train_and_val(folder):
    source = open_source(pets(folder, validation_fraction=0.5))
    numbers = [
        int(example["image"][0, 0, 0])
        for split in ("train", "val")
        for example in whole_images(source, split).as_numpy_iterator()
    ]
    assert sorted(numbers) == list(range(PETS))
    assert source.split_sizes == {"train": 6, "test": 3, "val": 6}


@pytest.mark.slow
def test_it_trains_by_its_name_without_code(tmp_path, run_here, few_figures):
    build(tmp_path, LabelledPets)
    data = ("--data.tfds_name=labelled_pets", f"--data.tfds_dir={tmp_path}")
    narrow = ("--model.width=0.0625", "--model.head_units=8", "--data.crop_px=32")
    run = tmp_path / "run"
    two = ("--training.max_steps=2", "--data.batch_size=2", f"--workdir={run}")
    done = run_here("train", "--data.name=tfds", *data, *narrow, *two)
    assert done.returncode == 0, done.stderr
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = json.loads((run / "report/scores.json").read_text())
    assert logged[-1]["mean_iou"] == scores["mean_iou"]
    assert list(load_model(run).class_names) == NAMES
