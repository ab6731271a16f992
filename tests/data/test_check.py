import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_tf.commands.check_data import CheckDataOptions, check_data
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data.check import check_data_set
from fcn_tf.errors import RunError

CLASSES = ("background", "road", "car", "unicorn")
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
    paths["masks", "alone"].unlink()
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
        "alone": ("images", "image without a partner"),
        "alone_mask": ("masks", "mask without a partner"),
    }


def test_each_fault_is_said_with_its_file(tmp_path, capsys):
    names = ["good", "cut", "cut_mask", "size", "value", "unlabelled", "background"]
    names += ["exif", "cmyk", "deep", "alpha", "alone", "alone_mask"]
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
        assert str(paths[kind, name]) in said
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


@pytest.mark.slow
def test_generated_scenes_are_clean(tfds_dir):
    config = Config(data=DataConfig(name="shapes", tfds_dir=tfds_dir)).data
    checked = check_data_set(config)
    assert checked.problems == []
    assert [len(checked.counts[split]) for split in ("train", "val", "test")] == [1000, 200, 200]
