"""Folders as people's tools write them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fcn_tf.data.folder
from fcn_tf.classes import VOID, voc_palette
from fcn_tf.config.schema import Config, DataConfig, ModelConfig, TrainingConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.layouts import known_layouts, open_folder
from fcn_tf.data.pairs import Pair
from fcn_tf.data.splits import hashed_splits
from fcn_tf.errors import InputError
from fcn_tf.models import load_model
from fcn_tf.training.loop import train

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
def test_an_export_trains_with_nothing_but_its_folder(tool, tmp_path):
    EXPORTS[tool](tmp_path / "data")
    config = Config(
        data=DataConfig(data_dir=str(tmp_path / "data"), batch_size=1),
        model=ModelConfig(width=1 / 64, head_units=4),
        training=TrainingConfig(max_steps=1),
    )
    model = load_model(train(config, tmp_path / "run"))
    assert model.class_names[1:] == list(CLASSES[1:])
    colors = COLORS if tool == "CVAT" else voc_palette(3).tolist()
    assert model.palette == [list(color) for color in colors]


def pairs_named(names, folder):
    return [Pair(folder / f"{name}.jpg", folder / f"{name}.png") for name in names]


def test_a_hashed_split_is_stable_when_images_are_added(tmp_path):
    names = [f"{number:04d}" for number in range(400)]
    few = hashed_splits(pairs_named(names[::2], tmp_path), 0.25)
    many = hashed_splits(pairs_named(names, tmp_path), 0.25)
    for split in ("train", "val"):
        assert set(few[split]) <= set(many[split])
    assert len(many["train"]) + len(many["val"]) == 400
    assert 70 < len(many["val"]) < 130


def test_both_splits_have_an_image_and_one_image_is_refused(tmp_path):
    for names in (["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]):
        for fraction in (1e-9, 1 - 1e-9):
            splits = hashed_splits(pairs_named(names, tmp_path), fraction)
            assert [len(splits["train"]), len(splits["val"])] == [1, 1]
    with pytest.raises(InputError, match="is alone"):
        hashed_splits(pairs_named(["a"], tmp_path), 0.5)


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
    assert f"1 images in {tmp_path}/JPEGImages have no mask" in capsys.readouterr().out
    lists = tmp_path / "ImageSets/Segmentation"
    (lists / "train.txt").write_text("street_2\n")
    assert listed(tmp_path) == {"train": {"street_2"}, "val": {"street_3"}}
    assert "1 images are in no list and are left out." in capsys.readouterr().out
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
    for split, pairs in open_folder(tmp_path, ["a", "b"]).splits.items():
        names = "".join(pair.image.stem for pair in pairs)
        assert names == {"train": "cdefghij", "val": "ab"}[split]


def test_validation_fraction_is_the_share_of_val(tmp_path):
    """The numbers of the names' hashes: d and j 0.10, f 0.15, c 0.18, b 0.24, e 0.25, h 0.67, …"""
    for name in "abcdefghij":
        save(np.zeros((2, 3, 3), np.uint8), tmp_path / f"images/{name}.png")
        save(np.zeros((2, 3), np.uint8), tmp_path / f"masks/{name}.png")
    (tmp_path / "classes.txt").write_text("a\nb")
    for options, val in (({}, "cdfj"), ({"validation_fraction": 0.5}, "bcdefj")):
        splits = listed(tmp_path, **options)
        assert splits == {"train": set("abcdefghij") - set(val), "val": set(val)}
    assert "".join(pair.image.stem for pair in open_folder(tmp_path).splits["val"]) == "cdfj"


def test_sizes_that_differ_are_met_when_the_pair_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fcn_tf.data.folder, "CHECKED_AT_START", 1)
    write_without_splits(tmp_path)
    for name in NAMES[1:]:
        save(np.zeros((48, 64), np.uint8), tmp_path / f"masks/{name}.png")
    source = open_source(DataConfig(name="folder", data_dir=str(tmp_path)))
    examples = whole_images(source, "train").concatenate(whole_images(source, "val"))
    with pytest.raises(
        tf.errors.OpError, match=r"street_.\.png: 48x64 px.*both must have one size"
    ):
        list(examples)


def test_an_unknown_layout_is_answered_with_those_that_are_known(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"images/SPLIT/ \+ masks/SPLIT/.*JPEGImages"):
        open_source(DataConfig(name="folder", data_dir=str(tmp_path)))
    assert known_layouts() == (
        "images/SPLIT/ + masks/SPLIT/, SPLIT/ + SPLITannot/ (the SegNet tutorial), "
        "images/ + masks/, JPEGImages/ + SegmentationClassPNG/ (older labelme) or "
        "JPEGImages/ + SegmentationClass/ (labelme, CVAT, VOC)"
    )


@pytest.mark.parametrize(
    ("write", "images"),
    [
        (write_labelme, "JPEGImages"),
        (EXPORTS["labelme, older"], "JPEGImages"),
        (write_without_splits, "images"),
    ],
)
def test_only_tools_leave_images_without_a_mask(write, images, tmp_path):
    """labelme and CVAT write all images; in a folder of one's own a mask was forgotten."""
    write(tmp_path)
    save(arrays(NAMES[0])[0], tmp_path / images / "nobody_labelled_this.png")
    if images == "JPEGImages":
        splits = open_folder(tmp_path).splits
        assert {p.image.stem for pairs in splits.values() for p in pairs} == set(NAMES)
    else:
        with pytest.raises(InputError, match=r"nobody_labelled_this\.png has no partner"):
            open_folder(tmp_path)
