import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

import fcn_tf.data.folder
import fcn_tf.data.lines
import fcn_tf.data.start_check
from fcn_tf.classes import VOID
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.data.order import training_order
from fcn_tf.data.pipeline import samples_of
from fcn_tf.errors import InputError
from fcn_tf.images.depth import scaled_to_8_bits
from tests.extras import needs_extra
from tests.images.rasters import write_raster

CLASSES = ("road", "car", "tree")
LAYOUTS = {
    "images and masks": ("images/{}", "masks/{}"),
    "SegNet tutorial": ("{}", "{}annot"),
}


def save(array, path, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if mode == "P":
        image = image.convert("P")
        image.putdata(array.ravel().tolist())
    image.save(path)


def make_folder(folder, layout="images and masks", classes=CLASSES, mask_mode=None):
    """Three training pairs and one of validation; returns them by split and name."""
    images, masks = LAYOUTS[layout]
    rng = np.random.default_rng(0)
    pairs = {}
    for split, names in (("train", "abc"), ("val", "d")):
        for name in names:
            image = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
            mask = rng.integers(0, 3, (6, 9), dtype=np.uint8)
            mask[0, 0], mask[0, 1] = 11, VOID
            save(image, folder / images.format(split) / f"{name}.png")
            save(mask, folder / masks.format(split) / f"{name}.png", mask_mode)
            pairs[split, name] = image, mask
    if classes:
        (folder / "classes.txt").write_text("\n".join(classes) + "\n")
    return pairs


def open_folder(folder, **kwargs):
    return open_source(DataConfig(name="folder", data_dir=str(folder), ignore_label=11, **kwargs))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mask_mode", [None, "P"])
def test_pairs_come_out_as_they_lie_there(tmp_path, layout, mask_mode):
    pairs = make_folder(tmp_path, layout, mask_mode=mask_mode)
    source = open_folder(tmp_path)
    assert source.class_names == CLASSES
    assert source.split_sizes == {"train": 3, "val": 1}
    for split in ("train", "val"):
        for example in whole_images(source, split).as_numpy_iterator():
            image, mask = pairs[split, example["file_name"].decode()[0]]
            np.testing.assert_array_equal(example["image"], image)
            expected = np.where(mask == 11, VOID, mask)
            np.testing.assert_array_equal(example["segmentation_mask"][..., 0], expected)


def test_a_folder_feeds_training(tmp_path):
    make_folder(tmp_path)
    config = DataConfig(name="folder", data_dir=str(tmp_path), ignore_label=11, batch_size=3)
    images, masks = next(iter(training_batches(open_source(config), config, 0)))
    assert images.shape == (3, 6, 9, 3)
    assert set(np.unique(masks)) <= {0, 1, 2, VOID}


@pytest.mark.slow
def test_many_pairs_come_in_the_order_of_few(tmp_path, monkeypatch):
    """Paths in memory, and paths that are read from a file as they are needed."""
    make_folder(tmp_path)
    few = open_folder(tmp_path)
    monkeypatch.setattr(fcn_tf.data.folder, "IN_MEMORY", 3)
    monkeypatch.setattr(fcn_tf.data.lines, "IN_MEMORY", 1)
    many = open_folder(tmp_path)
    assert few.record_at is None
    assert many.record_at is not None

    def drawn(source, skip):
        order = training_order(source, 7, skip).take(11 - skip).as_numpy_iterator()
        return [(sample, record["image"], record["mask"]) for sample, record in order]

    expected = drawn(few, 0)
    assert drawn(many, 0) == expected
    assert drawn(many, 4) == expected[4:]
    for split in ("train", "val"):
        of_few, of_many = (list(s.records(split).as_numpy_iterator()) for s in (few, many))
        assert of_many == of_few
    (sample,) = samples_of(many, "train", [2])
    assert sample["title"] == "c.png"


def test_a_window_of_a_pair_is_a_part_of_it(tmp_path):
    make_folder(tmp_path)
    source = open_folder(tmp_path)
    record = next(iter(source.records("train")))
    whole, part = (source.decode(record, window) for window in (None, ((1, 2), (4, 5))))
    assert source.image_size(record).numpy().tolist() == [6, 9]
    for key in ("image", "segmentation_mask"):
        np.testing.assert_array_equal(part[key], whole[key][1:5, 2:7])


def test_a_folder_that_is_named_is_the_data_set(tmp_path, monkeypatch):
    """Below the home folder, with a test split and names of files as cameras write them."""
    make_folder(tmp_path / "data")
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind / "test").mkdir()
        val = tmp_path / "data" / kind / "val/d.png"
        val.rename(tmp_path / "data" / kind / "test/e.PNG")
        val.write_bytes((tmp_path / "data" / kind / "train/a.png").read_bytes())
        (tmp_path / "data" / kind / "test/.f.png").write_bytes(b"hidden")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # on Windows
    config = Config(data=DataConfig(data_dir="~/data", ignore_label=11))
    source = open_source(config.data)
    assert source.class_names == CLASSES
    assert source.split_sizes == {"train": 3, "val": 1, "test": 1}


