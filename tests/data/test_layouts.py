"""Folders as people's tools write them."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fcn_tf.data.start_check
from fcn_tf.classes import VOID, voc_palette
from fcn_tf.config.schema import Config, DataConfig, ModelConfig, TrainingConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.layouts import open_folder
from fcn_tf.data.splits import hashed_splits
from fcn_tf.errors import InputError
from fcn_tf.models import load_model
from fcn_tf.training.loop import train
from tests.data.trees import called

NAMES = ("street_1", "street_2", "street_3")
CLASSES = ("background", "car", "lane marking")
COLORS = ((0, 0, 0), (250, 50, 83), (51, 221, 255))


def arrays(name):
    """An image uint8 (H, W, 3) and its labels uint8 (H, W)."""
    rng = np.random.default_rng(NAMES.index(name))
    labels = rng.integers(0, 3, (24, 32), dtype=np.uint8)
    labels[:2, :3] = VOID
    return rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), labels


def save(picture, path, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(picture)
    if palette is not None:
        picture.putpalette(palette.tobytes())
    picture.save(path)


def colored(labels, colors):
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)], table[VOID] = colors, (224, 224, 192)
    return table[labels]


def write_labelme(folder, masks="SegmentationClass"):
    """What labelme2voc.py writes from labels.txt with __ignore__, _background_, car, …"""
    for name in NAMES:
        image, labels = arrays(name)
        save(image, folder / f"JPEGImages/{name}.jpg")
        save(labels, folder / f"{masks}/{name}.png", voc_palette())
        save(image, folder / f"SegmentationClassVisualization/{name}.jpg")
    if masks == "SegmentationClassPNG":  # beside which the older tool writes arrays
        (folder / "SegmentationClass").mkdir()
        np.save(folder / f"SegmentationClass/{NAMES[0]}.npy", arrays(NAMES[0])[1])
    (folder / "class_names.txt").write_text("_background_\ncar\nlane marking\n")


def write_cvat(folder, lists=("default",)):
    """What CVAT exports as "Segmentation mask 1.1": masks in colour, and a label map."""
    for name in NAMES:
        image, labels = arrays(name)
        save(image, folder / f"JPEGImages/{name}.png")
        save(colored(labels, COLORS), folder / f"SegmentationClass/{name}.png")
        save(colored(labels, COLORS), folder / f"SegmentationObject/{name}.png")
    save(arrays(NAMES[0])[0], folder / "JPEGImages/nobody_labelled_this.png")
    lines = ["# label:color_rgb:parts:actions"]
    lines += [
        f"{name}:{','.join(map(str, color))}::" for name, color in zip(CLASSES, COLORS, strict=True)
    ]
    (folder / "labelmap.txt").write_text("\n".join(lines) + "\n")
    listed = folder / "ImageSets/Segmentation"
    listed.mkdir(parents=True)
    for name in lists:
        members = {"Train": NAMES[:2], "Validation": NAMES[2:]}.get(name, NAMES)
        (listed / f"{name}.txt").write_text("\n".join(members) + "\n")


def write_without_splits(folder):
    """images/ and masks/ without splits, masks in the colours behind the names of the classes."""
    for name in NAMES:
        image, labels = arrays(name)
        save(image, folder / f"images/{name}.png")
        save(colored(labels, COLORS), folder / f"masks/{name}.png")
    lines = (f"{n} {r} {g} {b}" for n, (r, g, b) in zip(CLASSES, COLORS, strict=True))
    (folder / "classes.txt").write_text("\n".join(lines))


EXPORTS = {
    "labelme": write_labelme,
    "labelme, older": lambda folder: write_labelme(folder, "SegmentationClassPNG"),
    "CVAT": write_cvat,
    "CVAT with subsets": lambda folder: write_cvat(folder, ("Train", "Validation", "default")),
    "without splits": write_without_splits,
}


@pytest.mark.parametrize("tool", EXPORTS)
def test_masks_come_out_as_they_were_drawn(tool, tmp_path):
    EXPORTS[tool](tmp_path)
    source = open_source(DataConfig(name="folder", data_dir=str(tmp_path)))
    assert source.class_names[1:] == CLASSES[1:]
    assert source.split_sizes == {"train": 2, "val": 1}
    assert source.colors == (tuple(map(tuple, voc_palette(3))) if "labelme" in tool else COLORS)
    seen = set()
    for split in ("train", "val"):
        for example in whole_images(source, split).as_numpy_iterator():
            name = example["file_name"].decode().split(".")[0]
            image, labels = arrays(name)
            np.testing.assert_array_equal(example["segmentation_mask"][..., 0], labels)
            if b".png" in example["file_name"]:
                np.testing.assert_array_equal(example["image"], image)
            seen.add((split if "subsets" in tool else "any", name))
    assert len(seen) == 3
    if "subsets" in tool:
        assert ("val", NAMES[2]) in seen


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["labelme", "CVAT"])
def test_an_export_trains_with_nothing_but_its_folder(tool, few_figures, tmp_path):
    EXPORTS[tool](tmp_path / "data")
    config = Config(
        variant="fcn32s",
        data=DataConfig(data_dir=str(tmp_path / "data"), batch_size=1),
        model=ModelConfig(trunk="alexnet", geometry="caffe", width=1 / 64, head_units=4),
        training=TrainingConfig(max_steps=1),
    )
    model = load_model(train(config, tmp_path / "run"))
    assert model.class_names[1:] == list(CLASSES[1:])
    colors = COLORS if tool == "CVAT" else voc_palette(3).tolist()
    assert model.palette == [list(color) for color in colors]


def test_a_hashed_split_is_stable_when_images_are_added():
    names = [f"{number:04d}" for number in range(400)]
    few = hashed_splits(called(names[::2]), 0.25)
    many = hashed_splits(called(names), 0.25)
    for split in ("train", "val"):
        assert set(few[split]) <= set(many[split])
    assert len(many["train"]) + len(many["val"]) == 400
    assert 70 < len(many["val"]) < 130


def test_a_color_of_no_class_is_named(tmp_path):
    write_cvat(tmp_path)
    mask = colored(arrays(NAMES[1])[1], COLORS)
    mask[5, :4] = (9, 8, 7)
    save(mask, tmp_path / f"SegmentationClass/{NAMES[1]}.png")
    with pytest.raises(InputError, match=r"street_2.png: colour \(9, 8, 7\) in 4 pixels"):
        open_source(DataConfig(name="folder", data_dir=str(tmp_path)))


def test_a_list_that_names_no_image(tmp_path):
    write_cvat(tmp_path, ("Train", "Validation"))
    path = tmp_path / "ImageSets/Segmentation/Train.txt"
    path.write_text(path.read_text() + "street_9\n")
    with pytest.raises(InputError, match="lists street_9"):
        open_source(DataConfig(name="folder", data_dir=str(tmp_path)))


def listed(folder, **options):
    """The names in each split."""
    source = open_source(DataConfig(name="folder", data_dir=str(folder), **options))
    return {
        split: {r["image"].decode().split("/")[-1][:-4] for r in records}
        for split in source.split_sizes
        for records in [source.records(split).as_numpy_iterator()]
    }


def test_lists_leave_out_what_nobody_labelled_and_val_comes_out_of_train(tmp_path):
    write_cvat(tmp_path, ())
    lists = tmp_path / "ImageSets/Segmentation"
    (lists / "Train.txt").write_text("\ufeffstreet_1\nnobody_labelled_this\nstreet_2\n", "utf-8")
    (lists / "Test.txt").write_text("street_3\n")
    splits = listed(tmp_path)
    assert splits["test"] == {"street_3"}
    assert splits["train"] | splits["val"] == {"street_1", "street_2"}
    assert len(splits["train"]) == 1
    (lists / "Validation.txt").write_text("street_2\n")
    with pytest.raises(InputError, match="lists street_2, which is in train too"):
        listed(tmp_path)


def test_a_list_of_val_alone_leaves_the_others_to_train(tmp_path, capsys):
    write_cvat(tmp_path, ("Validation",))
    assert listed(tmp_path) == {"train": {"street_1", "street_2"}, "val": {"street_3"}}
    said = capsys.readouterr().out
    assert "Layout: JPEGImages/* + SegmentationClass/*, pairs: 2 in train, 1 in val.\n" in said
    assert "Left out: 1 image without a mask (JPEGImages/nobody_labelled_this.png).\n" in said
    assert (
        "Left out: 3 image files with no place in this layout, in SegmentationObject (3).\n" in said
    )
    lists = tmp_path / "ImageSets/Segmentation"
    (lists / "train.txt").write_text("street_2\n")
    assert listed(tmp_path) == {"train": {"street_2"}, "val": {"street_3"}}
    assert "Left out: 1 image in no list." in capsys.readouterr().out
    (lists / "Validation.txt").write_text("")
    with pytest.raises(InputError, match="has no images in split val"):
        listed(tmp_path)


def test_a_list_may_have_any_order_and_the_pairs_of_a_split_have_one(tmp_path):
    """The order of the names; any other would differ from process to process."""
    for name in "abcdefghij":
        save(np.zeros((2, 3, 3), np.uint8), tmp_path / f"images/{name}.png")
        save(np.zeros((2, 3), np.uint8), tmp_path / f"masks/{name}.png")
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for split, names in (("train", "jihgfdce"), ("val", "ba")):
        (lists / f"{split}.txt").write_text("\n".join(names))
    config = DataConfig(data_dir=str(tmp_path), class_names=["a", "b"])
    for split, pairs in open_folder(config).splits.items():
        names = "".join(pair.image.stem for pair in pairs)
        assert names == {"train": "cdefghij", "val": "ab"}[split]


def test_validation_fraction_is_the_share_of_val(tmp_path):
    """The numbers of the names' hashes: d and j 0.10, f 0.15, c 0.18, b 0.24, e 0.25, h 0.67, …"""
    for name in "abcdefghij":
        save(np.zeros((2, 3, 3), np.uint8), tmp_path / f"images/{name}.png")
        save(np.array([[0, 1, 0]] * 2, np.uint8), tmp_path / f"masks/{name}.png")
    (tmp_path / "classes.txt").write_text("a\nb")
    for options, val in (({}, "cdfj"), ({"validation_fraction": 0.5}, "bcdefj")):
        splits = listed(tmp_path, **options)
        assert splits == {"train": set("abcdefghij") - set(val), "val": set(val)}
    assert (
        "".join(
            pair.image.stem
            for pair in open_folder(DataConfig(data_dir=str(tmp_path))).splits["val"]
        )
        == "cdfj"
    )


