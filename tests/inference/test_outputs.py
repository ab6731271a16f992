"""What is written of an image, and what a person is told of many of them."""

import errno
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fcn_tf.inference.outputs
from fcn_tf.classes import Classes
from fcn_tf.errors import InputError, RunError
from fcn_tf.images.draw import overlay
from fcn_tf.images.find import ImageFile
from fcn_tf.inference.outputs import work_through
from fcn_tf.inference.written import Prediction, Wanted
from tests.extras import needs_extra
from tests.networks import random_images

CLASSES = Classes(("sky", "sea", "sand"), [[10, 20, 30], [40, 150, 60], [250, 140, 230]])
IMAGE = random_images(6, 9, 3)
LABELS = random_images(6, 9, seed=1) % 3


def files(*names):
    return [ImageFile(Path("/photos", name), Path(name)) for name in names]


def predicted(image):
    return Prediction(IMAGE, LABELS)


def work(folder, names, predict=predicted, formats=("png",), **options):
    keys = ("opacity", "overwrite", "simplify_px", "shard")
    wanted = {key: options.pop(key) for key in keys if key in options}
    wanted = Wanted(folder, formats, **{"opacity": 0.5, **wanted})
    work_through(files(*names), predict, CLASSES, wanted, **options)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_files_of_an_image_are_those_of_its_prediction(tmp_path):
    scores = np.eye(3, dtype=np.float32)[LABELS]
    work(
        tmp_path,
        ["deep/a.jpg"],
        lambda image: Prediction(IMAGE, LABELS, scores),
        formats=("png", "overlay", "npy"),
        opacity=0.25,
    )
    names = ["deep/a.jpg.overlay.png", "deep/a.jpg.png", "deep/a.jpg.scores.npy"]
    assert written(tmp_path) == names
    colors = np.array(CLASSES.palette)[LABELS]
    with Image.open(tmp_path / "deep/a.jpg.png") as labels:
        np.testing.assert_array_equal(np.asarray(labels), LABELS)
        np.testing.assert_array_equal(np.asarray(labels.convert("RGB")), colors)
    drawn = pixels(tmp_path / "deep/a.jpg.overlay.png")
    assert np.abs(drawn[:6, : LABELS.shape[1]] - (0.75 * IMAGE + 0.25 * colors)).max() <= 1
    whole = overlay(IMAGE, LABELS, CLASSES.names, CLASSES.palette, opacity=0.25)
    np.testing.assert_array_equal(drawn, np.asarray(whole))
    np.testing.assert_array_equal(np.load(tmp_path / "deep/a.jpg.scores.npy"), scores)


def test_gray_files_hold_the_labels_for_programs_that_turn_palettes_into_gray(tmp_path):
    work(tmp_path, ["a.jpg"], formats=("png", "gray"))
    read = {}
    for kind in ("png", "gray.png"):
        contents = (tmp_path / f"a.jpg.{kind}").read_bytes()
        read[kind] = tf.io.decode_png(contents, channels=1).numpy()[..., 0]
    np.testing.assert_array_equal(read["gray.png"], LABELS)
    np.testing.assert_array_equal(pixels(tmp_path / "a.jpg.gray.png"), LABELS)
    assert (read["png"] != LABELS).all()  # the brightness of the colours


def test_what_is_finished_is_left_out_and_counted(tmp_path, capsys):
    """An image is finished when each of its files is there."""
    for name in ("a.png.png", "a.png.overlay.png", "b.png.png"):
        (tmp_path / name).write_text("of before")
    names = ["a.png", "b.png", "c.png", "d.png"]
    work(tmp_path, names, formats=("png", "overlay"))
    said = capsys.readouterr().out
    assert "1 finished image left out; --overwrite predicts again.\n" in said
    assert f"3 images done, in {tmp_path}\n" in said
    assert " 3/3 [" in said
    assert " images/s]" in said
    assert (tmp_path / "a.png.png").read_text() == "of before"
    assert len(written(tmp_path)) == 8
    np.testing.assert_array_equal(pixels(tmp_path / "b.png.png"), LABELS)

    work(tmp_path, names, formats=("png", "overlay"), overwrite=True)
    said = capsys.readouterr().out
    assert "left out" not in said
    assert f"4 images done, in {tmp_path}\n" in said
    np.testing.assert_array_equal(pixels(tmp_path / "a.png.png"), LABELS)


