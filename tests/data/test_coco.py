"""COCO's JSON, against pycocotools' own way from annotations to masks; needs the extra `coco`."""

import json
import sys

import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.data.coco import draw_coco, read_coco
from fcn_tf.data.drawn import Meaning, read_json
from fcn_tf.errors import InputError
from tests.extras import needs_extra

needs_coco = needs_extra("coco", "pycocotools")

TRIANGLE = [10.2, 10, 30, 10.7, 20, 30]
SQUARE = [25, 5, 40, 5, 40, 25, 25, 25]
RUNS = {"counts": [100, 30, 18, 30, 48 * 40 - 178], "size": [48, 40]}


def annotation(number, image, category, segmentation, **more):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": 0,
        **more,
    }


def values():
    """Two images, three categories whose numbers are not in the order of the file."""
    return {
        "images": [
            {"id": 7, "file_name": "b/1.jpg", "height": 48, "width": 40},
            {"id": 3, "file_name": "a.jpg", "height": 9, "width": 11},
            {"id": 4, "file_name": "none.jpg", "height": 2, "width": 3},
        ],
        "categories": [
            {"id": 90, "name": "coin"},
            {"id": 1, "name": "disc"},
            {"id": 5, "name": "tile"},
        ],
        "annotations": [
            annotation(1, 7, 1, [TRIANGLE, SQUARE]),
            annotation(2, 7, 90, [[0, 0, 15, 0, 15, 20]]),
            annotation(3, 3, 5, [[2.5, 1, 9, 1, 9, 7.3, 2.5, 7.3]]),
            annotation(4, 7, 5, RUNS, iscrowd=1),
        ],
    }


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def read(path):
    return read_coco(path, read_json(path))


def by_pycocotools(path, number, label_of):
    """The masks of an image's annotations, one over the other in the order of the file."""
    from pycocotools.coco import COCO

    tool = COCO(str(path))
    size = tool.imgs[number]["height"], tool.imgs[number]["width"]
    labels = np.zeros(size, np.uint8)
    for one in tool.imgToAnns[number]:
        labels[tool.annToMask(one) != 0] = label_of[one["category_id"]]
    return labels


@needs_coco
def test_masks_are_those_of_pycocotools(tmp_path):
    from pycocotools import mask

    content = values()
    compressed = mask.encode(np.asfortranarray(np.eye(48, 40, dtype=np.uint8)))
    compressed["counts"] = compressed["counts"].decode()
    content["annotations"].append(annotation(5, 7, 1, compressed))
    path = write(tmp_path / "instances.json", content)
    file = read(path)
    assert file.categories == {1: "disc", 5: "tile", 90: "coin"}
    meaning = Meaning.of(("background", "disc", "tile", "coin"))
    for number, name in ((7, "b/1.jpg"), (3, "a.jpg"), (4, "none.jpg")):
        expected = by_pycocotools(path, number, {1: 1, 5: 2, 90: 3})
        np.testing.assert_array_equal(draw_coco(file, name, meaning), expected)
    # Worked out by hand: a rectangle of whole pixels, and runs down the columns.
    assert np.bincount(draw_coco(file, "none.jpg", meaning).ravel()).tolist() == [6]
    labels = draw_coco(file, "b/1.jpg", meaning)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert (labels[4:34, 2] == 2).all()  # 100 = 2 x 48 + 4, and 30 long


@needs_coco
def test_what_is_not_drawn_is_not_labelled_without_a_background(tmp_path):
    file = read(write(tmp_path / "a.json", values()))
    labels = draw_coco(file, "a.jpg", Meaning.of(("disc", "tile", "coin")))
    assert labels[0, 0] == VOID
    assert labels[4, 5] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("images"), "no file of COCO's: it has no images"),
        (lambda v: v["images"][0].pop("width"), "COCO's: an entry has no 'width'"),
        (lambda v: v["categories"][0].pop("name"), "COCO's: an entry has no 'name'"),
        (
            lambda v: v["annotations"][2].update(image_id=8),
            "an annotation is of image 8 and category 5",
        ),
        (
            lambda v: v["annotations"][2].update(category_id=8),
            "an annotation is of image 3 and category 8",
        ),
        (lambda v: v["images"][1].update(file_name="b/1.jpg"), "two images have the same"),
        (lambda v: v["images"][1].update(id=7), "an annotation is of image 3 and category 5"),
        (lambda v: v["images"][2].update(id=7), "two images have the same"),
    ],
)
def test_files_that_contradict_themselves_are_refused(tmp_path, change, message):
    content = values()
    change(content)
    with pytest.raises(InputError, match=f"a.json.*{message}"):
        read(write(tmp_path / "a.json", content))


@needs_coco
@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "annotation 1 of a.jpg has no outline"),
        ([[1, 2]], "annotation 1 of a.jpg has no outline"),
        ({"counts": "x"}, "annotation 1 of a.jpg has no outline"),
        ({"counts": [4], "size": [2, 2]}, r"drawn on \(2, 2\) px .*image has \(9, 11\)"),
    ],
)
def test_outlines_that_cannot_be_drawn_are_refused(tmp_path, segmentation, message):
    content = values() | {"annotations": [annotation(1, 3, 1, segmentation)]}
    file = read(write(tmp_path / "a.json", content))
    with pytest.raises(InputError, match=message):
        draw_coco(file, "a.jpg", Meaning.of(("background", "disc")))


def test_without_pycocotools_the_extra_is_named(tmp_path, monkeypatch):
    file = read(write(tmp_path / "a.json", values()))
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(
        InputError, match=r"a\.json: pycocotools draws .* pip install 'fcn_tf\[coco\]'"
    ):
        draw_coco(file, "a.jpg", Meaning.of(("background", "disc")))
