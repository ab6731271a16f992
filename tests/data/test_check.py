import json
import os

import numpy as np
import pytest
from PIL import ExifTags, Image

import fcn_tf.data.check
from fcn_tf.classes import VOID
from fcn_tf.commands.check_data import CheckDataOptions, check_data
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.check import as_json, check_data_set
from fcn_tf.errors import RunError
from tests.sources import numbered_pair, source_of

CLASSES = ("Background", "road", "car", "unicorn")
SIZE = (24, 16)  # width and height


def make(folder, names):
    """Pairs without a fault, of which each has road and car; returns paths by (kind, name)."""
    rng = np.random.default_rng(0)
    paths = {}
    for name in names:
        for kind, suffix in (("images", "png"), ("masks", "png")):
            path = paths[kind, name] = folder / kind / "train" / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = SIZE[::-1] + ((3,) if kind == "images" else ())
            high = 256 if kind == "images" else 3
            Image.fromarray(rng.integers(0, high, shape, dtype=np.uint8)).save(path)
    for kind in ("images", "masks"):
        val = folder / kind / "val"
        val.mkdir()
        (val / "v.png").write_bytes(paths[kind, names[0]].read_bytes())
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return paths


def resolved(folder):
    return Config(data=DataConfig(name="folder", data_dir=str(folder))).data


def gray(value):
    return Image.new("L", SIZE, value)


def spoil(paths):
    """One finding of each kind: errors and warnings by the name of the pair.

    Each has the kind of the file and a part of the message.
    """

    def rgb(name):
        return Image.open(paths["images", name]).convert("RGB")

    paths["images", "cut"].write_bytes(paths["images", "cut"].read_bytes()[:60])
    paths["masks", "cut_mask"].write_bytes(b"not a PNG")
    Image.new("L", (24, 15), 1).save(paths["masks", "size"])
    gray(9).save(paths["masks", "value"])
    gray(255).save(paths["masks", "unlabelled"])
    gray(0).save(paths["masks", "background"])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    rgb("exif").save(paths["images", "exif"], exif=exif)
    path = paths["images", "cmyk"]
    rgb("cmyk").convert("CMYK").save(path.with_suffix(".jpg"))
    path.unlink()
    paths["images", "cmyk"] = path.with_suffix(".jpg")
    Image.fromarray(np.full(SIZE[::-1], 3000, np.uint16)).save(paths["images", "deep"])
    rgb("alpha").convert("RGBA").save(paths["images", "alpha"])
    indexed = rgb("transparent").convert("P")
    indexed.save(paths["images", "transparent"], transparency=0)
    paths["images", "alone_mask"].unlink()
    errors = {
        "cut": ("images", "cannot be read"),
        "cut_mask": ("masks", "cannot be read"),
        "size": ("masks", "15x24 px"),
        "value": ("masks", "value 9 in 384 pixels"),
        "deep": ("images", "more than 8 bits"),
        "alone_mask": ("masks", "mask without a partner"),
    }
    warnings = {
        "unlabelled": ("masks", "no pixel is labelled; all are 255"),
        "background": ("masks", "nothing but background"),
        "cmyk": ("images", "CMYK"),
        "alpha": ("images", "alpha"),
        "transparent": ("images", "alpha"),
    }
    return errors, warnings


