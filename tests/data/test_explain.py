"""What is said of a folder that nobody has named: what is there, and what to rename."""

import json

import pytest

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.layouts import open_folder
from fcn_tf.errors import InputError
from tests.data.trees import pairs_of, several, write_tree

BESIDE = several("{n}.jpg", n=(1, 2))


def refusal(path, **options):
    """The message, which is one line."""
    with pytest.raises(InputError) as refused:
        open_folder(DataConfig(data_dir=str(path), class_names=["a", "b"], **options))
    assert "\n" not in str(refused.value)
    return str(refused.value)


SAID = {
    "words that nobody knows": (
        sum(pairs_of("{s}/Bilder/{n}.jpg", "{s}/Masken/{n}.png", s=("train", "val"), n=(1, 2)), ()),
        [
            "Found: train/Bilder (2 .jpg), train/Masken (2 .png), val/Bilder (2 .jpg), ",
            '--data.layout "SPLIT/Bilder/* + SPLIT/Masken/*" (4 pairs), '
            "or rename Bilder to images and Masken to masks; or ",
            "Folders of splits are called train, val and test.",
        ],
    ),
    "splits that nobody knows": (
        sum(pairs_of("{s}/Bilder/{n}.jpg", "{s}/Masken/{n}.png", s=("Lehre", "Probe"), n="ab"), ()),
        ['say so: --data.layout "*/Bilder/* + */Masken/*" (4 pairs)', "rename Bilder to images"],
    ),
    "two masks beside each image": (
        several("Image_{n}{end}", n=(1, 2), end=(".jpg", "_1stHO.png", "_2ndHO.png")),
        ['--data.layout "* + *_1stHO" (2 pairs); or --data.layout "* + *_2ndHO" (2 pairs)'],
    ),
    "names that share nothing": (
        [*several("images/day{n}x.jpg", n="ab"), *several("masks/n{n}.png", n=(1, 2))],
        ["No name in images fits one in masks: images/dayax.jpg and masks/n1.png, for instance"],
    ),
    "a CVAT export without images": (
        several("{k}/{n}.png", k=("SegmentationClass", "SegmentationObject"), n=(1, 2)),
        ["SegmentationClass has masks, but there are no images.", '"Save images"'],
    ),
    "images alone": (BESIDE, ["There are images and no masks", "images/SPLIT/* + masks/SPLIT/*"]),
    "brush masks of Label Studio": (
        ["task-1-annotation-7-by-1-tag-car-0.png", "task-1-annotation-7-by-1-tag-road-0.png"],
        ["the brush masks of Label Studio", 'Export "COCO with images"'],
    ),
    "boxes of YOLO": (
        sum(pairs_of("images/{n}.jpg", "labels/{n}.txt", n=(1, 2)), ()),
        ["labels (2 .txt)", "The labels are text files of YOLO, and there are no masks."],
    ),
    "boxes in XML": ([*BESIDE, "1.xml"], ["The labels are XML"]),
    "records": (["train.tfrecord-00000-of-00001"], ["--data.name tfds --data.tfds_name FOLDER"]),
    "an archive": (["street.tar.gz"], ["Found: the folder itself (1 .gz). Unpack the archive."]),
    "arrays": (["x.npz"], ["Save the arrays as image files"]),
    "other files": (["notes.md"], ["No file is an image (", "each mask an image file of its own."]),
    "many folders": (several("f{n}/x.md", n=range(9)), ["f5 (1 .md), 3 more folders. No file"]),
    "nothing": ([], ["is empty, but data_dir is a folder of images and masks"]),
}


@pytest.mark.parametrize("name", SAID)
def test_a_folder_that_is_not_understood_is_answered(name, tmp_path):
    paths, parts = SAID[name]
    write_tree(tmp_path, paths)
    said = refusal(tmp_path)
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("contents", "part"),
    [
        ({"1.jpg": {"regions": []}}, "as VIA writes them"),
        ({"author": "me"}, "There are images and no masks"),
    ],
)
def test_outlines_in_json_are_named_by_their_tool(contents, part, tmp_path):
    write_tree(tmp_path, BESIDE)
    (tmp_path / "1.json").write_text(json.dumps(contents))
    assert part in refusal(tmp_path)


def test_what_is_no_folder_is_told_apart(tmp_path):
    (tmp_path / "street.zip").touch()
    assert refusal(tmp_path / "street.zip").endswith(
        "is an archive: unpack it, and give the folder."
    )
    (tmp_path / "street.npz").touch()
    assert "street.npz is a file, but data_dir is a folder" in refusal(tmp_path / "street.npz")
    assert refusal(tmp_path / "street").endswith("street: no such folder.")
    assert refusal("gs://b/x").startswith("data.data_dir=gs://b/x: images and masks are read from")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def scandir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", scandir)
    assert refusal(tmp_path) == f"{tmp_path} cannot be read: Permission denied."


def test_names_that_are_no_utf_8_can_be_shown(tmp_path):
    name = b"fen\x88tre".decode("utf-8", "surrogateescape")
    write_tree(tmp_path, [f"{name}/1.jpg"])
    assert "fen\ufffdtre (1 .jpg)" in refusal(tmp_path)


def test_names_that_are_clear_need_not_be_changed(tmp_path):
    write_tree(tmp_path, sum(pairs_of("images/day_{n}.jpg", "masks/x_{n}.png", n=(1, 2)), ()))
    said = refusal(tmp_path)
    assert '--data.layout "images/day_* + masks/x_*" (2 pairs). Folders' in said
