import json

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
    """One fault of each kind: {name of the pair: (kind of file, part of the message)}."""

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
    return {
        "cut": ("images", "cannot be read"),
        "cut_mask": ("masks", "cannot be read"),
        "size": ("masks", "15x24 px"),
        "value": ("masks", "value 9 in 384 pixels"),
        "unlabelled": ("masks", "no pixel is labelled"),
        "background": ("masks", "nothing but background"),
        "exif": ("images", "EXIF orientation 6"),
        "cmyk": ("images", "CMYK"),
        "deep": ("images", "more than 8 bits"),
        "alpha": ("images", "alpha"),
        "transparent": ("images", "alpha"),
        "alone_mask": ("masks", "mask without a partner"),
    }


def test_each_fault_is_said_with_its_file(tmp_path, capsys):
    names = ["good", "cut", "cut_mask", "size", "value", "unlabelled", "background"]
    names += ["exif", "cmyk", "deep", "alpha", "transparent", "alone_mask"]
    paths = make(tmp_path / "data", names)
    expected = spoil(paths)
    found = check_data_set(resolved(tmp_path / "data")).problems
    for name, (kind, part) in expected.items():
        path = paths[kind, name]
        assert [text for where, text in found if where == path and part in text], name
    assert (None, "class unicorn never occurs in train") in found
    assert len(found) == len(expected) + 1

    with pytest.raises(RunError, match=f"{len(found)} findings"):
        check_data(CheckDataOptions(data=resolved(tmp_path / "data"), out=tmp_path / "out"))
    said = capsys.readouterr().out
    for name, (kind, _) in expected.items():
        assert f"\n  {paths[kind, name]}: " in said
        assert f"{paths[kind, name]}: {paths[kind, name]}" not in said
    assert (tmp_path / "out/sample_sheet.png").exists()


def test_a_clean_folder_is_counted(tmp_path, capsys):
    paths = make(tmp_path / "data", ["a", "b"])
    unicorn = np.asarray(Image.open(paths["masks", "b"])).copy()
    unicorn[:2] = 3
    Image.fromarray(unicorn).save(paths["masks", "b"])
    data = resolved(tmp_path / "data")
    check_data(CheckDataOptions(data=data, out=tmp_path / "out", json=True))
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
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
    with pytest.raises(RunError, match=r"^1 findings\.$"):
        check_data(options)
    said = capsys.readouterr().out
    for line in ("train, 2 images and masks:", "val, 1 images and masks:"):
        assert line in said.splitlines()
    assert " 2/2 " in said
    assert " 1/1 " in said
    # Frequencies: 80/120, 10/60 and 30/60, with the median 1/2.
    _, report = said.split("Written: ")
    assert report.splitlines() == [
        f"{tmp_path}/out/sample_sheet.png",
        "1 findings.",
        "  class tram never occurs in train",
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
    assert checked.problems == []
    assert checked.class_names == ("road", "car", "tree")
    # By the hash of the names 03, 04 and 07 to 11 are in val; a share of 0.2 would take three.
    assert [len(checked.counts[split]) for split in ("train", "val")] == [5, 7]
    assert np.sum(checked.counts["train"], axis=0).tolist() == [80, 10, 20]
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
    assert checked.problems == []
    assert checked.counts.keys() == {"train", "val", "test"}
    examples = list(whole_images(open_source(config), "train").as_numpy_iterator())
    for counts, example in zip(checked.counts["train"], examples, strict=True):
        labels = example["segmentation_mask"]
        assert counts.tolist() == [np.sum(labels == label) for label in range(6)]
    assert [len(checked.counts[split]) for split in ("val", "test")] == [40, 40]
    for sample, number in zip(checked.samples, range(0, 40, 7), strict=True):
        assert sample["title"] == examples[number]["file_name"].decode()


@pytest.mark.parametrize("first", [True, False])
def test_a_record_that_cannot_be_decoded_ends_the_count(monkeypatch, capsys, first):
    """The faults of TFDS data sets, which have no files of their own to name."""
    image, labels = numbered_pair(4, 5)
    labels = labels % 3
    good, broken = (image, labels), (image.astype(np.float32), labels)
    small, unknown = (image, labels[:3]), (image, np.where(labels == 2, 3, labels))
    train = [broken, good] if first else [good, good, broken, good]
    source = source_of(train=train, val=[good, small, unknown])
    monkeypatch.setattr(fcn_tf.data.check, "open_source", lambda config: source)
    checked = check_data_set(Config().data)
    in_train = 0 if first else 2
    faults = [text for _, text in checked.problems]
    assert faults[0].startswith(f"image {in_train + 1} of train cannot be decoded: ")
    assert checked.problems[1:3] == [
        (f"{len(train) + 1}.png", "(4, 5), its mask (3, 5)"),
        (f"{len(train) + 2}.png", "its mask has values of no class"),
    ]
    missing = [f"class {name} never occurs in train" for name in "abc"]
    assert faults[3:] == (missing if first else [])
    report = as_json(checked)
    assert report["images"] == {"train": in_train, "val": 3}
    pixels = [report["classes"][name]["pixels"] for name in "abc"]
    assert pixels == [in_train * count for count in (7, 7, 6)]
    assert [sample["title"] for sample in checked.samples] == ["0.png", "1.png"][:in_train]
    said = capsys.readouterr().out
    assert f"train, {len(train)} images and masks:" in said
    assert " 3/3 " in said