def test_sizes_that_differ_are_met_when_the_pair_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fcn_tf.data.start_check, "CHECKED_AT_START", 1)
    write_without_splits(tmp_path)
    for name in NAMES[1:]:
        save(np.zeros((48, 64), np.uint8), tmp_path / f"masks/{name}.png")
    source = open_source(DataConfig(name="folder", data_dir=str(tmp_path)))
    examples = whole_images(source, "train").concatenate(whole_images(source, "val"))
    with pytest.raises(
        tf.errors.OpError, match=r"street_.\.png: 48x64 px.*both must have one size"
    ):
        list(examples)


def small(folder, paths, classes="a\nb\n"):
    """Images and masks of two pixels."""
    for path in paths:
        save(np.zeros((1, 2), np.uint8), folder / path)
    if classes:
        (folder / "classes.txt").write_text(classes)
    return DataConfig(name="folder", data_dir=str(folder))


def test_a_layout_may_be_given(tmp_path):
    paths = [f"{kind}/{n}.png" for kind in ("photos", "first", "second") for n in "ab"]
    config = small(tmp_path, [*paths, "first/c.png", "photos/c.png"])
    with pytest.raises(InputError, match=r"photos/\* \+ first/\*.*photos/\* \+ second/\*"):
        open_folder(config)
    found = open_folder(replace(config, layout="photos/* + second/*"))
    masks = {pair.mask for pairs in found.splits.values() for pair in pairs}
    assert masks == {tmp_path / "second/a.png", tmp_path / "second/b.png"}
    with pytest.raises(InputError, match=r"pairs no image.*photos \(3 .png\).*Try --data.layout"):
        open_folder(replace(config, layout="own"))


