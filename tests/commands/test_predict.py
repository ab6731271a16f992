"""Many images to files, by the command."""

import io
import itertools
import json
import os
import sys

import numpy as np
import psutil
import pytest
from PIL import ExifTags, Image

from fcn_tf.cli import main
from fcn_tf.commands.predict import PredictOptions, predict
from fcn_tf.config.types import Shard
from fcn_tf.errors import InputError, RunError
from fcn_tf.images.draw import overlay
from fcn_tf.images.find import find_images
from fcn_tf.images.read import open_pixels
from fcn_tf.inference.keras_model import loaded_from_keras
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import save_model
from tests.extras import needs_extra
from tests.inference.handmade import PALETTE, handmade_model, handmade_scores
from tests.networks import narrow_fcn, random_images
from tests.processes import command

COLORS = [[number, 2 * number, 255 - number] for number in range(6)]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = narrow_fcn("fcn8s", 6, class_names=tuple("abcdef"), palette=COLORS)
    path = tmp_path_factory.mktemp("model") / "m.keras"
    save_model(model, path)
    return model, path


def write_images(folder, count, size=(40, 50)):
    folder.mkdir(parents=True)
    for number in range(count):
        image = random_images(*size, 3, seed=number % 10)
        Image.fromarray(image).save(folder / f"{number:04}.png")


def label(path, folder, **options):
    """Labels the images of a folder's `in` to its `out`."""
    predict(PredictOptions(model=path, images=(str(folder / "in"),), out=folder / "out", **options))


def test_what_is_written(model, tmp_path):
    model, path = model
    write_images(tmp_path / "in/deep", 2)
    label(path, tmp_path, format="png,overlay,npy")
    image = pixels(tmp_path / "in/deep/0001.png")
    expected = loaded_from_keras(model).scores(image[None])[0]
    np.testing.assert_allclose(
        np.load(tmp_path / "out/deep/0001.png.scores.npy"), expected, atol=1e-6
    )
    with Image.open(tmp_path / "out/deep/0001.png.png") as labels:
        np.testing.assert_array_equal(np.asarray(labels), expected.argmax(-1))
        # Seen in the model's colours, by any viewer.
        colors = np.array(COLORS)[expected.argmax(-1)]
        np.testing.assert_array_equal(np.asarray(labels.convert("RGB")), colors)
    drawn = overlay(image, expected.argmax(-1).astype(np.uint8), "abcdef", COLORS)
    np.testing.assert_array_equal(pixels(tmp_path / "out/deep/0001.png.overlay.png"), drawn)
    assert len(list((tmp_path / "out/deep").iterdir())) == 6


@pytest.fixture
def handmade(monkeypatch):
    """A function of the changes of `handmade_model`; every model is then the one that it makes.

    It gives the shapes of the images that the model is called with.
    """

    def use(**changes):
        model, shapes = handmade_model(**changes)
        monkeypatch.setattr("fcn_tf.inference.predictor.load_any", lambda path: model)
        return shapes

    return use


def scores_of(folder, name):
    return np.load(folder / f"out/{name}.scores.npy")


def test_each_option_does_what_its_help_says(tmp_path, handmade, run_here, monkeypatch, capsys):
    """On one image, by the command line, against a model that can be worked out by hand."""
    write_images(tmp_path / "in", 1, size=(32, 128))
    image = pixels(tmp_path / "in/0000.png")
    monkeypatch.chdir(tmp_path)
    shapes = handmade()

    def run(*options):
        shapes.clear()
        done = run_here("predict", "--model=m", "--out=out", "--format=npy", *options, "in")
        assert done.returncode == 0, done.stderr
        return scores_of(tmp_path, "0000.png")

    whole = handmade_scores(image[None])[0]
    mirrored = handmade_scores(image[None, :, ::-1])[0, :, ::-1]
    np.testing.assert_allclose(run(), whole, atol=1e-6)
    assert shapes == [(1, 32, 128, 3)]
    run()
    assert not shapes  # it is finished
    np.testing.assert_allclose(run("--overwrite", "--flip"), (whole + mirrored) / 2, atol=1e-6)
    run("--overwrite", "--scales=0.5,1,1.5")
    assert shapes == [(1, 16, 64, 3), (1, 32, 128, 3), (1, 48, 192, 3)]
    run("--overwrite", "--tile_px=64")
    assert shapes == [(1, 32, 64, 3)] * 2
    run("--overwrite", "--tile_px=32", "--batch_size=3")
    assert shapes == [(3, 32, 32, 3), (1, 32, 32, 3)]
    run("--overwrite", "--max_pixels=4096")
    done = run_here("predict", "--model=m", "--out=o", "--max_pixels=4095", "in")
    assert done.returncode == 1
    assert "32x128 px (height x width) are more than 4095" in done.stderr


