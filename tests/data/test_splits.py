import pytest

from fcn_tf.data.pairs import Pair
from fcn_tf.data.splits import listed_splits
from fcn_tf.errors import InputError


@pytest.fixture
def pairs(tmp_path):
    """a to d with masks; e without."""
    (tmp_path / "images").mkdir()
    for stem in "abcde":
        (tmp_path / f"images/{stem}.png").touch()
    return [Pair(tmp_path / f"images/{s}.png", tmp_path / f"masks/{s}.png") for s in "abcd"]


def write_lists(folder, **lists):
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    for name, stems in lists.items():
        (folder / f"ImageSets/Segmentation/{name}.txt").write_text("\n".join(stems))


def stems_of(splits):
    return {split: "".join(pair.image.stem for pair in pairs) for split, pairs in splits.items()}


def test_lists_of_other_names_are_passed_over(tmp_path, pairs, capsys):
    """Those before, between and behind train and val."""
    write_lists(tmp_path, Default="abcd", Training="dae", UCF="abcd", VAL="b", trainval="c")
    assert stems_of(listed_splits(tmp_path, pairs, 0.5)) == {"train": "ad", "val": "b"}
    assert capsys.readouterr().out == "1 images are in no list and are left out.\n"


def test_of_several_names_in_two_lists_the_first_is_named(tmp_path, pairs):
    write_lists(tmp_path, test="a", train="dcb", val="cba")
    with pytest.raises(InputError, match=r"val.txt lists a, which is in test too"):
        listed_splits(tmp_path, pairs, 0.5)


def test_of_several_names_without_an_image_the_first_is_named(tmp_path, pairs):
    write_lists(tmp_path, train="azyx")
    with pytest.raises(InputError, match=r"train.txt lists x, of which there is no image"):
        listed_splits(tmp_path, pairs, 0.5)


def test_one_image_alone_and_a_list_that_names_those_without_a_mask(tmp_path, pairs):
    write_lists(tmp_path, train="ae", val="e")
    assert stems_of(listed_splits(tmp_path, pairs[:1], 0.5)) == {"train": "a", "val": ""}
