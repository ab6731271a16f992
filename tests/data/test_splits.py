import pytest

from fcn_tf.data.listing import list_pairs
from fcn_tf.data.patterns import Layout
from fcn_tf.data.splits import find_splits, hashed_splits
from fcn_tf.errors import InputError
from tests.data.trees import called, write_tree

UNSPLIT = Layout.of("images/* + masks/*")


@pytest.fixture(autouse=True, params=[1000, 1], ids=["in memory", "on disk"])
def _names(request, monkeypatch):
    """Names that are held in memory, and names that are read from a file."""
    monkeypatch.setattr("fcn_tf.data.lines.IN_MEMORY", request.param)


FLAT = [f"images/{n}.png" for n in "abcde"] + [f"masks/{n}.png" for n in "abcd"]


def splits_of(folder, layout=UNSPLIT, fraction=0.5, paths=()):
    """The names in each split, and what is said of them."""
    tree = write_tree(folder, paths)
    splits, notes = find_splits(tree, layout, list_pairs(tree, layout), fraction)
    return {split: " ".join(pairs) for split, pairs in splits.items()}, notes


def write_lists(folder, place="ImageSets/Segmentation", **lists):
    (folder / place).mkdir(parents=True, exist_ok=True)
    for name, lines in lists.items():
        (folder / place / f"{name}.txt").write_text("\n".join(lines))


def test_lists_of_other_names_are_passed_over(tmp_path):
    """Those before, between and behind train and val."""
    lists = {"default": "abcd", "Training": "dae", "trainval": "abcd", "train_aug": "c", "VAL": "b"}
    write_lists(tmp_path, **lists, z="c", list="d")
    splits, notes = splits_of(tmp_path, paths=FLAT)
    assert splits == {"train": "a d", "val": "b"}
    listed = tmp_path / "ImageSets/Segmentation"
    assert notes == [
        f"Splits: {listed / 'Training.txt'}, {listed / 'VAL.txt'}.",
        "Left out: 1 image in no list.",
    ]


def test_of_several_names_in_two_lists_the_first_is_named(tmp_path):
    write_lists(tmp_path, test="a", train="dcb", val="cba")
    with pytest.raises(InputError, match=r"val.txt lists c, which is in train too"):
        splits_of(tmp_path, paths=FLAT)


def test_the_order_of_the_lists_that_name_one_image_does_not_matter(tmp_path):
    write_lists(tmp_path, train="b", VAL="a", test="a")  # capitals come first
    with pytest.raises(InputError, match=r"test.txt lists a, which is in val too"):
        splits_of(tmp_path, paths=FLAT)


def test_of_several_names_without_an_image_the_first_is_named(tmp_path):
    write_lists(tmp_path, train="azyx")
    with pytest.raises(InputError, match=r"train.txt lists z, of which there is no image"):
        splits_of(tmp_path, paths=FLAT)


def test_one_image_alone_and_a_list_that_names_those_without_a_mask(tmp_path):
    write_lists(tmp_path, train="ae", val="e")
    with pytest.raises(InputError, match="no images in split val, whose list names none"):
        splits_of(tmp_path, paths=FLAT)


@pytest.mark.parametrize("place", ["", "splits", "VOC/ImageSets/Segmentation"])
@pytest.mark.parametrize(
    "lines",
    [
        ["site0/a", "site1/a"],
        ["site0/a.jpg", "./site1/a.jpg"],
        ["/home/me/VOC/images/site0/a.jpg", "C:\\VOC\\images\\site1\\a.jpg"],
        ["images/site0/a.jpg masks/site0/a.png", "images/site1/a.jpg,masks/site1/a.png"],
        ['"site0/a.jpg"', "site1/a 1 1 2"],
    ],
)
def test_lists_have_names_paths_and_suffixes(place, lines, tmp_path):
    names = ("site0/a", "site1/a", "site1/b c", "d")
    paths = [
        f"VOC/{kind}/{n}.{end}"
        for n in names
        for kind, end in (("images", "jpg"), ("masks", "png"))
    ]
    write_lists(tmp_path, place, val_list=lines, test=["b c.jpg", "d"])
    layout = Layout.of("VOC/images/* + VOC/masks/*")
    with pytest.raises(InputError, match="no images with masks in split train"):
        splits_of(tmp_path, layout, paths=paths)
    write_lists(tmp_path, place, test=["b c.jpg"])
    splits, _ = splits_of(tmp_path, layout)
    assert splits == {"train": "d", "val": "site0/a site1/a", "test": "site1/b c"}


def test_a_line_may_leave_out_what_the_layout_says_of_files(tmp_path):
    layout = Layout.of("images/a_* + masks/b_*")
    paths = [f"images/sub/a_{n}.png" for n in "xyz"] + [f"masks/sub/b_{n}.png" for n in "xyz"]
    write_lists(tmp_path, val=["x", "a_y.png,b_z.png"])  # an image, and an image with a mask
    assert splits_of(tmp_path, layout, paths=paths)[0] == {"train": "sub/z", "val": "sub/x sub/y"}


def test_a_line_that_several_images_fit_is_refused(tmp_path):
    for masks in ("012", "0"):  # the others are not labelled
        paths = [f"images/{site}/a.png" for site in "012"]
        folder = tmp_path / masks
        write_lists(folder, train=["a"])
        with pytest.raises(InputError, match=r"train.txt lists a: several images are called a"):
            splits_of(folder, paths=[*paths, *(f"masks/{site}/a.png" for site in masks)])


def in_splits(*splits):
    """Pairs called after their split."""
    names = [f"{s}/{s}{n}" for s in splits for n in "abcd"]
    return [f"{kind}/{name}.png" for kind in ("images", "masks") for name in names]


def test_without_val_a_hash_takes_part_of_train(tmp_path):
    """The first bytes of the hashes: a 0.27, b 0.55, c 0.09, d 0.06."""
    layout = Layout.of("images/SPLIT/* + masks/SPLIT/*")
    splits, notes = splits_of(tmp_path, layout, 0.5, in_splits("train", "test"))
    assert splits == {
        "train": "trainb",
        "val": "traina trainc traind",
        "test": "testa testb testc testd",
    }
    assert notes == [
        "There is no val: a hash of the names takes 3 of 4 pairs of train "
        "(data.validation_fraction 0.5)."
    ]


def test_without_train_the_layout_is_asked_for(tmp_path):
    layout = Layout.of("images/SPLIT/* + masks/SPLIT/*")
    with pytest.raises(InputError, match=r"in split train, only in val and test.*--data.layout"):
        splits_of(tmp_path, layout, paths=in_splits("val", "test"))


def test_both_splits_have_an_image_and_one_image_is_refused(tmp_path):
    pairs = called("ab")
    for fraction in (1e-9, 1 - 1e-9):
        splits = hashed_splits(pairs, fraction)
        assert [len(splits["train"]), len(splits["val"])] == [1, 1]
    with pytest.raises(InputError, match="is alone"):
        splits_of(tmp_path, paths=["images/a.png", "masks/a.png"])


def test_a_name_has_one_hash_in_all_unicode_forms():
    names = [f"fen\xeatre{number}" for number in range(20)]
    other = [name.replace("\xea", "e\u0302") for name in names]
    one, two = (hashed_splits(called(n), 0.5)["val"] for n in (names, other))
    assert [names.index(n) for n in one] == [other.index(n) for n in two]
