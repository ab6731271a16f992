"""Which features are the image and the mask, and what the classes are called."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.tfds_features import choose_features, class_names_of
from fcn_tf.errors import InputError

PHOTO = tfds.features.Image(shape=(None, None, 3))
GREY = tfds.features.Image(shape=(None, None, 1))
DEEP = tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png")
LABELS = tfds.features.LabeledImage(labels=["sky", "road"], shape=(None, None, 1))
ARRAY = tfds.features.Tensor(shape=(None, None, 1), dtype=np.uint8)
PLANE = tfds.features.Tensor(shape=(None, None), dtype=np.bool_)
FLOATS = tfds.features.Tensor(shape=(None, None, 1), dtype=np.float32)
TEXT = tfds.features.Text()
INSIDE = tfds.features.FeaturesDict({"segmentation_mask": GREY})
MANY = tfds.features.Sequence(GREY)


def info_of(metadata=None, **features):
    """What is asked of a `tfds.core.DatasetInfo`."""
    return SimpleNamespace(
        full_name="toys/1.0.0", features=tfds.features.FeaturesDict(features), metadata=metadata
    )


def chosen(named=None, **features):
    return choose_features(info_of(**features), DataConfig(**(named or {})))


def test_image_and_mask_are_found_by_their_types():
    for mask in (GREY, DEEP, LABELS, ARRAY, PLANE):
        found = chosen(photo=PHOTO, truth=mask, depth=FLOATS, id=TEXT)
        assert found == ("photo", "truth", "id")
    assert chosen(photo=PHOTO, parts=GREY, truth=LABELS, other=ARRAY).mask == "truth"
    usual = {"image": PHOTO, "style": PHOTO, "segmentation_mask": GREY, "instance_mask": GREY}
    assert chosen(**usual) == ("image", "segmentation_mask", None)


def test_features_that_are_named_are_taken():
    features = {"left": PHOTO, "right": PHOTO, "grey": GREY, "parts": GREY, "truth": LABELS}
    named = {"tfds_image": "right", "tfds_mask": "parts"}
    assert chosen(named, **features)[:2] == ("right", "parts")
    # An image may be grey, where it is named.
    assert chosen({"tfds_image": "grey", "tfds_mask": "truth"}, **features)[:2] == ("grey", "truth")


@pytest.mark.parametrize(
    ("features", "named", "message"),
    [
        (
            {"image": PHOTO, "label": TEXT},
            {},
            "none is a LabeledImage, .* --data.tfds_mask. It has: image .Image, 3 channels.*Text",
        ),
        ({"a": PHOTO, "b": PHOTO, "mask": GREY}, {}, "several could be the image: a, b. Name one"),
        ({"image": PHOTO, "a": GREY, "b": ARRAY}, {}, "several could be the mask: a, b. Name one"),
        ({"mask": GREY}, {}, "none is an Image of three channels"),
        ({"image": PHOTO, "truth": INSIDE}, {}, "none is a LabeledImage.*truth .FeaturesDict"),
        ({"image": PHOTO, "mask": GREY}, {"tfds_mask": "msk"}, "no such feature. It has: image"),
        (
            {"image": PHOTO, "masks": MANY},
            {"tfds_mask": "masks"},
            "tfds_mask=masks: it is Sequence; it must be a LabeledImage",
        ),
        (
            {"image": PHOTO, "depth": FLOATS},
            {"tfds_mask": "depth"},
            "tfds_mask=depth: it is Tensor; it must be",
        ),
        (
            {"image": PHOTO, "mask": GREY, "t": TEXT},
            {"tfds_image": "t"},
            "tfds_image=t: it is Text; it must be an Image of three channels",
        ),
    ],
)
def test_what_the_types_do_not_decide_is_refused(features, named, message):
    with pytest.raises(InputError, match=message):
        chosen(named, **features)


def test_names_of_classes_come_from_what_says_them_first():
    config = DataConfig()
    metadata = {"class_names": ["a", "b"]}
    assert class_names_of(info_of(m=LABELS, metadata=metadata), "m", config) == ("sky", "road")
    assert class_names_of(info_of(m=GREY, metadata=metadata), "m", config) == ("a", "b")
    assert class_names_of(info_of(m=GREY), "m", config) is None
    own = DataConfig(class_names=["x", "y"])
    assert class_names_of(info_of(m=LABELS), "m", own) == ("x", "y")
    numbered = tfds.features.LabeledImage(labels=3, shape=(None, None, 1))
    assert class_names_of(info_of(m=numbered), "m", config) == ("0", "1", "2")
