"""COCO's JSON gives the label maps back, and grows with the images."""

import json

import numpy as np
import pytest

from fcn_tf.classes import Classes
from fcn_tf.errors import InputError
from tests.extras import needs_extra
from tests.networks import random_images

pytestmark = needs_extra("coco", "pycocotools")

CLASSES = Classes(("sky", "sea", "sand"), [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
LABELS = {name: random_images(7, 9, seed=n) % 3 for n, name in enumerate(["b/a.jpg", "a.png"])}
LABELS["a.png"][LABELS["a.png"] == 1] = 2  # a class is absent


def opened(folder, classes=CLASSES):
    from fcn_tf.inference.annotations import Annotations

    return Annotations(folder / "annotations.json", classes)


def test_the_masks_are_the_label_maps(tmp_path):
    from pycocotools.coco import COCO

    file = opened(tmp_path)
    for name, labels in LABELS.items():
        file.add(name, labels)
    file.save()
    coco = COCO(tmp_path / "annotations.json")
    assert [(one["id"], one["name"]) for one in coco.loadCats(coco.getCatIds())] == [
        (0, "sky"),
        (1, "sea"),
        (2, "sand"),
    ]
    assert [one["file_name"] for one in coco.loadImgs([1, 2])] == ["a.png", "b/a.jpg"]
    for image in coco.loadImgs(coco.getImgIds()):
        drawn = np.full((image["height"], image["width"]), 99)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        for one in annotations:
            mask = coco.annToMask(one).astype(bool)
            assert (drawn[mask] == 99).all()
            drawn[mask] = one["category_id"]
            rows, columns = np.nonzero(mask)
            corner = columns.min(), rows.min()
            sides = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert one["bbox"] == [*corner, *sides]
            assert one["area"] == mask.sum()
        np.testing.assert_array_equal(drawn, LABELS[image["file_name"]])
        assert len(annotations) == len(np.unique(drawn))


def test_a_file_that_grows_is_that_of_one_go(tmp_path):
    both = opened(tmp_path)
    for name, labels in LABELS.items():
        both.add(name, labels)
    both.save()
    expected = json.loads((tmp_path / "annotations.json").read_text())
    (tmp_path / "annotations.json").unlink()
    for name in ("b/a.jpg", "a.png"):
        one = opened(tmp_path)
        assert name not in one
        one.add(name, LABELS[name])
        assert name in one
        one.save()
    assert json.loads((tmp_path / "annotations.json").read_text()) == expected
    again = opened(tmp_path)
    again.add("a.png", LABELS["a.png"])
    again.save()
    assert json.loads((tmp_path / "annotations.json").read_text()) == expected


def test_a_file_of_others_is_left_alone(tmp_path):
    opened(tmp_path).save()
    others = Classes(("sky", "sea", "rock"), CLASSES.palette)
    with pytest.raises(InputError, match="of other classes: move it away"):
        opened(tmp_path, others)
    for text in ("{}", "[1]", "no JSON"):
        (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(InputError, match="no file that --format coco writes: move it"):
            opened(tmp_path)
        assert (tmp_path / "annotations.json").read_text() == text
