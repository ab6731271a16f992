import pytest

from fcn_tf.classes import VOID
from fcn_tf.data.class_files import find_classes, read_class_file
from fcn_tf.errors import InputError


@pytest.mark.parametrize(
    ("name", "text", "names", "colors"),
    [
        ("classes.txt", "road\ncar:1\n", ("road", "car:1"), None),
        ("class_names.txt", "road\ncar:1\n", ("road", "car:1"), None),
        # What stands behind the colon of a labelmap without colours is no name.
        ("labelmap.txt", "# label\nroad:a:b\ncar\n", ("road", "car"), None),
        ("labelmap.txt", "road:1,2,3::\ncar:4,5,6::\n", ("road", "car"), ((1, 2, 3), (4, 5, 6))),
        ("classes.txt", "road 0 0 255\ncar, 4 5 6\n", ("road", "car"), ((0, 0, 255), (4, 5, 6))),
        ("classes.txt", "road:0,0,255\ncar:4,5,6::", ("road", "car"), ((0, 0, 255), (4, 5, 6))),
        ("classes.txt", "road: asphalt\n\n  sky \n", ("road: asphalt", "sky"), None),
        ("classes.txt", "__ignore__\nZone\n_background_\n", ("Zone", "_background_"), None),
    ],
)
def test_lines(tmp_path, name, text, names, colors):
    (tmp_path / name).write_text(text)
    assert read_class_file(tmp_path / name) == (names, colors)
    assert find_classes(tmp_path, None) == (names, colors)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road 0 0 256\ncar 1 1 1\n", r"'road 0 0 256': a colour is three numbers from 0 to 255"),
        ("road 0 0 1\ncar\n", "every class a colour of its own"),
        ("road 0 0 1\ncar 0 0 1\n", "every class a colour of its own"),
        ("road\n", f"=1: it must be between 2 and {VOID}"),
        ("road\ncar\nroad\n", "has the classes road, car, road: each must"),
    ],
)
def test_wrong_lines_are_named(tmp_path, text, message):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        find_classes(tmp_path, None)


def test_names_that_contradict_the_file(tmp_path):
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    assert find_classes(tmp_path, ["road", "car"])[0] == ("road", "car")
    with pytest.raises(InputError, match=r"names road, car, but data.class_names is car, road:"):
        find_classes(tmp_path, ["car", "road"])


def test_there_may_be_255_classes(tmp_path):
    names = [str(number) for number in range(256)]
    assert find_classes(tmp_path, names[:255]) == (tuple(names[:255]), None)
    with pytest.raises(InputError, match="between 2 and 255"):
        find_classes(tmp_path, names)