@pytest.mark.parametrize(
    ("layout", "part"),
    [
        ("maks", "maks has no \\*.* or own, unsplit, segnet, .*ade20k"),
        ("images/* + masks/a", "masks/a has no"),
        ("images/*", "a pattern that is missing has no"),
        ("/images/* + masks/*", "is not a path below data_dir"),
        ("../images/* + masks/*", "is not a path below data_dir"),
        ("images/** + masks/**", "folders below are meant anyway"),
        ("*/images/* + masks/*", "the same number of"),
        ("images/* + images/*", "are the same"),
    ],
)
def test_a_layout_that_is_none_is_refused(layout, part, tmp_path):
    config = small(tmp_path, ["images/a.png"])
    with pytest.raises(InputError, match=f"^data.layout='.*{part}"):
        open_folder(replace(config, layout=layout))


def test_the_coding_of_a_data_set_is_said_unless_another_is_given(tmp_path, capsys):
    paths = [f"{kind}/training/ADE_{n}.png" for kind in ("images", "annotations") for n in "ab"]
    config = small(tmp_path, paths)
    (tmp_path / "classes.txt").write_text("\n".join(f"thing{n}" for n in range(1, 151)))
    labels = open_folder(config).coding.value_labels
    assert (labels[0], labels[1], labels[150]) == (VOID, 0, 149)
    assert "annotations/SPLIT/ADE_* (data.mask_values ade20k), pairs: 1" in capsys.readouterr().out
    own = {0: "thing1", 1: "thing2"}
    assert open_folder(replace(config, mask_values=own)).coding.value_labels[0] == 0
    assert "annotations/SPLIT/ADE_*, pairs: 1 in train" in capsys.readouterr().out


