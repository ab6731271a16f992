"""Each layout that people and tools have is found from the names of its files."""

import pytest

from fcn_tf.data.find_layout import find_layout
from fcn_tf.data.layouts import LAYOUTS
from fcn_tf.data.listing import list_pairs
from fcn_tf.data.pairs import Pair
from fcn_tf.errors import InputError
from tests.data.trees import pairs_of, several, write_tree


def both(images, masks, **values):
    """The paths of images and of masks."""
    return list(sum(pairs_of(images, masks, **values), ()))


TWO = {"split": ("train", "val"), "n": (0, 1)}
CITY = {"split": ("train", "val"), "n": (0, 1), "city": ("aachen", "ulm")}
CITY_IMAGES = "leftImg8bit/{split}/{city}/{city}_00000{n}_000019_leftImg8bit.png"
CITY_MASKS = "gtFine/{split}/{city}/{city}_00000{n}_000019_gtFine_{kind}.png"
# The pairs of a tree, its other files, the layout, and the number of pairs in each split.
FOUND = {
    "masks with a suffix": (
        pairs_of("images/{split}/ISIC_{n}.jpg", "masks/{split}/ISIC_{n}_segmentation.png", **TWO),
        [],
        "images/SPLIT/* + masks/SPLIT/*_segmentation",
        {"train": 2, "val": 2},
    ),
    "splits above": (
        pairs_of("{split}/images/{n}.jpg", "{split}/masks/{n}.png", **TWO),
        [],
        "SPLIT/images/* + SPLIT/masks/*",
        {"train": 2, "val": 2},
    ),
    "split and kind in one name": (
        pairs_of("{split}_images/{n}.jpg", "{split}_labels/{n}.png", **TWO),
        [],
        "SPLIT_images/* + SPLIT_labels/*",
        {"train": 2, "val": 2},
    ),
    "other words of splits": (
        pairs_of("{s}/img/{n}.jpg", "{s}/mask/{n}.png", s=("Training", "Valid", "Test"), n=(0, 1)),
        [],
        "SPLIT/img/* + SPLIT/mask/*",
        {"train": 2, "val": 2, "test": 2},
    ),
    "MMSegmentation": (
        pairs_of("img_dir/{split}/{n}.jpg", "ann_dir/{split}/{n}.png", **TWO),
        [],
        "img_dir/SPLIT/* + ann_dir/SPLIT/*",
        {"train": 2, "val": 2},
    ),
    "COCO-Stuff": (
        pairs_of("images/{split}2017/{n}.jpg", "annotations/{split}2017/{n}.png", **TWO),
        [],
        "images/SPLIT2017/* + annotations/SPLIT2017/*",
        {"train": 2, "val": 2},
    ),
    "Cityscapes": (
        pairs_of(CITY_IMAGES, CITY_MASKS.replace("{kind}", "labelIds"), **CITY),
        several(CITY_MASKS, kind=("color", "instanceIds", "labelTrainIds"), **CITY),
        "leftImg8bit/SPLIT/*_leftImg8bit + gtFine/SPLIT/*_gtFine_labelIds",
        {"train": 4, "val": 4},
    ),
    "Cityscapes as it is unpacked": (
        pairs_of(
            f"leftImg8bit_trainvaltest/{CITY_IMAGES}",
            f"gtFine_trainvaltest/{CITY_MASKS.replace('{kind}', 'labelIds')}",
            **CITY,
        ),
        several(f"gtFine_trainvaltest/{CITY_MASKS}", kind=("color", "instanceIds"), **CITY),
        "leftImg8bit_trainvaltest/leftImg8bit/SPLIT/*_leftImg8bit + "
        "gtFine_trainvaltest/gtFine/SPLIT/*_gtFine_labelIds",
        {"train": 4, "val": 4},
    ),
    "ADE20K": (
        pairs_of(
            "ADEChallengeData2016/images/{split}/ADE_{n}.jpg",
            "ADEChallengeData2016/annotations/{split}/ADE_{n}.png",
            split=("training", "validation"),
            n=(0, 1),
        ),
        [],
        "ADEChallengeData2016/images/SPLIT/ADE_* + ADEChallengeData2016/annotations/SPLIT/ADE_*",
        {"train": 2, "val": 2},
    ),
    "VOC": (
        pairs_of("VOC2012/JPEGImages/{n}.jpg", "VOC2012/SegmentationClass/{n}.png", n=(1, 3)),
        several("VOC2012/JPEGImages/{n}.jpg", n=(0, 2, 4, 5))
        + several("VOC2012/SegmentationObject/{n}.png", n=(1, 3)),
        "VOC2012/JPEGImages/* + VOC2012/SegmentationClass/*",
        {"": 2},
    ),
    "VOC with SBD": (
        pairs_of("JPEGImages/{n}.jpg", "SegmentationClassAug/{n}.png", n=range(5)),
        several("SegmentationClass/{n}.png", n=(1, 3)),
        "JPEGImages/* + SegmentationClassAug/*",
        {"": 5},
    ),
    "CVAT, CamVid 1.0": (
        pairs_of("default/f{n}.png", "defaultannot/f{n}.png", n=(0, 1)),
        ["default.txt"],
        "default/* + defaultannot/*",
        {"": 2},
    ),
    "CamVid of fast.ai": (
        pairs_of("images/Seq_f0{n}.png", "labels/Seq_f0{n}_P.png", n=range(4)),
        ["codes.txt"],
        "images/* + labels/*_P",
        {"": 4},
    ),
    "CamVid of Kaggle": (
        pairs_of("CamVid/{split}/0{n}.png", "CamVid/{split}_labels/0{n}_L.png", **TWO),
        ["CamVid/class_dict.csv"],
        "CamVid/SPLIT/* + CamVid/SPLIT_labels/*_L",
        {"train": 2, "val": 2},
    ),
    "Roboflow": (
        pairs_of("{s}/{n}_jpg.rf.a.jpg", "{s}/{n}_jpg.rf.a_mask.png", s=("train", "valid"), n="ab"),
        ["train/_classes.csv", "README.roboflow.txt"],
        "SPLIT/* + SPLIT/*_mask",
        {"train": 2, "val": 2},
    ),
    "beside each other": (
        pairs_of("{n}.jpg", "{n}_mask.png", n="ab"),
        [],
        "* + *_mask",
        {"": 2},
    ),
    "beside each other, by the suffix": (
        pairs_of("{split}crop/{n}.jpg", "{split}crop/{n}.png", **TWO),
        [],
        "SPLITcrop/*.jpg + SPLITcrop/*.png",
        {"train": 2, "val": 2},
    ),
    "a suffix for both": (
        pairs_of("train/{n}_sat.jpg", "train/{n}_mask.png", n=(1, 2)),
        ["valid/3_sat.jpg"],
        "SPLIT/*_sat + SPLIT/*_mask",
        {"train": 2},
    ),
    "a start for both": (
        pairs_of("images/img_{n}.jpg", "labels/mask_{n}.png", n=(1, 2)),
        [],
        "images/img_* + labels/mask_*",
        {"": 2},
    ),
    "a start without a separator": (
        pairs_of("images/image{n}.jpg", "labels/label{n}.png", n=(1, 2)),
        [],
        "images/image* + labels/label*",
        {"": 2},
    ),
    "a folder for each image": (
        pairs_of("x{n}_json/img.png", "x{n}_json/label.png", n=range(3)),
        several("x{n}_json/label_viz.png", n=range(3)),
        "*/img + */label",
        {"": 3},
    ),
    "folders above": (
        pairs_of("Tile {t}/images/{n}.jpg", "Tile {t}/masks/{n}.png", t=(1, 2), n=(1, 2)),
        [],
        "*/images/* + */masks/*",
        {"": 4},
    ),
    "folders between": (
        pairs_of("Train/{a}/images_png/{n}.png", "Train/{a}/masks_png/{n}.png", a="UR", n=(1, 2)),
        [],
        "SPLIT/*/images_png/* + SPLIT/*/masks_png/*",
        {"train": 4},
    ),
    "folders below": (
        pairs_of("images/{split}/site{n}/0.jpg", "masks/{split}/site{n}/0.png", **TWO),
        [],
        "images/SPLIT/* + masks/SPLIT/*",
        {"train": 2, "val": 2},
    ),
    "folders below, and none": (
        pairs_of("images/train/{p}{n}.jpg", "masks/train/{p}{n}.png", p=("", "more/x"), n=(0, 1)),
        [],
        "images/SPLIT/* + masks/SPLIT/*",
        {"train": 4},
    ),
    "splits of the masks alone": (
        [("images/0.jpg", "masks/train/0.png"), ("images/1.jpg", "masks/val/1.png")],
        ["images/2.jpg"],
        "images/* + masks/SPLIT/*",
        {"train": 1, "val": 1},
    ),
    "images at the top": (
        pairs_of("{n}.jpg", "masks/{n}.png", n=(1, 2)),
        [],
        "* + masks/*",
        {"": 2},
    ),
    "a word of a split above": (
        pairs_of("train_data/{split}/image/{n}.png", "train_data/{split}/gt/{n}.png", **TWO),
        [],
        "train_data/SPLIT/image/* + train_data/SPLIT/gt/*",
        {"train": 2, "val": 2},
    ),
    "a site with the word of a split in its name": (
        pairs_of("{s}/images/{n}.jpg", "{s}/masks/{n}.png", s=("test_site", "big_site"), n=(1, 2)),
        [],
        "*/images/* + */masks/*",
        {"": 4},
    ),
    "pictures of the masks beside": (
        pairs_of("images/{n}.png", "masks/{n}.png", n=(1, 2)),
        several("{k}/{n}.png", k=("overlay", "semantic_rgb"), n=(1, 2)),
        "images/* + masks/*",
        {"": 2},
    ),
    "words at the end of names": (
        pairs_of("images/{n}_{s}.png", "masks/{n}_{s}.png", n=(1, 2), s=("left", "right")),
        [],
        "images/* + masks/*",
        {"": 4},
    ),
    "letter case": (
        pairs_of("images/IMG_{n}.JPG", "masks/img_{n}.png", n=(1, 2)),
        [],
        "images/* + masks/*",
        {"": 2},
    ),
    "Unicode forms": (
        pairs_of("images/fene\u0302tre{n}.jpg", "masks/fen\xeatre{n}.png", n=(1, 2)),
        [],
        "images/* + masks/*",
        {"": 2},
    ),
    "the whole name of the image": (
        pairs_of("images/{n}.jpg", "masks/{n}.jpg.png", n=(1, 2)),
        [],
        "images/* + masks/*",
        {"": 2},
    ),
    "dots": (
        pairs_of("images/a.b{n}.jpeg", "masks/a.b{n}.tif", n=(1, 2)),
        [],
        "images/* + masks/*",
        {"": 2},
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_layout_is_found(name, tmp_path):
    expected, others, text, counts = FOUND[name]
    tree = write_tree(tmp_path, [*sum(expected, ()), *others])
    layout = find_layout(tree, LAYOUTS)
    assert str(layout) == text
    problems = []
    splits = list_pairs(tree, layout, problems).splits
    assert {split: len(pairs) for split, pairs in splits.items()} == counts
    found = {pair for pairs in splits.values() for pair in pairs.values()}
    assert found == {Pair(tmp_path / image, tmp_path / mask) for image, mask in expected}
    assert not problems


def test_codings_go_with_data_sets(tmp_path):
    for name, coding in (
        ("Cityscapes", "cityscapes"),
        ("Cityscapes as it is unpacked", "cityscapes"),
        ("ADE20K", "ade20k"),
        ("VOC", None),
    ):
        pairs, others, *_ = FOUND[name]
        tree = write_tree(tmp_path / name, [*sum(pairs, ()), *others])
        assert find_layout(tree, LAYOUTS).mask_values == coding


AMBIGUOUS = {
    "two folders of masks": (
        several("{k}/{n}.png", k=("images", "masks", "masks_old"), n=(1, 2)),
        ["images/* + masks/*", "images/* + masks_old/*"],
    ),
    "two folders of images": (
        several("{k}/{n}.png", k=("images", "rgb", "masks"), n=(1, 2)),
        ["images/* + masks/*", "rgb/* + masks/*"],
    ),
    "DRIVE": (
        both("training/images/{n}_training.tif", "training/1st_manual/{n}_manual1.gif", n=(21, 22))
        + several("training/mask/{n}_training_mask.gif", n=(21, 22)),
        [
            "SPLIT/images/* + SPLIT/mask/*_mask",
            "SPLIT/images/*_SPLIT + SPLIT/1st_manual/*_manual1",
        ],
    ),
    "a folder for each class": (
        both("images/{n}.jpg", "labels/{c}/{n}_{c}.tif", n=(1, 2), c=("MA", "HE")),
        ["images/* + labels/HE/*_HE", "images/* + labels/MA/*_MA"],
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_two_layouts_that_fit_are_both_named(name, tmp_path):
    paths, options = AMBIGUOUS[name]
    with pytest.raises(InputError) as refused:
        find_layout(write_tree(tmp_path, paths), LAYOUTS)
    for option in options:
        assert f'--data.layout "{option}" (2 pairs)' in str(refused.value)


UNKNOWN = {
    "names that share nothing": both("images/day_{n}.jpg", "masks/night_{n}.png", n=(1, 2)),
    "words that nobody knows": both("bilder/{n}.jpg", "masken/{n}.png", n=(1, 2)),
    "several masks of an image": both("x{n}/images/x{n}.png", "x{n}/masks/m{n}.png", n=(1, 2)),
    "objects, not classes": both("images/{n}.jpg", "instances/{n}.png", n=(1, 2)),
    "no files": [],
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_no_layout_is_guessed(name, tmp_path):
    assert find_layout(write_tree(tmp_path, UNKNOWN[name]), LAYOUTS) is None


def test_the_same_names_in_two_data_sets_are_no_rivals(tmp_path):
    """setA/images with setB/masks would fit as well."""
    paths = both("set{s}/images/{n}.png", "set{s}/masks/{n}.png", s="AB", n=(1, 2))
    layout = find_layout(write_tree(tmp_path, paths), LAYOUTS)
    assert str(layout) == "*/images/* + */masks/*"


def test_a_layout_that_can_be_trained_on_is_taken(tmp_path):
    paths = both("TestDataset/x/image/{n}.png", "TestDataset/x/mask/{n}.png", n=(1, 2, 3))
    paths += both("TrainDataset/image/{n}.png", "TrainDataset/mask/{n}.png", n=(1,))
    layout = find_layout(write_tree(tmp_path, paths), LAYOUTS)
    assert str(layout) == "SPLITDataset/image/* + SPLITDataset/mask/*"
