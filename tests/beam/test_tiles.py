"""A large image by several workers: its files are those that one machine writes."""

import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

from fcn_tf.commands.predict import PredictOptions, predict
from fcn_tf.errors import RunError
from fcn_tf.images.read import WINDOWS_PIXELS
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import save_model
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images

pytestmark = needs_extra("beam", "apache_beam")
LARGE_PX, SMALL_PX = (200, 260), (40, 50)
TILES = 7 * 9  # of 32 px, of the large image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A model, and two images, of which one has many tiles."""
    folder = tmp_path_factory.mktemp("tiles")
    save_model(narrow_fcn("fcn8s", 6, class_names=tuple("abcdef")), folder / "m.keras")
    for number, size_px in enumerate((LARGE_PX, SMALL_PX)):
        path = folder / f"in/{number}/a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(random_images(*size_px, 3, seed=number)).save(path)
    return folder


def label(data, out, **options):
    names = {"model": f"{data}/m.keras", "out": str(out), "tile_px": 32, "format": "png,overlay"}
    predict(PredictOptions(**{**names, **options}))


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("dead-letters.jsonl", "predict.json")
    }


@pytest.fixture
def fed(monkeypatch):
    """The numbers of the tiles that were labelled in one call."""
    numbers, windows = [], Predictor.windows

    def noted(self, image, tiles=None):
        numbers.append(len(tiles or ()))
        return windows(self, image, tiles)

    monkeypatch.setattr(Predictor, "windows", noted)
    return numbers


@pytest.mark.parametrize("options", [{}, {"flip": True, "batch_size": 3}])
def test_files_are_those_of_one_machine(data, tmp_path, capsys, fed, options):
    label(data, tmp_path / "expected", images=(f"{data}/in",), **options)
    assert not fed
    label(data, tmp_path / "out", input=f"{data}/in", runner="direct", **options)
    found = files(tmp_path / "out")
    assert found == files(tmp_path / "expected")
    assert len(found) == 4
    assert sum(fed) == TILES
    assert max(fed) <= 4
    with Image.open(tmp_path / "out/0/a.png.png") as labels:
        assert len(np.unique(labels)) > 1
    said = capsys.readouterr().out
    assert "2 images done" in said
    assert float(re.search(r"([\d.]+) s in the model", said)[1]) > 0
    label(data, tmp_path / "out", input=f"{data}/in", runner="direct", **options)
    assert "2 finished images left out" in capsys.readouterr().out


def test_a_tile_that_fails_is_one_dead_letter_of_its_image(data, tmp_path, monkeypatch):
    windows = Predictor.windows

    def fails(self, image, tiles=None):
        if any(kept[0].start == 32 for kept, _ in tiles):
            raise ValueError("several\nlines")
        return windows(self, image, tiles)

    monkeypatch.setattr(Predictor, "windows", fails)
    with pytest.raises(RunError, match=r"^1 of 2 images failed"):
        label(data, tmp_path / "out", input=f"{data}/in", runner="direct")
    (letter,) = (tmp_path / "out/dead-letters.jsonl").read_text().splitlines()
    assert letter == f'{{"image": "{data}/in/0/a.png", "error": "ValueError: several lines"}}'
    assert set(files(tmp_path / "out")) == {"1/a.png.png", "1/a.png.overlay.png"}


def test_an_image_at_a_url_is_joined_there(data, tmp_path, monkeypatch):
    from tests.beam import bucket

    monkeypatch.setenv(bucket.VARIABLE, str(tmp_path))
    (tmp_path / "in").symlink_to(data / "in")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes((data / "in/0/a.png").read_bytes())
    label(data, "bucket://out", input="bucket://photos/*.png", runner="direct")
    label(data, tmp_path / "expected", images=(f"{tmp_path}/photos",))
    assert files(tmp_path / "out") == files(tmp_path / "expected")


def test_scores_are_not_sent_between_workers(data, tmp_path, fed):
    label(data, tmp_path / "out", input=f"{data}/in/0", runner="direct", format="npy")
    assert not fed
    assert np.load(tmp_path / "out/a.png.scores.npy").shape == (*LARGE_PX, 6)


@pytest.mark.skipif(not importlib.util.find_spec("shapely"), reason="needs the extra maps")
def test_a_map_is_read_and_joined_window_by_window(data, tmp_path, fed):
    from tests.images.rasters import write_raster

    side_px = 2048
    assert side_px**2 > WINDOWS_PIXELS
    pixels = random_images(side_px, side_px, 3, seed=5)
    (tmp_path / "in").mkdir()
    write_raster(tmp_path / "in/map.tif", pixels)
    options = {"tile_px": 512, "format": "png"}
    label(data, tmp_path / "expected", images=(f"{tmp_path}/in",), **options)
    fed.clear()
    label(data, tmp_path / "out", input=f"{tmp_path}/in", runner="direct", **options)
    assert fed == [4] * 4
    found = files(tmp_path / "out")
    assert list(found) == ["map.tif.labels.tif"]
    assert found == files(tmp_path / "expected")