def test_each_fault_is_said_once_with_its_file(tmp_path, capsys):
    names = ["good", "cut", "cut_mask", "size", "value", "unlabelled", "background"]
    names += ["exif", "cmyk", "deep", "alpha", "transparent", "alone_mask"]
    paths = make(tmp_path / "data", names)
    expected = spoil(paths)
    checked = check_data_set(resolved(tmp_path / "data"))
    for found, of_kind in zip((checked.errors, checked.warnings), expected, strict=True):
        for name, (kind, part) in of_kind.items():
            path = paths[kind, name]
            assert [part in text for where, text in found if where == path] == [True], name
    # Two of the twelve masks with an image cannot be counted.
    missing = "class unicorn does not occur in the 10 of 12 masks of train that were read"
    # The exif image is not square, so that its mask fits the stored pixels alone.
    stored = "1 of 8 images have an EXIF orientation and are read as they are stored, because their"
    assert checked.warnings[-3:] == [
        (None, f"{stored} masks fit only so."),
        (None, missing),
        (None, "class unicorn never occurs in val"),
    ]
    assert len(checked.errors) == len(expected[0])
    assert len(checked.warnings) == len(expected[1]) + 3

    with pytest.raises(RunError, match=r"^6 errors: training would refuse this\.$"):
        check_data(CheckDataOptions(data=resolved(tmp_path / "data"), out=tmp_path / "out"))
    said = capsys.readouterr().out
    assert "\n6 errors, 8 warnings.\n" in said
    for word, of_kind in zip(("error", "warning"), expected, strict=True):
        for name, (kind, _) in of_kind.items():
            assert f"\n  {word}: {paths[kind, name]}: " in said
            assert f"{paths[kind, name]}: {paths[kind, name]}" not in said
    with Image.open(tmp_path / "out/sample_sheet.png") as sheet:
        assert sheet.width > 0


def test_a_clean_folder_is_counted(tmp_path, capsys):
    paths = make(tmp_path / "data", ["a", "b"])
    unicorn = np.asarray(Image.open(paths["masks", "b"])).copy()
    unicorn[:2] = 3
    Image.fromarray(unicorn).save(paths["masks", "b"])
    data = resolved(tmp_path / "data")
    check_data(CheckDataOptions(data=data, out=tmp_path / "out", json=True))
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == []
    missing = {"file": None, "problem": "class unicorn never occurs in val"}
    assert report["warnings"] == report["problems"] == [missing]
    assert report["images"] == {"train": 2, "val": 1}
    masks = [np.asarray(Image.open(paths["masks", name])) for name in "ab"]
    for index, name in enumerate(CLASSES):
        pixels = [int((mask == index).sum()) for mask in masks]
        seen = report["classes"][name]
        assert seen["pixels"] == sum(pixels)
        assert seen["images"] == sum(count > 0 for count in pixels)
        assert seen["share"] == pytest.approx(sum(pixels) / 768)
    # The median of four frequencies lies between the middle two; unicorn's is 48 of 384.
    frequencies = [
        sum((m == i).sum() for m in masks) / sum(m.size for m in masks if (m == i).any())
        for i in range(4)
    ]
    assert report["classes"]["unicorn"]["median_frequency_weight"] == pytest.approx(
        np.median(frequencies) / (48 / 384), abs=1e-4
    )


def write_masks(folder, split, **masks):
    """Pairs of a split, with these masks and images of one grey."""
    for name, mask in masks.items():
        for kind, pixels in (("images", np.full((*mask.shape, 3), 77)), ("masks", mask)):
            path = folder / kind / split / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)


def rows(*labels, width_px=10):
    """A mask with a row of each label."""
    return np.repeat(np.array(labels)[:, None], width_px, axis=1)


