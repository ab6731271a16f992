import pytest

from fcn_tf.data.words import read_name


@pytest.mark.parametrize(
    ("name", "role", "split", "pattern"),
    [
        ("images", "images", None, "images"),
        ("JPEGImages", "images", None, "JPEGImages"),
        ("leftImg8bit", "images", None, "leftImg8bit"),
        ("2_Ortho_RGB", "images", None, "2_Ortho_RGB"),
        ("ann_dir", "masks", None, "ann_dir"),
        ("SegmentationClassPNG", "masks", None, "SegmentationClassPNG"),
        ("SegmentationObject", "other", None, "SegmentationObject"),
        ("gtFine_trainvaltest", "masks", None, "gtFine_trainvaltest"),
        ("Ground Truth", "masks", None, "Ground Truth"),
        ("label_images_semantic", "masks", None, "label_images_semantic"),
        ("instance_masks", "other", None, "instance_masks"),
        ("defaultannot", "masks", None, "defaultannot"),
        ("trainannot", "masks", "train", "SPLITannot"),
        ("testlab", "masks", "test", "SPLITlab"),
        ("Train_Images", "images", "train", "SPLIT_Images"),
        ("images_val", "images", "val", "images_SPLIT"),
        ("TrainDataset", None, "train", "SPLITDataset"),
        ("train2017", None, "train", "SPLIT2017"),
        ("train_val", None, "train", "SPLIT"),
        ("trainval", None, "train", "SPLIT"),
        ("VALIDATION", None, "val", "SPLIT"),
        ("train_test", None, None, "train_test"),
        ("Valley", None, None, "Valley"),
        ("trained", None, None, "trained"),
        ("site0", None, None, "site0"),
    ],
)
def test_what_a_name_says(name, role, split, pattern):
    read = read_name(name)
    assert (read.role, read.split, read.pattern) == (role, split, pattern)


@pytest.mark.parametrize("name", ["masks_color", "gtCoarse", "semantic_rgb", "colormaps"])
def test_a_second_form_of_masks(name):
    assert read_name(name).rank == 1
    assert read_name("masks").rank == 0


@pytest.mark.parametrize(
    ("name", "sure"),
    [
        ("train_set", True),
        ("test2", True),
        ("test_overlay_coarse", True),
        ("train_datasetimages", True),
        ("test_site", False),
        ("train_siteimages", False),
    ],
)
def test_a_word_of_a_split_among_others(name, sure):
    assert read_name(name).sure == sure