def test_labels_and_overlay_of_averaged_scores(tmp_path, handmade):
    write_images(tmp_path / "in", 1, size=(30, 40))
    image = pixels(tmp_path / "in/0000.png")
    handmade()
    whole = handmade_scores(image[None])[0]
    mirrored = handmade_scores(image[None, :, ::-1])[0, :, ::-1]
    expected = (whole + mirrored).argmax(-1)
    assert (expected != whole.argmax(-1)).any()
    for formats in ("png,overlay", "png,overlay,npy"):
        label("m", tmp_path, flip=True, opacity=0.75, format=formats, overwrite=True)
        np.testing.assert_array_equal(pixels(tmp_path / "out/0000.png.png"), expected)
        drawn = pixels(tmp_path / "out/0000.png.overlay.png")
        blended = 0.25 * image + 0.75 * np.array(PALETTE)[expected]
        assert np.abs(drawn[:30, :40] - blended).max() <= 1


def test_a_shard_takes_its_share_of_the_images(tmp_path, handmade, capsys):
    write_images(tmp_path / "in", 5)
    handmade()
    label("m", tmp_path, format="png", shard=Shard.of("1/2"))
    assert sorted(os.listdir(tmp_path / "out")) == ["0001.png.png", "0003.png.png"]
    assert f"2 images done, in {tmp_path}/out" in capsys.readouterr().out
    label("m", tmp_path, format="png", shard=Shard.of("0/2"))
    assert len(os.listdir(tmp_path / "out")) == 5