def test_names_can_be_given_where_classes_txt_is_missing(tmp_path):
    make_folder(tmp_path, classes=None)
    assert open_folder(tmp_path, class_names=list(CLASSES)).class_names == CLASSES


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_mask_values_say_what_the_masks_of_a_folder_mean(tmp_path, suffix):
    """By TensorFlow's decoder and by Pillow's, at the start and in each batch."""
    make_folder(tmp_path, classes=None)
    for path in sorted(tmp_path.glob("masks/*/*.png")):
        save(np.array([[0, 255, 9] * 3] * 6, np.uint8), path.with_suffix(f".{suffix}"))
        if suffix == "tif":  # the listing of pairs asks for PNGs
            path.with_suffix(".tif").replace(path)
    mapping = {255: "vessel", 0: "background", 9: "ignore"}
    config = DataConfig(name="folder", data_dir=str(tmp_path), mask_values=mapping, batch_size=3)
    source = open_source(config)
    assert source.class_names == ("vessel", "background")
    _, masks = next(iter(training_batches(source, config, 0)))
    assert np.bincount(masks.numpy().ravel(), minlength=256)[[0, 1, VOID]].tolist() == [54] * 3


def spoil_no_folder(folder):
    (folder / "masks").rename(folder / "drawn")


def spoil_no_masks(folder):
    shutil.rmtree(folder / "masks")


def spoil_mask_alone(folder):
    (folder / "images/train/b.png").unlink()


def spoil_sizes(folder):
    save(np.zeros((6, 8), np.uint8), folder / "masks/train/b.png")


def spoil_value(folder):
    mask = np.zeros((6, 9), np.uint8)
    mask[2, :4] = 7
    save(mask, folder / "masks/train/b.png")


def spoil_color_mask(folder):
    save(np.full((6, 9, 3), 7, np.uint8), folder / "masks/train/b.png")


def spoil_mode(folder):
    Image.new("CMYK", (9, 6)).save(folder / "masks/train/b.png", "TIFF")


def spoil_empty_split(folder):
    for path in folder.glob("*/train/*.png"):
        path.unlink()


def spoil_val(folder):
    save(np.full((6, 9), 8, np.uint8), folder / "masks/val/d.png")


def spoil_unreadable(folder):
    path = folder / "images/train/b.png"
    path.write_bytes(path.read_bytes()[:100])


def spoil_classes(folder):
    (folder / "classes.txt").unlink()


def spoil_stem(folder):
    save(np.zeros((6, 9, 3), np.uint8), folder / "images/train/b.jpg")


SPOILED = {
    spoil_no_folder: ["drawn/train (3 .png)", '--data.layout "images/SPLIT/* + drawn/SPLIT/*"'],
    spoil_no_masks: ["images/train (3 .png)", "no masks", "images/SPLIT/* + masks/SPLIT/*"],
    spoil_mask_alone: ["masks/train/b.png", "mask without a partner", "rename the mask"],
    spoil_sizes: ["masks/train/b.png", "6x8 px", "6x9 px"],
    spoil_value: ["masks/train/b.png", "value 7 in 4 pixels", "0..2", "255, 11"],
    spoil_color_mask: ["masks/train/b.png", "colour (7, 7, 7) in 54 pixels"],
    spoil_mode: ["masks/train/b.png", "mode CMYK", "class indices"],
    spoil_empty_split: ["no images with masks in split train, only in val"],
    spoil_val: ["masks/val/d.png", "value 8 in 54 pixels"],
    spoil_unreadable: ["images/train/b.png", "cannot be read"],
    spoil_classes: ["classes.txt", "--data.class_names"],
    spoil_stem: ["b.jpg", "b.png", "the same name"],
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda f: f.__name__)
def test_what_is_wrong_is_said_with_the_file(tmp_path, spoil):
    make_folder(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError) as error:
        open_folder(tmp_path)
    for part in SPOILED[spoil]:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_contradict_classes_txt_are_refused(tmp_path):
    make_folder(tmp_path)
    with pytest.raises(InputError, match=r"classes\.txt names road, car, tree"):
        open_folder(tmp_path, class_names=["car", "road", "tree"])


@pytest.mark.parametrize("classes", [("road",), ("road", "car", "car")])
def test_too_few_or_double_names_are_refused(tmp_path, classes):
    make_folder(tmp_path, classes=None)
    with pytest.raises(InputError, match="between 2 and 255"):
        open_folder(tmp_path, class_names=list(classes))


def test_several_broken_pairs_are_counted(tmp_path):
    make_folder(tmp_path)
    for name in "bc":
        save(np.full((6, 9), 9, np.uint8), tmp_path / f"masks/train/{name}.png")
    spoil_val(tmp_path)
    with pytest.raises(InputError, match=r"/b.png: value 9 in 54 pixels.* \(2 more pairs have"):
        open_folder(tmp_path)
    for name in "abc":
        (tmp_path / f"images/train/{name}.png").unlink()
    alone = r"/a.png: mask without a partner.* \(2 more files have faults"
    with pytest.raises(InputError, match=alone):
        open_folder(tmp_path)


