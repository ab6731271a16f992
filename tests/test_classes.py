import numpy as np
import pytest

from fcn_tf.classes import (
    MEAN_RGB,
    VOC_CLASSES,
    VOID,
    VOID_COLOR,
    Classes,
    check_num_classes,
    class_names_or_numbers,
    palette_or_voc,
    voc_palette,
)
from fcn_tf.errors import InputError


def test_voc_palette_has_the_published_colors():
    palette = voc_palette()
    assert len(palette) == VOID + 1
    published = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    published |= {20: (0, 64, 128), VOID: VOID_COLOR}
    for label, color in published.items():
        assert tuple(palette[label]) == color


def test_voc_classes_are_the_published_ones():
    """20 in the order of the alphabet, behind the background."""
    assert VOC_CLASSES[0] == "background"
    assert len(VOC_CLASSES) == 21
    assert list(VOC_CLASSES[1:]) == sorted(VOC_CLASSES[1:])
    labels = {"aeroplane": 1, "bottle": 5, "cow": 10, "person": 15, "tvmonitor": 20}
    assert {name: VOC_CLASSES.index(name) for name in labels} == labels


def test_the_mean_colour_is_imagenets():
    np.testing.assert_array_equal(MEAN_RGB, np.rint((123.68, 116.779, 103.939)))


def test_names_and_colors_where_there_are_none():
    palette = [(1, 2, 3), (4, 5, 6)]
    assert class_names_or_numbers(["car", "road"], 2) == ("car", "road")
    assert class_names_or_numbers(None, 3) == ("0", "1", "2")
    assert palette_or_voc(palette, 2) == [[1, 2, 3], [4, 5, 6]]
    assert palette_or_voc(None, 3) == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert Classes.of(None, palette, 2) == Classes(("0", "1"), [[1, 2, 3], [4, 5, 6]])
    assert Classes.of(["a"], None, 1) == Classes(("a",), [[0, 0, 0]])


def test_labels_tell_255_classes_apart():
    for possible in (2, 255):
        check_num_classes(possible)
    for impossible in (0, 1, 256, 300):
        with pytest.raises(InputError, match=f"classes of X={impossible}: .* between 2 and 255"):
            check_num_classes(impossible, "classes of X")