def test_what_is_taken_in_spite_of_its_name_and_what_is_hidden_is_said(tmp_path, capsys):
    paths = ["images/A.png", "masks/a.png", "images/b.png", "masks/b.png", "images/._b.png"]
    open_folder(small(tmp_path, [*paths, "images/c.png", "images/d.png"]))
    said = capsys.readouterr().out
    assert "Letter case or Unicode form differs between the names of 1 pair.\n" in said
    assert "Left out: 1 hidden image file.\n" in said
    assert "Left out: 2 images without a mask (images/c.png, …).\n" in said


def test_three_folders_of_files_without_a_place_are_named(tmp_path, capsys):
    paths = [f"{kind}/{n}.png" for kind in ("images", "masks") for n in "ab"]
    three = ["x/0.png", "x/1.png", "x/2.png", "y/0.png", "y/1.png", "z/0.png"]
    open_folder(small(tmp_path, [*paths, *three]))
    said = capsys.readouterr().out
    line = "Left out: 6 image files with no place in this layout, in x (3), y (2), z (1)"
    assert f"{line}.\n" in said
    open_folder(small(tmp_path, ["zz/0.png"]))
    said = capsys.readouterr().out
    assert f"{line.replace('6', '7')}, 1 more folder.\n" in said


def test_classes_may_lie_with_the_images(tmp_path):
    """Roboflow writes them into each split, and an archive is unpacked into a folder of its own."""
    paths = [f"x/train/{n}{end}.png" for n in "ab" for end in ("", "_mask")]
    config = small(tmp_path, paths, classes="")
    (tmp_path / "x/train/classes.txt").write_text("a\nb\n")
    assert open_folder(config).class_names == ("a", "b")
    (tmp_path / "x/classes.txt").write_text("c\nd\n")
    assert open_folder(config).class_names == ("c", "d")


def test_faults_may_be_collected(tmp_path):
    problems = []
    paths = ["images/val/a.png", "masks/val/a.png", "masks/val/b.png"]
    folder = open_folder(small(tmp_path, paths, classes=""), problems)
    assert [path and path.name for path, _ in problems] == ["b.png", None, None]
    assert "split train" in problems[1][1]
    assert "classes.txt" in problems[2][1]
    assert folder.class_names == ()
    assert {split: len(pairs) for split, pairs in folder.splits.items()} == {"val": 1}
