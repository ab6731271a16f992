"""Which image belongs to which mask, and what is said of the others."""

import numpy as np
import pytest

from fcn_tf.data.listing import Listing, list_pairs
from fcn_tf.data.pairs import Pair
from fcn_tf.data.patterns import Layout
from fcn_tf.errors import InputError
from tests.data.trees import several, write_tree

OWN = Layout.of("images/SPLIT/* + masks/SPLIT/*")


@pytest.fixture(autouse=True, params=[1000, 1], ids=["in memory", "on disk"])
def _names(request, monkeypatch):
    """Names that are held in memory, and names that are read from a file."""
    monkeypatch.setattr("fcn_tf.data.lines.IN_MEMORY", request.param)


def unlabelled(listing):
    return {split: list(paths) for split, paths in listing.unlabelled.items()}


def names(listing):
    return {split: list(pairs) for split, pairs in listing.splits.items()}


def test_an_image_without_a_mask_is_left_out_and_a_mask_without_an_image_is_a_fault(tmp_path):
    paths = ["images/train/b.png", "masks/train/b.png", "masks/train/x0.png"]
    paths += ["images/train/x1.png", "images/train/y2.png", "images/test/t.png", "preview/b.png"]
    paths += ["images/train/.c.png", "masks/train/b.txt", "__MACOSX/images/train/b.png"]
    tree = write_tree(tmp_path, paths)
    problems = []
    listing = list_pairs(tree, OWN, problems)
    pair = Pair(tmp_path / "images/train/b.png", tmp_path / "masks/train/b.png")
    assert listing.splits == {"train": {"b": pair}}
    assert unlabelled(listing) == {
        "test": ["images/test/t.png"],
        "train": ["images/train/x1.png", "images/train/y2.png"],
    }
    assert listing.unused == {"preview": 1}
    assert sum(tree.hidden.values()) == 2
    (path, text), *others = problems
    assert path == tmp_path / "masks/train/x0.png"
    assert text.startswith("mask without a partner: ")
    assert text.endswith("the nearest image without a mask is images/train/x1.png")
    assert not others
    with pytest.raises(InputError, match=r"x0\.png: mask without a partner.*move the mask") as one:
        list_pairs(tree, OWN)
    assert "more" not in str(one.value)


def test_further_faults_are_counted(tmp_path):
    tree = write_tree(tmp_path, several("masks/train/{n}.png", n="abc"))
    with pytest.raises(InputError, match=r"/a\.png: .* \(2 more files have faults\.\)$"):
        list_pairs(tree, OWN)


def test_one_further_fault_is_counted(tmp_path):
    tree = write_tree(tmp_path, several("masks/train/{n}.png", n="ab"))
    with pytest.raises(InputError, match=r"/a\.png: .* \(1 more file has faults\.\)$"):
        list_pairs(tree, OWN)


def test_the_nearest_image_is_looked_for_ten_times(tmp_path):
    """A folder of thousands that do not fit is not compared with one of thousands."""
    numbers = [f"{n:02}" for n in range(12)]
    paths = several("images/train/image{n}.png", n=numbers)
    tree = write_tree(tmp_path, [*paths, *several("masks/train/image{n}_a.png", n=numbers)])
    problems = []
    list_pairs(tree, OWN, problems)
    near = [text.rpartition("is ")[2] for _, text in problems]
    assert near[:10] == paths[:10]
    assert near[10:] == ["mask without a partner: no image has its name"] * 2


def test_a_file_that_fits_both_patterns_equally_is_a_mask(tmp_path):
    tree = write_tree(tmp_path, ["a_x.png", "x_b.png", "a_y_b.png", "a_a_y.png"])
    assert names(list_pairs(tree, Layout.of("a_* + *_b"))) == {"": ["a_y", "x"]}


def test_two_files_of_one_name_are_a_fault(tmp_path):
    paths = ["images/train/a.jpg", "images/train/a.png", "masks/train/a.png", "images/val/a.png"]
    problems = []
    listing = list_pairs(write_tree(tmp_path, paths), OWN, problems)
    assert problems == [
        (tmp_path / "images/train/a.png", "has the same name as images/train/a.jpg")
    ]
    assert listing.splits["train"]["a"].image.suffix == ".jpg"


