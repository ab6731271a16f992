"""What the patterns of a layout say of paths."""

import itertools

import pytest

from fcn_tf.data.patterns import Layout, Pattern, Place


@pytest.mark.parametrize(
    ("layout", "base"),
    [
        ("images/* + masks/*", ""),
        ("a/b/images/* + a/b/masks/*", "a/b"),
        ("a/SPLIT/images/* + a/SPLIT/masks/*", "a"),
        ("a/*/x/images/* + a/*/x/masks/*", "a"),
        ("a/images/* + b/images/*", ""),  # the same folder in two others
        ("b/images/* + a/images/*", ""),
        ("a/images/* + a/*", "a"),
    ],
)
def test_the_folder_that_holds_images_and_masks(layout, base):
    assert Layout.of(layout).base == base


@pytest.mark.parametrize(
    ("pattern", "path", "place"),
    [
        ("images/a_*", "images/a_x", Place(None, "x")),
        ("images/a_*", "images/sub/a_x", Place(None, "sub/x")),
        ("images/a_*", "images/a_sub/x", None),
        ("*/image", "site/image", Place(None, "site")),
        ("*/image", "site/day/image", Place(None, "site/day")),
        ("SPLIT*", "training0", Place("train", "0")),  # the longest word, not train and ing0
        ("SPLIT*", "train0", Place("train", "0")),
        ("*/SPLIT/*", "site/Valid/0", Place("val", "site/0")),
    ],
)
def test_what_a_path_says(pattern, path, place):
    assert Pattern(pattern).place(path, ".png") == place


PATTERNS = ("*", "images/a_*", "*/*_b", "SPLIT/*.jpg", "a_*/SPLIT/a_*_b.png", "*_SPLIT", "*/x")
FOLDERS = ("", "images", "images/sub", "train", "a_1/train/sub", "a_1/sub/train", "site/day")
STEMS = ("a_", "a_x", "a__b", "a_x_b", "_b", "x_b", "x", "x_val", "a_b", "*", "a_*_b")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_folder_at_a_time_says_the_same(pattern):
    pattern, fitting = Pattern(pattern), 0
    for folder in FOLDERS:
        place = pattern.in_folder(folder)
        for stem, suffix in itertools.product(STEMS, (".png", ".jpg")):
            path = f"{folder}/{stem}".lstrip("/")
            assert place(stem, suffix) == pattern.place(path, suffix), path
            fitting += place(stem, suffix) is not None
    assert fitting


def test_a_suffix_allows_no_other():
    jpg = Pattern("images/*.jpg")
    assert jpg.place("images/a", ".jpg") == Place(None, "a")
    assert [jpg.place("images/a", suffix) for suffix in (".bmp", ".png")] == [None, None]


@pytest.mark.parametrize("order", [1, -1])
def test_patterns_may_come_in_any_order_of_the_alphabet(order):
    assert Layout.of(" + ".join(["images/*", "masks/*"][::order])).fault() is None
    more = Layout.of(" + ".join(["images/*", "*/masks/*"][::order]))
    assert more.fault() == "both patterns must have the same number of *"
