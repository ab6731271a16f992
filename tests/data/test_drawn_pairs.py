"""Folders whose masks are outlines in JSON, from the files to what a training reads."""

import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_tf.classes import VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.data.check import check_data_set
from fcn_tf.data.drawn_pairs import split_in, split_of_image
from fcn_tf.data.layouts import open_folder
from fcn_tf.errors import InputError
from tests.extras import needs_extra

HEIGHT, WIDTH = 4, 6
needs_coco = needs_extra("coco", "pycocotools")


def config_of(folder, **options):
    return DataConfig(name="folder", data_dir=str(folder), **options)


def photo(path, exif=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(
        path, **({"exif": exif} if exif else {})
    )


def box(label, left, right):
    """A shape of labelme's that covers some columns."""
    points = [[left, 0], [right, HEIGHT]]
    return {"label": label, "shape_type": "rectangle", "points": points}


def outline(path, *shapes, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    path.write_text(json.dumps({"shapes": shapes, **size, **more}))


def columns(labels):
    """A mask with these labels in its columns."""
    return np.tile(np.array(labels, np.uint8), (HEIGHT, 1))


def masks_of(source, split):
    """The masks of a split by the name of their image, as the graph reads them."""
    examples = whole_images(source, split).as_numpy_iterator()
    return {e["file_name"].decode(): e["segmentation_mask"][..., 0] for e in examples}


def labelme(folder):
    """Outlines beside the images, in folders of splits; one image has none."""
    for name in ("train/a", "train/b", "val/a", "train/none"):
        photo(folder / f"{name}.jpg")
    outline(folder / "train/a.json", box("disc", 0, 1))
    outline(folder / "train/b.json", box("square", 2, 4), box("__ignore__", 4, 5))
    outline(folder / "val/a.json", box("disc", 0, 5), box("square", 5, 5))


def test_outlines_of_labelme_become_masks(tmp_path, capsys):
    labelme(tmp_path)
    config = config_of(tmp_path, batch_size=2, flip=False)
    source = open_source(config)
    said = capsys.readouterr().out
    assert "Layout: labelme's JSON, masks are drawn, pairs: 2 in train, 1 in val.\n" in said
    assert "Letter case" not in said
    assert "Left out: 1 image of train without a mask (train/none.jpg).\n" in said
    assert "Classes, by the names of the outlines: background, disc, square.\n" in said
    expected = {
        "a.jpg": columns([1, 1, 0, 0, 0, 0]),
        "b.jpg": columns([0, 0, 2, 2, VOID, VOID]),
    }
    found = masks_of(source, "train")
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)
    np.testing.assert_array_equal(masks_of(source, "val")["a.jpg"], columns([1, 1, 1, 1, 1, 2]))
    _, masks = next(iter(training_batches(source, config, 0)))
    assert sorted(masks.numpy().sum(axis=(1, 2))) == [8, 2 * HEIGHT * VOID + 4 * HEIGHT]


def test_a_class_file_gives_the_labels_of_outlines(tmp_path):
    labelme(tmp_path)
    (tmp_path / "classes.txt").write_text("square\ndisc\n")
    source = open_source(config_of(tmp_path))
    np.testing.assert_array_equal(masks_of(source, "train")["a.jpg"], columns([1, 1, *[VOID] * 4]))
    (tmp_path / "classes.txt").write_text("background\ndisc\n")
    with pytest.raises(InputError, match=r"b\.json: an outline is named square, which is no class"):
        open_source(config_of(tmp_path))
    errors = check_data_set(config_of(tmp_path)).errors
    assert [(path.name, "named square" in text) for path, text in errors] == [
        ("b.json", True),
        ("a.json", True),
    ]


def test_outlines_in_a_folder_of_their_own_fit_photos_as_viewers_show_them(tmp_path):
    """labelme draws on the turned photo."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name in "abcd":
        photo(tmp_path / f"images/site/{name}.jpg", exif)
        shapes = [box("disc", 0, 1), box("square", 2, 3)]
        turned = {"imageHeight": WIDTH, "imageWidth": HEIGHT}
        outline(tmp_path / f"labels/{name}.json", *shapes, **turned)
    example = next(whole_images(open_source(config_of(tmp_path)), "train").as_numpy_iterator())
    assert example["image"].shape[:2] == (WIDTH, HEIGHT)
    expected = np.zeros((WIDTH, HEIGHT))
    expected[: HEIGHT + 1] = [1, 1, 2, 2]
    np.testing.assert_array_equal(example["segmentation_mask"][..., 0], expected)


def coco(path, names, categories=("disc",), start=0):
    """A file in which the image with number n has a box of n + 1 columns, the first has none."""
    annotations = [
        {
            "id": number,
            "image_id": number,
            "category_id": 7,
            "segmentation": [[0, 0, number + 1, 0, number + 1, HEIGHT, 0, HEIGHT]],
        }
        for number in range(start, start + len(names))
        if number
    ]
    images = [
        {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for number, name in enumerate(names, start)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"id": 7 + number, "name": name} for number, name in enumerate(categories)]
    content = {"images": images, "categories": listed, "annotations": annotations}
    path.write_text(json.dumps(content))


@needs_coco
def test_outlines_of_coco_become_masks(tmp_path, capsys):
    for split in ("train", "val"):
        for name in "abc":
            photo(tmp_path / f"{split}2017/{name}.jpg")
    coco(tmp_path / "annotations/instances_train2017.json", ["a.jpg", "b.jpg"])
    coco(tmp_path / "annotations/instances_val2017.json", ["a.jpg", "c.jpg"], start=2)
    source = open_source(config_of(tmp_path))
    said = capsys.readouterr().out
    assert "Layout: COCO's JSON, masks are drawn, pairs: 2 in train, 2 in val.\n" in said
    assert "Classes, by the names of the outlines: background, disc.\n" in said
    assert "Left out: 1 image of train without a mask (train2017/c.jpg).\n" in said
    expected = {
        "train": {"a.jpg": [0] * 6, "b.jpg": [1, 1, 0, 0, 0, 0]},
        "val": {"a.jpg": [1, 1, 1, 0, 0, 0], "c.jpg": [1, 1, 1, 1, 0, 0]},
    }
    for split, masks in expected.items():
        found = masks_of(source, split)
        for name, labels in masks.items():
            np.testing.assert_array_equal(found[name], columns(labels))


def test_files_of_coco_that_contradict_each_other_are_refused(tmp_path):
    for name in "ab":
        photo(tmp_path / f"images/{name}.jpg")
    coco(tmp_path / "a.json", ["a.jpg"], categories=["disc", "coin"])
    coco(tmp_path / "b.json", ["b.jpg"], categories=["disc", "tile"])
    with pytest.raises(InputError, match=r"b\.json: category 8 is tile, .* it is coin"):
        open_folder(config_of(tmp_path))
    coco(tmp_path / "b.json", ["b.jpg", "a.jpg"])
    with pytest.raises(InputError, match=r"b\.json: a\.jpg is in two JSON files"):
        open_folder(config_of(tmp_path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["x/a.jpg", "y/a.jpg", "b.jpg"], r"a\.json: there are 2 images called a"),
        (["b.jpg"], r"a\.json: there is no image called a"),
    ],
)
def test_outlines_belong_to_one_image(tmp_path, files, message):
    for file in files:
        photo(tmp_path / file)
    for name in "ab":
        outline(tmp_path / f"labels/{name}.json", box("disc", 0, 1))
    with pytest.raises(InputError, match=message):
        open_folder(config_of(tmp_path))


def test_an_image_with_two_files_of_outlines_is_refused(tmp_path):
    for name in "ab":
        photo(tmp_path / f"images/{name}.jpg")
        outline(tmp_path / f"images/{name}.json", box("disc", 0, 1))
    outline(tmp_path / "labels/b.json", box("disc", 2, 3))
    with pytest.raises(InputError, match=r"labels/b\.json: b is in two JSON files"):
        open_folder(config_of(tmp_path))


def test_masks_come_before_outlines_unless_these_are_asked_for(tmp_path, capsys):
    for name in "abc":
        photo(tmp_path / f"images/{name}.jpg")
        outline(tmp_path / f"images/{name}.json", box("disc", 0, 1))
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(columns([0, 1, 0, 0, 0, 0])).save(tmp_path / f"masks/{name}.png")
    open_folder(config_of(tmp_path, class_names=["background", "disc"]))
    assert "Layout: images/* + masks/*, pairs" in capsys.readouterr().out
    open_folder(config_of(tmp_path, layout="labelme"))
    assert "Layout: labelme's JSON" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"data.layout=coco: .* has no COCO's JSON"):
        open_folder(config_of(tmp_path, layout="coco"))
    with pytest.raises(InputError, match=r"data.ignore_label=3: it must be left out: the outlines"):
        open_folder(config_of(tmp_path, layout="labelme", ignore_label=3))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_val2017.json", "val"),
        ("train/_annotations.coco.json", "train"),
        ("images/a.jpg", None),
    ],
)
def test_the_last_word_of_a_path_says_the_split(path, split):
    assert split_in(path) == split


def test_the_name_of_a_photo_says_no_split():
    assert split_of_image("val/train_station.jpg") == "val"
    assert split_of_image("train.jpg") is None