@needs_extra("coco", "pycocotools")
def test_the_file_of_all_images_grows_and_keeps_what_is_done(tmp_path, capsys):
    def listed():
        values = json.loads((tmp_path / "annotations.json").read_text())
        return [one["file_name"] for one in values["images"]]

    def broken(image):
        if image.name.name == "b.png":
            raise InputError("is broken")
        return predicted(image)

    with pytest.raises(RunError, match="1 of 3 images failed"):
        work(tmp_path, ["deep/a.png", "b.png", "c.png"], broken, formats=("coco", "png"))
    assert listed() == ["c.png", "deep/a.png"]
    (tmp_path / "c.png.png").unlink()
    capsys.readouterr()
    work(tmp_path, ["deep/a.png", "b.png", "c.png"], formats=("coco", "png"))
    assert "1 finished image left out" in capsys.readouterr().out
    assert listed() == ["b.png", "c.png", "deep/a.png"]
    work(tmp_path, ["d.png"], formats=("coco",), shard=(1, 4))
    assert json.loads((tmp_path / "annotations-1-of-4.json").read_text())["images"]
    assert "d.png" not in listed()


@needs_extra("maps", "rasterio", "shapely")
def test_polygons_are_those_of_the_labels(tmp_path):
    from fcn_tf.inference.polygons import write_polygons

    for simplify_px in (0, 1):
        write_polygons(tmp_path / "expected", LABELS, CLASSES, simplify_px)
        work(tmp_path, ["a.png"], formats=("geojson",), simplify_px=simplify_px, overwrite=True)
        assert (tmp_path / "a.png.geojson").read_text() == (tmp_path / "expected").read_text()


def test_formats_that_cannot_be_written_are_refused_with_the_remedy(tmp_path, monkeypatch):
    for message, options in {
        "some of png,gray,overlay,npy,geojson,coco": {"formats": ("jpg",)},
        "--simplify_px is of polygons": {"formats": ("png",), "simplify_px": 1},
    }.items():
        with pytest.raises(InputError, match=message):
            work(tmp_path, ["a.png"], **options)
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    for kind, extra in {"geojson": "maps", "coco": "coco"}.items():
        with pytest.raises(InputError, match=rf"--format {kind}: pip install 'fcn_tf\[{extra}\]'"):
            work(tmp_path, ["a.png"], formats=(kind,))


def test_what_failed_is_named_with_its_reason_and_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fcn_tf.inference.outputs, "NAMED_FAILURES", 2)
    reasons = {
        "b.png": InputError("/photos/b.png: is broken."),
        "c.png": ValueError("several\n lines"),
        "d.png": RunError("is not named"),
    }

    def predict(image):
        if reason := reasons.get(image.path.name):
            raise reason
        return predicted(image)

    (tmp_path / "z.png.png").write_text("of before")
    with pytest.raises(RunError, match="3 of 5 images failed"):
        work(tmp_path, ["a.png", "b.png", "c.png", "d.png", "e.png", "z.png"], predict)
    said = capsys.readouterr()
    lines = ["/photos/b.png: is broken.", "/photos/c.png: ValueError: several lines"]
    assert said.err.splitlines() == lines
    assert "done" not in said.out
    assert written(tmp_path) == ["a.png.png", "e.png.png", "z.png.png"]


def test_a_full_disk_ends_the_work(tmp_path):
    def predict(image):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        work(tmp_path, ["a.png", "b.png"], predict)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_so_many_images_at_once(tmp_path, concurrency):
    """So many wait for one another, and the pool has no thread more."""
    together, counts = threading.Barrier(concurrency, timeout=30), []

    def predict(image):
        together.wait()
        pool, _ = threading.current_thread().name.rsplit("_", 1)
        names = [thread.name for thread in threading.enumerate()]
        counts.append(sum(name.startswith(f"{pool}_") for name in names))
        return predicted(image)

    work(tmp_path, [f"{number}.png" for number in range(6)], predict, concurrency=concurrency)
    assert max(counts) == concurrency
    assert len(written(tmp_path)) == 6