def test_names_that_differ_in_letter_case_or_unicode_form_pair_where_one_is_meant(tmp_path):
    paths = ["images/train/A.jpg", "masks/train/a.png", "images/train/B.jpg", "images/train/b.jpg"]
    paths += ["masks/train/b.png", "images/val/a.jpg", "masks/val/a.png"]
    paths += ["images/train/fene\u0302tre.jpg", "masks/train/fen\xeatre.png"]
    listing = list_pairs(write_tree(tmp_path, paths), OWN)
    assert names(listing) == {"train": ["A", "b", "fene\u0302tre"], "val": ["a"]}
    assert listing.splits["train"]["b"].image.name == "b.jpg"
    assert (listing.alike, Listing().alike) == (2, 0)

    (tmp_path / "masks/train/b.png").rename(tmp_path / "masks/train/ß.png")
    for name in ("SS.jpg", "ss.jpg"):
        (tmp_path / "images/train" / name).touch()
    problems = []
    list_pairs(write_tree(tmp_path, []), OWN, problems)
    assert [path.name for path, _ in problems] == ["ß.png"]  # SS or ss


def test_links_are_followed_but_not_in_circles_and_a_broken_one_is_named(tmp_path):
    store, data = tmp_path / "store", tmp_path / "data"
    write_tree(store, ["a.png", "masks/b.png"])
    write_tree(data, ["images/train/b.png", "masks/train/a.png", "masks/train/0.png"])
    (data / "images/train/a.png").symlink_to(store / "a.png")
    (data / "images/train/0.png").symlink_to("/nowhere/0.png")
    (data / "images/train/round").symlink_to(data / "images")
    (data / "masks/val").symlink_to(store / "masks")
    (data / "images/val").mkdir()
    (data / "images/val/b.png").symlink_to("/nowhere/b.png")
    problems = []
    listing = list_pairs(write_tree(data, []), OWN, problems)
    assert names(listing) == {"train": ["a"]}
    assert problems == [
        (data / f"images/{name}.png", f"a link to /nowhere/{name[-1]}.png, which is not there")
        for name in ("train/0", "val/b")
    ]
    assert unlabelled(listing) == {"train": ["images/train/b.png"]}


@pytest.mark.parametrize(
    ("layout", "images"),
    [
        ("* + *_mask", {"": ["a", "a_b"]}),
        ("*_b + *_mask", {"": ["a"]}),
        ("*_b + *", {"": ["a"]}),
        ("*.jpg + *.png", {"": ["a", "a_b", "a_mask"]}),
        ("*/* + masks/*", {}),
    ],
)
def test_a_layout_is_applied_strictly(layout, images, tmp_path):
    paths = ["a.jpg", "a_b.jpg", "a_mask.png", "a_b_mask.png", "a.png", "a_b.png", "a_mask.jpg"]
    paths = [p for p in paths if layout == "*.jpg + *.png" or p not in ("a.png", "a_b.png")]
    paths = [p for p in paths if layout == "*.jpg + *.png" or p != "a_mask.jpg"]
    problems = []
    listing = list_pairs(write_tree(tmp_path, paths), Layout.of(layout), problems)
    assert names(listing) == images


def test_pairs_are_found_by_their_names_and_by_their_numbers(tmp_path):
    names = ["é", "a", "b-c", "b", "b0"]
    paths = several("{kind}/train/{n}.png", kind=("images", "masks"), n=names)
    pairs = list_pairs(write_tree(tmp_path, paths), OWN).splits["train"]
    in_order = sorted(names)
    assert list(pairs) == in_order
    assert [pair.mask.stem for pair in pairs.in_order] == in_order
    assert [pairs.in_order[number].image.stem for number in (-1, 0)] == ["é", "a"]
    assert [pair.image.stem for pair in pairs.in_order[1::2]] == in_order[1::2]
    assert pairs["b0"] == Pair(*(tmp_path / kind / "train/b0.png" for kind in ("images", "masks")))
    some = pairs.only(np.array([True, False, True, True, False]))
    assert list(some) == [in_order[number] for number in (0, 2, 3)]
    assert list(some.only(np.array([False, True, True]))) == in_order[2:4]
    for absent in ("", "b-", "b00", "ê"):
        assert absent not in pairs
    assert in_order[1] not in some