def test_what_is_printed_and_drawn_by_hand(tmp_path, capsys):
    """Of 120 labelled pixels in train, a class each has 80, 10 and 30, and the last has none."""
    write_masks(tmp_path / "data", "train", a=rows(0, 0, 0, 0, 0, 1), b=rows(0, 0, 0, 2, 2, 2))
    write_masks(tmp_path / "data", "val", c=rows(3, 0, VOID))
    colors = {"ground": (9, 9, 9), "road": (9, 200, 30), "car": (250, 20, 40), "tram": (5, 6, 250)}
    lines = [" ".join(map(str, (name, *color))) for name, color in colors.items()]
    (tmp_path / "data/classes.txt").write_text("\n".join(lines))
    (tmp_path / "recipe.yaml").write_text(f"data:\n  data_dir: {tmp_path}/data\n")
    options = CheckDataOptions(config=str(tmp_path / "recipe.yaml"), out=str(tmp_path / "out"))
    check_data(options)
    said = capsys.readouterr().out
    for line in ("train, 2 images and masks:", "val, 1 image and its mask:"):
        assert line in said.splitlines()
    assert " 2/2 " in said
    assert " 1/1 " in said
    # Frequencies: 80/120, 10/60 and 30/60, with the median 1/2.
    _, report = said.split("Written: ")
    assert report.splitlines() == [
        f"{tmp_path}/out/sample_sheet.png",
        "0 errors, 2 warnings.",
        "  warning: class tram never occurs in train",
        "  warning: classes road, car never occur in val",
        "33.33 % of the pixels of val are not labelled.",
        "class in train  images    share  median_frequency  sqrt_median_frequency",
        "ground               2  66.67 %            0.750                  0.866",
        "road                 1   8.33 %            3.000                  1.732",
        "car                  1  25.00 %            1.000                  1.000",
        "tram                 0   0.00 %            1.000                  1.000",
    ]
    # The masks of a, b and c on the sheet, in the colours of the classes.
    with Image.open(tmp_path / "out/sample_sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    counts = [np.sum(np.all(pixels == color, axis=1)) for color in colors.values()]
    np.testing.assert_allclose(np.array(counts) / counts[3], [9, 1, 3, 1], rtol=0.2)


def test_the_options_of_the_data_hold_here_too(tmp_path):
    """The names, the values that are not labelled, the share of val; a road is no background."""
    masks = {f"{number:02}.png": rows(0, 0, 7, VOID) for number in range(1, 12)}
    masks["00.png"] = rows(1, 2, 2, 7)
    write_masks(tmp_path, "", **{name[:2]: mask for name, mask in masks.items()})
    data = DataConfig(
        data_dir=str(tmp_path),
        class_names=["road", "car", "tree"],
        ignore_label=7,
        validation_fraction=0.5,
    )
    checked = check_data_set(Config(data=data).data)
    assert checked.errors == []
    assert [text for _, text in checked.warnings] == [
        "Everything labelled in val is class road; car, tree never occur. 50 % of its pixels are "
        "255 or ignored, which means: not labelled. On val, the IU of a class that never occurs is "
        "undefined (null), or 0 where the network predicts it."
    ]
    assert checked.class_names == ("road", "car", "tree")
    # By the hash of the names 03, 04 and 07 to 11 are in val; a share of 0.2 would take three.
    assert [len(checked.seen[split].per_image) for split in ("train", "val")] == [5, 7]
    assert np.sum(checked.seen["train"].per_image, axis=0).tolist() == [80, 10, 20]
    # Every second pair, from train to val.
    names = [f"{number}.png" for number in ("00", "02", "06", "04", "08", "10")]
    assert [sample["title"] for sample in checked.samples] == names
    for sample in checked.samples:
        mask = masks[sample["title"]]
        np.testing.assert_array_equal(sample["truth"], np.where(mask == 7, VOID, mask))
        assert (sample["image"] == 77).all()


def test_generated_scenes_are_clean_and_counted(few_scenes_dir):
    config = Config(data=DataConfig(name="shapes", tfds_dir=few_scenes_dir)).data
    checked = check_data_set(config)
    assert (checked.errors, checked.warnings) == ([], [])
    assert checked.seen.keys() == {"train", "val", "test"}
    examples = list(whole_images(open_source(config), "train").as_numpy_iterator())
    for counts, example in zip(checked.seen["train"].per_image, examples, strict=True):
        labels = example["segmentation_mask"]
        assert counts.tolist() == [np.sum(labels == label) for label in range(6)]
    assert [len(checked.seen[split].per_image) for split in ("val", "test")] == [40, 40]
    for sample, number in zip(checked.samples, range(0, 40, 7), strict=True):
        assert sample["title"] == examples[number]["file_name"].decode()


def test_records_that_cannot_be_decoded_are_named(monkeypatch, capsys):
    """The faults of data sets that have no files of their own to name."""
    image, labels = numbered_pair(4, 5)
    labels = labels % 3
    good, broken = (image, labels), (image.astype(np.float32), labels)
    small, unknown = (image, labels[:3]), (image, np.where(labels == 2, 3, labels))
    source = source_of(train=[broken, good, good, broken, good], val=[good, small, unknown])
    monkeypatch.setattr(fcn_tf.data.check, "open_source", lambda config, trains: source)
    checked = check_data_set(Config().data)
    faults = [text for _, text in checked.errors]
    assert [fault.split(" (")[0] for fault in faults[:2]] == [
        "record 0: it cannot be decoded",
        "record 3: it cannot be decoded",
    ]
    assert checked.errors[2:] == [
        ("6.png", "(4, 5), its mask (3, 5)"),
        ("7.png", "its mask has values of no class"),
    ]
    report = as_json(checked)
    assert report["images"] == {"train": 3, "val": 3}
    pixels = [report["classes"][name]["pixels"] for name in "abc"]
    assert pixels == [3 * count for count in (7, 7, 6)]
    assert [sample["title"] for sample in checked.samples] == ["1.png", "2.png", "4.png"]
    said = capsys.readouterr().out
    assert "train, 5 images and masks:" in said
    assert " 3/3 " in said


def test_names_that_are_no_utf8_are_shown(tmp_path, run_here):
    """As on a disk that was written on an old system: the text says which, as far as it can."""
    name = os.fsdecode("fen\xeatre.png".encode("latin1"))
    paths = make(tmp_path / "data", ["good", "other"])
    for kind in ("images", "masks"):
        try:
            paths[kind, "good"].rename(paths[kind, "good"].with_name(name))
        except OSError:
            pytest.skip("this disk has no such names")
    paths["images", "good"].with_name(name).write_bytes(b"no image")
    arguments = ("check-data", "--data.data_dir", str(tmp_path / "data"), "--out", str(tmp_path))
    said = run_here(*arguments, "--json")
    assert said.returncode == 1
    (error,) = json.loads(said.stdout)["errors"]
    assert error["file"] == f"{tmp_path}/data/images/train/fen\N{REPLACEMENT CHARACTER}tre.png"
    refused = run_here("train", "--data.data_dir", str(tmp_path / "data"))
    assert refused.returncode == 2
    assert f"{tmp_path}/data/images/train/fen\\udceatre.png: cannot be read" in refused.stderr


def test_many_findings_of_a_kind_are_shortened(tmp_path, capsys):
    names = [f"p{number}" for number in range(8)]
    paths = make(tmp_path / "data", names)
    for number, name in enumerate(names[1:]):
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[:4], mask[4:8] = 100, 100 + number % 2  # one value of no class, or two
        if number == 6:
            mask[:] = 0
            mask[0, 0] = 100  # in one pixel
        Image.fromarray(mask).save(paths["masks", name])
    with pytest.raises(RunError, match=r"^7 errors"):
        check_data(CheckDataOptions(data=resolved(tmp_path / "data"), out=tmp_path / "out"))
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if line.startswith("  error: ")]
    for name, line in zip(names[1:6], lines, strict=False):
        assert str(paths["masks", name]) in line
    assert lines[5:] == ["  error: … and 2 more of this kind (--json lists all)"]


def test_a_folder_without_classes_is_read_all_the_same(tmp_path):
    paths = make(tmp_path / "data", ["a", "b"])
    paths["images", "b"].write_bytes(b"no image")
    (tmp_path / "data/classes.txt").write_text("road")
    checked = check_data_set(resolved(tmp_path / "data"))
    (_, of_classes), (file, _) = checked.errors
    assert "there must be between 2 and 255" in of_classes
    assert file == paths["images", "b"]
    assert checked.notes == ["The masks hold the values 0, 1, 2."]
    assert as_json(checked)["classes"] == {}