@needs_extra("maps", "rasterio", "shapely")
@needs_extra("coco", "pycocotools")
def test_polygons_and_annotations_of_a_shard(tmp_path, handmade):
    write_images(tmp_path / "in", 2)
    handmade()
    options = {"format": "geojson,coco,png", "simplify_px": 2.0, "shard": Shard.of("1/2")}
    label("m", tmp_path, **options)
    names = ["0001.png.geojson", "0001.png.png", "annotations-1-of-2.json"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    labels = pixels(tmp_path / "out/0001.png.png")
    classes = handmade_model()[0].classes
    from fcn_tf.inference.polygons import write_polygons

    write_polygons(tmp_path / "expected", labels, classes, simplify_px=2.0)
    assert (tmp_path / "out" / names[0]).read_text() == (tmp_path / "expected").read_text()


def test_the_tiles_of_a_large_image_are_counted_and_results_are_no_images(
    tmp_path, handmade, capsys
):
    write_images(tmp_path / "in", 1, size=(32, 512))
    shapes = handmade()
    options = PredictOptions(
        model="m", images=(str(tmp_path / "in"),), out=tmp_path / "in/out", tile_px=32
    )
    predict(options)
    said = capsys.readouterr().out
    assert " 16/16 [" in said
    assert " tiles/s]" in said
    assert len(shapes) == 16
    predict(options)
    assert "1 finished image left out" in capsys.readouterr().out
    assert len(shapes) == 16


def test_only_the_first_page_is_labelled_and_that_is_said(tmp_path, handmade, capsys):
    (tmp_path / "in").mkdir()
    first, second = (Image.fromarray(random_images(32, 48, 3, seed=seed)) for seed in (0, 1))
    for number in range(6):
        first.save(tmp_path / f"in/{number}.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "in/one.tif")
    handmade()
    label("m", tmp_path, format="png")
    assert (
        "Only the first was taken of the pages or frames of 0.tif (2), 1.tif (2), 2.tif (2), "
        "3.tif (2), 4.tif (2), 1 more; to label the others"
    ) in capsys.readouterr().out
    expected = handmade_scores(np.asarray(first)[None])[0].argmax(-1)
    np.testing.assert_array_equal(pixels(tmp_path / "out/5.tif.png"), expected)


@pytest.mark.parametrize("name", ["predict", "request"])
def test_an_empty_list_is_done_before_anything_is_loaded(name, tmp_path, monkeypatch, run_here):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    where = {"predict": "--model=nowhere", "request": "--url=http://localhost:1/v1/models/none"}
    done = run_here(name, where[name], f"--out={tmp_path}/out", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert "names no image: there is nothing to do." in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_model_of_labels_alone_gives_no_scores(tmp_path, handmade):
    write_images(tmp_path / "in", 1)
    handmade(scores=None)
    with pytest.raises(InputError, match="--format npy: this file gives labels alone"):
        label("m", tmp_path, format="png,npy")
    label("m", tmp_path, format="png")
    assert os.listdir(tmp_path / "out") == ["0000.png.png"]


def test_the_command_names_what_is_broken_and_tries_it_again_alone(
    model, tmp_path, run_here, monkeypatch
):
    write_images(tmp_path / "in", 4)
    (tmp_path / "in/0001.png").write_bytes(b"broken")
    (tmp_path / f"in/{'n' * 250}.png").write_bytes((tmp_path / "in/0000.png").read_bytes())
    arguments = ["predict", f"--model={model[1]}", "--out=out", "--format=png", "in"]
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 3
    assert "nnn.png: OSError: [Errno 36] File name too long" in done.stderr
    assert "in/0001.png: cannot be read as an image" in done.stderr
    assert "2 of 5 images failed" in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    Image.fromarray(random_images(20, 20, 3)).save(tmp_path / "in/0001.png")
    (tmp_path / f"in/{'n' * 250}.png").unlink()
    monkeypatch.chdir(tmp_path)
    done = run_here(*arguments)
    assert done.returncode == 0, done.stderr
    assert "3 finished images left out" in done.stdout
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert (tmp_path / "out/0001.png.png").is_file()


def test_the_users_mistakes(model, tmp_path, monkeypatch, capsys):
    write_images(tmp_path / "in", 1)
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    for option, message in [
        ("--shard=4/4", "0/N to N-1/N"),
        ("--scales=a", "0.75,1,1.25"),
        ("--scales=nan", "above 0"),
        ("--tile_px=100", "multiple of 32"),
        ("--model=nowhere", "no model"),
        ("--format=jpg", "png,gray,overlay,npy,geojson,coco"),
        ("--simplify_px=1", "it needs --format geojson"),
        ("--simplify_px=-1", "0 or more, in px"),
        ("--out=in", "holds the images themselves"),
        ("--out=file", "cannot be made a folder"),
    ]:
        with pytest.raises(SystemExit) as ended:
            main(["predict", f"--model={model[1]}", "--out=out", option, "in"])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not (tmp_path / "out/0000.png.png").exists()


def test_images_are_found(tmp_path, monkeypatch):
    write_images(tmp_path / "in/a", 3)
    write_images(tmp_path / "in/b", 2)
    (tmp_path / "in/b/.hidden.png").write_bytes(b"")
    (tmp_path / "in/notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)

    def names(*arguments, **options):
        return [str(image.name) for image in find_images(arguments, **options)]

    everything = ["a/0000.png", "a/0001.png", "a/0002.png", "b/0000.png", "b/0001.png"]
    assert names("in") == everything
    assert names("in/*/*.png") == everything
    assert names("in/**/*.png", "in/a/0001.png") == everything
    assert names("in/b") == ["0000.png", "0001.png"]
    assert names("in/a/0002.png") == ["0002.png"]
    assert names("in/a/0002.png", "in/b/0000.png") == ["a/0002.png", "b/0000.png"]
    shards = [names("in", shard=(index, 3)) for index in range(3)]
    assert sorted(itertools.chain(*shards)) == everything
    # Results below the images are not images.
    write_images(tmp_path / "in/out", 1)
    for given in ("in", "in/**/*.png"):
        assert names(given, out="in/out") == everything
    for given in ("in", "in/a/0000.png"):
        with pytest.raises(InputError, match="holds the images themselves"):
            names(given, out="in")
    for missing in ("nowhere", "in/*.gif"):
        with pytest.raises(InputError, match="no image is there"):
            names(missing)


def test_a_list_on_standard_input(model, tmp_path, run_here, monkeypatch):
    write_images(tmp_path / "in", 3)
    monkeypatch.chdir(tmp_path)
    listing = os.linesep.join(["in/0000.png", "in/0002.png"]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listing)))
    done = run_here("predict", f"--model={model[1]}", "--out=out", "--format=png", "-")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["0000.png.png", "0002.png.png"]


def test_the_largest_image_is_the_users_to_say(tmp_path, monkeypatch):
    Image.fromarray(random_images(40, 50, 3)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="more than 1999; --max_pixels allows more"):
        open_pixels(tmp_path / "a.png", 1999)
    assert open_pixels(tmp_path / "a.png", 2000).shape == (40, 50, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    assert open_pixels(tmp_path / "a.png", 2000).shape == (40, 50, 3)


@needs_extra("maps", "rasterio")
def test_a_large_tiff_is_read_in_windows(tmp_path, monkeypatch):
    import fcn_tf.images.read
    from fcn_tf.images.tiff import TiffWindows

    image = random_images(90, 120, 3)
    Image.fromarray(image).save(tmp_path / "a.tif")
    Image.fromarray(image[..., 0]).save(tmp_path / "grey.tif")
    Image.fromarray(image[..., 0].astype(np.int32)).save(tmp_path / "deep.tif")
    monkeypatch.setattr(fcn_tf.images.read, "WINDOWS_PIXELS", 1000)
    windows = open_pixels(tmp_path / "a.tif")
    assert isinstance(windows, TiffWindows)
    assert windows.shape == image.shape
    np.testing.assert_array_equal(windows[10:30, 40:], image[10:30, 40:])
    np.testing.assert_array_equal(
        open_pixels(tmp_path / "grey.tif")[:, :], image[..., :1].repeat(3, -1)
    )
    with pytest.raises(InputError, match="more than 8 bits"):
        open_pixels(tmp_path / "deep.tif")
    with Image.open(tmp_path / "a.tif") as rgb:
        for mode in ("P", "CMYK", "1"):
            converted = rgb.convert(mode)
            converted.save(tmp_path / f"{mode}.tif")
            expected = np.asarray(converted.convert("RGB"))
            np.testing.assert_array_equal(open_pixels(tmp_path / f"{mode}.tif")[:, :], expected)
    with pytest.raises(InputError, match="--max_pixels allows more"):
        open_pixels(tmp_path / "a.tif", 5000)


@pytest.mark.slow
def test_five_thousand_images(model, tmp_path, monkeypatch, capsys):
    """20 of them broken; a second call tries those alone."""
    write_images(tmp_path / "in", 5000, size=(32, 48))
    broken = range(100, 5000, 250)
    for number in broken:
        (tmp_path / f"in/{number:04}.png").write_bytes(b"broken")
    resident = []
    import fcn_tf.inference.labelling

    opened = fcn_tf.inference.labelling.open_pixels

    def watched(*arguments, **named):
        resident.append(psutil.Process().memory_info().rss)
        return opened(*arguments, **named)

    monkeypatch.setattr(fcn_tf.inference.labelling, "open_pixels", watched)
    with pytest.raises(RunError, match="20 of 5000 images failed"):
        label(model[1], tmp_path, format="png")
    named = capsys.readouterr().err
    assert all(f"/{number:04}.png: " in named for number in broken)
    assert len(os.listdir(tmp_path / "out")) == 4980
    tenths = np.array_split(resident, 10)
    assert np.mean(tenths[-1]) <= 1.02 * np.mean(tenths[1])
    resident.clear()
    with pytest.raises(RunError, match="20 of 20 images failed"):
        label(model[1], tmp_path, format="png")
    assert len(resident) == 20


def test_scores_of_exports_know_their_data(tmp_path):
    """`evaluate` finds the configuration of an export's run."""
    from fcn_tf.config.files import run_config

    (tmp_path / "run").mkdir()
    (tmp_path / "out/tflite/2").mkdir(parents=True)
    about = json.dumps({"model": str(tmp_path / "run")})
    (tmp_path / "out/tflite/2/export.json").write_text(about)
    for path in ("out/tflite/2/a.tflite", "out/tflite/2", "out/tflite"):
        assert run_config(tmp_path / path) == tmp_path / "run/config.yaml"


def test_a_run_says_once_what_it_scaled_to_a_fixed_size(tmp_path, handmade, capsys):
    handmade(size_px=(32, 64))
    write_images(tmp_path / "in", 3, size=(32, 128))
    label("m", tmp_path, format="png")
    said = [line for line in capsys.readouterr().out.splitlines() if "scaled" in line]
    assert [line[:44] for line in said] == ["Images of 32x128 were scaled to 32x64, which"]


def test_photos_are_labelled_as_viewers_show_them(tmp_path, handmade):
    handmade()
    stored = random_images(20, 30, 3)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    (tmp_path / "in").mkdir()
    Image.fromarray(stored).save(tmp_path / "in/a.png", exif=turned)
    label("m", tmp_path, opacity=0.0)
    shown = np.rot90(stored, -1)
    expected = handmade_scores(shown[None])[0].argmax(-1)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png.png"), expected)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png.overlay.png")[:30, :20], shown)


@needs_extra("maps", "rasterio")
def test_files_are_read_with_the_bands_of_the_model(tmp_path, handmade):
    write_images(tmp_path / "in", 1)
    image = pixels(tmp_path / "in/0000.png")
    handmade(bands=(3, 1, 1))
    label("m", tmp_path, format="npy")
    expected = handmade_scores(image[None][..., [2, 0, 0]])[0]
    np.testing.assert_allclose(scores_of(tmp_path, "0000.png"), expected, atol=1e-6)
    predictor = Predictor("m")
    contents = (tmp_path / "in/0000.png").read_bytes()
    for given in (tmp_path / "in/0000.png", contents, io.BytesIO(contents)):
        np.testing.assert_allclose(predictor.scores(given), expected, atol=1e-6)
    np.testing.assert_allclose(predictor.scores(image), handmade_scores(image[None])[0])


def test_deep_images_are_read_with_the_range_of_the_model(tmp_path, handmade, capsys):
    (tmp_path / "in").mkdir()
    deep = np.array([[0, 500, 1000, 2000]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "in/a.png")
    handmade(value_range=(0.0, 1000.0))
    label("m", tmp_path, format=("npy",))
    shown = np.array([[[0], [128], [255], [255]]], np.uint8).repeat(3, -1)
    np.testing.assert_allclose(scores_of(tmp_path, "a.png"), handmade_scores(shown[None])[0])
    assert "1 image has values outside of it" in capsys.readouterr().out
    predictor = Predictor("m")
    for image in (tmp_path / "in/a.png", Image.fromarray(deep)):
        np.testing.assert_allclose(predictor.scores(image), handmade_scores(shown[None])[0])
    handmade()
    with pytest.raises(RunError):
        label("m", tmp_path, format=("png",))
    assert "more than 8 bits a channel" in capsys.readouterr().err
