"""labelme's JSON, against masks that labelme itself drew (labelme 6.3.1, `shapes_to_label`)."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from fcn_tf.classes import VOID
from fcn_tf.data.drawn import Meaning, class_names_of
from fcn_tf.data.labelme import draw_labelme, names_in
from fcn_tf.errors import InputError

MEANING = Meaning.of(("background", "disc", "square"))
VALUES = {".": 0, "d": 1, "s": 2, "?": VOID}
# One of each kind, some beyond the border, and later ones over earlier ones.
SHAPES = [
    ("disc", "polygon", [[1.4, 1.6], [9.5, 2.5], [4.2, 8.7]]),
    ("square", "rectangle", [[16.5, 7.2], [11.4, 1.5]]),
    ("disc", "circle", [[22.5, 4.5], [25.1, 5.9]]),
    ("square", "line", [[-8, 19], [6.5, 25]]),
    ("disc", "linestrip", [[30, -3], [34, 3], [44, 12]]),
    ("square", "point", [[14.5, 14.2]]),
    ("disc", "oriented_rectangle", [[22, 12], [27, 14.5], [25, 18], [20.2, 15.6]]),
    ("square", "mask", [[30.6, 15.9], [32.2, 16.1]]),
    ("__ignore__", "polygon", [[3, 4], [8, 4], [5.5, 11]]),
    ("background", "rectangle", [[13, 3], [15, 5]]),
]
PICTURE = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
DRAWN_BY_LABELME = """
...........................ddddddddd
.d.........ssssss....ddd....dddddddd
.ddddddddd.ssssss...ddddd...dddddddd
..ddddddd..ss...s..ddddddd...ddddddd
..d??????..ss...s..ddddddd....dddddd
...??????..ss...s..ddddddd....dddddd
...d????...ssssss...ddddd......ddddd
....????...ssssss....ddd.......ddddd
....???.........................dddd
....???.....sssss................ddd
.....?.....sssssss................dd
.....?....sssssssss................d
.........sssssssssss..d.............
.........sssssssssss.dddd...........
.........sssssssssss.ddddddd........
.........sssssssssssddddddd...s.s...
.........sssssssssss..ddddd....ss...
..........sssssssss....ddd..........
ss.........sssssss.......d..........
ssss........sssss...................
"""


def write(path, shapes, **values):
    """A file of labelme's; a shape is (label, kind, points)."""
    entries = []
    for label, kind, points in shapes:
        entries.append({"label": label, "shape_type": kind, "points": points, "flags": {}})
        if kind == "mask":
            encoded = io.BytesIO()
            Image.fromarray(PICTURE).save(encoded, "png")
            entries[-1]["mask"] = base64.b64encode(encoded.getvalue()).decode()
    path.write_text(json.dumps({"version": "6.3.1", "shapes": entries, **values}))
    return path


def as_labels(text):
    return np.array([[VALUES[letter] for letter in line] for line in text.split()], np.uint8)


def test_every_kind_of_shape_is_drawn_as_labelme_draws_it(tmp_path):
    path = write(tmp_path / "a.json", SHAPES, imageHeight=20, imageWidth=36)
    np.testing.assert_array_equal(
        draw_labelme(path, MEANING, lambda: (1, 1)), as_labels(DRAWN_BY_LABELME)
    )
    assert names_in(path) == ["disc", "square", "__ignore__", "background"]


def test_a_file_without_a_size_has_that_of_its_image(tmp_path):
    shapes = [("disc", None, [[0, 0], [2, 0], [2, 1], [0, 1]])]
    path = write(tmp_path / "a.json", shapes, imageHeight=None, imageWidth=None)
    np.testing.assert_array_equal(
        draw_labelme(path, MEANING, lambda: (3, 4)), as_labels("ddd. ddd. ....")
    )


@pytest.mark.parametrize(
    ("names", "outside"),
    [
        (("road", "_background_", "disc"), 1),
        (("bg", "disc"), 0),
        (("disc", "void", "road"), VOID),
    ],
)
def test_what_is_not_drawn_is_background_or_else_not_labelled(tmp_path, names, outside):
    path = write(tmp_path / "a.json", [("disc", "rectangle", [[0, 0], [0, 1]])])
    labels = draw_labelme(path, Meaning.of(names), lambda: (2, 2))
    assert labels.tolist() == [[names.index("disc"), outside]] * 2


def test_the_classes_of_outlines_begin_with_background():
    assert class_names_of(["disc", "__ignore__", "coin", "disc"]) == ("background", "disc", "coin")
    assert class_names_of(["disc", "_background_"]) == ("_background_", "disc")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("tree", "polygon", [[0, 0], [1, 0], [1, 1]]), "named tree, which is no class; the class"),
        (("disc", "polygon", [[0, 0], [1, 0]]), "disc is a polygon of 2 points, which labelme"),
        (("disc", "rectangle", [[0, 0]]), "disc is a rectangle of 1 points"),
        (("disc", "linestrip", []), "disc is a linestrip of 0 points"),
        (("disc", "cube", [[0, 0]]), "disc is a cube of 1 points, .* it draws polygon, rectangle"),
        ((3, "point", [[0, 0]]), "is no file of labelme's"),
        (("disc", "point", [[0]]), "is no file of labelme's"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, shape, message):
    path = write(tmp_path / "a.json", [shape])
    with pytest.raises(InputError, match=f"a.json.*{message}"):
        draw_labelme(path, MEANING, lambda: (2, 2))


@pytest.mark.parametrize("text", ["{", "[]", '{"shapes": {}}', "\xff"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        names_in(path)


def test_a_picture_that_is_broken_is_refused(tmp_path):
    path = write(tmp_path / "a.json", [("disc", "mask", [[0, 0], [1, 1]])])
    path.write_text(path.read_text().replace("iVBOR", "AAAAA"))
    with pytest.raises(InputError, match="the mask of disc cannot be read"):
        draw_labelme(path, MEANING, lambda: (2, 2))