def test_some_pairs_of_a_large_folder_are_read_at_the_start(tmp_path, monkeypatch, capsys):
    """Of a, b, c and d those are a and c, where at most three are to be read."""
    make_folder(tmp_path)
    open_folder(tmp_path)
    assert "\nReading 4 images and masks once, to check them …\n" in capsys.readouterr().out
    monkeypatch.setattr(fcn_tf.data.start_check, "CHECKED_AT_START", 3)
    spoil_value(tmp_path)
    open_folder(tmp_path)
    assert "\nReading 2 of 4 images and masks once, to check them …\n" in capsys.readouterr().out
    image = Image.fromarray(np.zeros((6, 9, 3), np.uint8))
    (tmp_path / "images/train/c.png").unlink()
    image.save(tmp_path / "images/train/c.tif", save_all=True, append_images=[image])
    open_folder(tmp_path)
    said = "Of 4 images 1 have several pages or frames, and the first of each is read: "
    assert capsys.readouterr().out.endswith(f"{said}{tmp_path}/images/train/c.tif, for instance.\n")
    save(np.full((6, 9), 7, np.uint8), tmp_path / "masks/train/c.png")
    with pytest.raises(InputError, match=r"c\.png: value 7"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("exif", "orientation", "mask_px", "is_turned"),
    [
        ("auto", 6, (9, 6), True),
        ("auto", 6, (6, 9), False),
        ("auto", 3, (6, 9), True),
        ("ignore", 3, (6, 9), False),
    ],
)
def test_photos_are_turned_where_their_masks_are(
    tmp_path, capsys, exif, orientation, mask_px, is_turned
):
    """In training, whole and in windows, and in evaluation; what is done is said once."""
    pairs = make_folder(tmp_path)
    stored, _ = pairs["train", "a"]
    shown = np.rot90(stored, {3: 2, 6: -1}[orientation]) if is_turned else stored
    own = Image.Exif()
    own[ExifTags.Base.Orientation] = orientation
    Image.fromarray(stored).save(tmp_path / "images/train/a.png", exif=own)
    save(np.zeros(mask_px, np.uint8), tmp_path / "masks/train/a.png")
    source = open_folder(tmp_path, exif=exif)
    said = "are turned by" if is_turned else "have an EXIF orientation and are read as"
    assert capsys.readouterr().out.count(f"1 of 4 images {said}") == 1
    record = next(iter(source.records("train")))
    assert source.image_size(record).numpy().tolist() == list(mask_px)
    np.testing.assert_array_equal(source.decode(record)["image"], shown)
    window = source.decode(record, ((1, 2), (5, 3)))
    np.testing.assert_array_equal(window["image"], shown[1:6, 2:5])
    assert window["segmentation_mask"].shape == (5, 3, 1)


@needs_extra("maps", "rasterio")
def test_files_of_more_bands_need_their_names(tmp_path):
    make_folder(tmp_path)
    values = np.random.default_rng(0).integers(0, 4096, (6, 9, 4), np.uint16)
    named = scaled_to_8_bits(values[..., [3, 2, 1]], (0, 4095), "")
    for mask in (tmp_path / "masks").rglob("*.png"):
        image = tmp_path / "images" / mask.parent.name / mask.name
        image.unlink()
        write_raster(image.with_suffix(".tif"), values)
    options = {"value_range": (0, 4095), "bands": (4, 3, 2)}
    with pytest.raises(InputError, match=r"it has 4 bands .* --data.bands \[4, 3, 2\]"):
        open_folder(tmp_path, value_range=(0, 4095))
    source = open_folder(tmp_path, **options)
    record = next(iter(source.records("train")))
    assert source.image_size(record).numpy().tolist() == [6, 9]
    np.testing.assert_array_equal(source.decode(record)["image"], named)
    window = (tf.constant([1, 2]), tf.constant([4, 3]))
    np.testing.assert_array_equal(source.decode(record, window)["image"], named[1:5, 2:5])


def test_deep_images_need_a_range(tmp_path, capsys):
    make_folder(tmp_path)
    deep = np.array([[0, 1000, 2000, 4095, 5000, 0]] * 6, np.uint16)
    save(deep, tmp_path / "images/train/a.png")
    save(np.zeros((6, 6), np.uint8), tmp_path / "masks/train/a.png")
    with pytest.raises(InputError, match=r"train/a\.png: it has more than 8 bits a channel"):
        open_folder(tmp_path)
    source = open_folder(tmp_path, value_range=(1000, 4095))
    assert "1 image has values outside" in capsys.readouterr().out
    image = next(iter(whole_images(source, "train")))["image"]
    assert image[0, :, 2].numpy().tolist() == [0, 0, 82, 255, 255, 0]
