"""The labels of georeferenced images lie where the images lie."""

import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from fcn_tf.commands.predict import PredictOptions, predict
from fcn_tf.errors import RunError
from fcn_tf.images.georeference import place_of
from fcn_tf.inference.predictor import Predictor
from tests.extras import needs_extra
from tests.images.rasters import SYSTEM, TRANSFORM, write_raster
from tests.inference.handmade import PALETTE, handmade_model
from tests.networks import random_images

pytestmark = needs_extra("maps", "rasterio", "shapely")

MAP = random_images(100, 600, 3)


@pytest.fixture
def label(tmp_path, monkeypatch):
    """Labels the images below `in` to `out`; the model is made by hand."""
    model, shapes = handmade_model()
    monkeypatch.setattr("fcn_tf.inference.predictor.load_any", lambda path: model)

    def run(**options):
        shapes.clear()
        predict(
            PredictOptions(
                model="m", images=(str(tmp_path / "in"),), out=tmp_path / "out", **options
            )
        )
        return shapes

    (tmp_path / "in").mkdir()
    return run


def expected_labels(image=MAP, **options):
    return Predictor(handmade_model()[0], **options)(image)


def opened(path):
    import rasterio

    return rasterio.open(path)


def check_tiff(path, labels):
    with opened(path) as file:
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.crs == SYSTEM
        assert tuple(file.transform)[:6] == TRANSFORM
        assert file.profile["tiled"]
        assert file.profile["compress"] == "deflate"
        assert (file.count, file.dtypes) == (1, ("uint8",))
        colors = file.colormap(1)
        assert [list(colors[label]) for label in range(3)] == [[*c, 255] for c in PALETTE]


def check_polygons(path, labels):
    from rasterio import Affine
    from rasterio.features import rasterize

    values = json.loads(path.read_text())
    assert values["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    shapes = [(one["geometry"], one["properties"]["label"]) for one in values["features"]]
    drawn = rasterize(shapes, labels.shape, fill=9, transform=Affine(*TRANSFORM), dtype="uint8")
    np.testing.assert_array_equal(drawn, labels)


def test_a_map_becomes_a_map(tmp_path, label, capsys):
    write_raster(tmp_path / "in/a.tif", MAP)
    Image.fromarray(MAP).save(tmp_path / "in/b.tif")
    label(format="png,overlay,geojson")
    names = ["geojson", "labels.tif", "overlay.png"]
    assert sorted(os.listdir(tmp_path / "out")) == [
        *(f"a.tif.{name}" for name in names),
        *("b.tif.geojson", "b.tif.overlay.png", "b.tif.png"),
    ]
    labels = expected_labels()
    check_tiff(tmp_path / "out/a.tif.labels.tif", labels)
    check_polygons(tmp_path / "out/a.tif.geojson", labels)
    assert "crs" not in json.loads((tmp_path / "out/b.tif.geojson").read_text())
    assert "where on the earth" not in capsys.readouterr().out
    assert not label(format="png,overlay,geojson")  # they are finished


@pytest.mark.parametrize("formats", ["png,geojson", "png", "geojson"])
def test_a_large_map_is_labelled_in_windows_with_the_same_result(
    tmp_path, label, monkeypatch, formats
):
    """No image is too large for it, unless --max_pixels says so."""
    from fcn_tf.inference.polygons import write_polygons

    monkeypatch.setattr("fcn_tf.images.read.WINDOWS_PIXELS", 1000)
    monkeypatch.setattr("fcn_tf.inference.labelling.MAX_PIXELS", 2000)
    monkeypatch.setattr("fcn_tf.inference.predictor.Predictor.__call__", None)  # the whole image
    write_raster(tmp_path / "in/a.tif", MAP)
    with pytest.raises(RunError):
        label(format=formats, max_pixels=2000)
    simplify_px = 2.0 if formats == "geojson" else 0.0
    shapes = label(format=formats, tile_px=64, batch_size=3, simplify_px=simplify_px)
    monkeypatch.undo()
    assert shapes[0] == (3, 64, 64, 3)
    labels = expected_labels(tile_px=64)
    written = {"png": "a.tif.labels.tif", "geojson": "a.tif.geojson"}
    assert sorted(os.listdir(tmp_path / "out")) == sorted(written[f] for f in formats.split(","))
    if "png" in formats:
        check_tiff(tmp_path / "out/a.tif.labels.tif", labels)
    if formats == "png,geojson":
        check_polygons(tmp_path / "out/a.tif.geojson", labels)
    elif formats == "geojson":
        place, classes = place_of(tmp_path / "in/a.tif"), handmade_model()[0].classes
        expected = tmp_path / "expected"
        write_polygons(expected, labels, classes, simplify_px, place.transform, place.crs_name)
        assert (tmp_path / "out/a.tif.geojson").read_text() == expected.read_text()


def test_a_model_that_takes_whole_images_has_the_limit_of_photos(tmp_path, monkeypatch):
    model, _ = handmade_model(margin_px=None)
    monkeypatch.setattr("fcn_tf.inference.predictor.load_any", lambda path: model)
    monkeypatch.setattr("fcn_tf.images.read.WINDOWS_PIXELS", 1000)
    (tmp_path / "in").mkdir()
    write_raster(tmp_path / "in/a.tif", MAP)
    options = PredictOptions(
        model="m", images=(str(tmp_path / "in"),), out=tmp_path / "out", format="png"
    )
    predict(options)
    check_tiff(tmp_path / "out/a.tif.labels.tif", expected_labels())
    monkeypatch.setattr("fcn_tf.inference.labelling.MAX_PIXELS", 2000)
    with pytest.raises(RunError):
        predict(dataclasses.replace(options, overwrite=True))


def test_control_points_go_into_the_labels_and_not_into_polygons(tmp_path, label, capsys):
    from rasterio.control import GroundControlPoint

    corners = [(0, 0, 10, 50), (0, 600, 11, 50), (100, 0, 10, 49)]
    points = [GroundControlPoint(*corner) for corner in corners]
    write_raster(tmp_path / "in/a.tif", MAP, "EPSG:4326", None, gcps=points)
    label(format="png")
    with opened(tmp_path / "out/a.tif.labels.tif") as file:
        found, system = file.gcps
        assert [(p.row, p.col, p.x, p.y) for p in found] == corners
        assert system == "EPSG:4326"
    with pytest.raises(RunError):
        label(format="geojson")
    assert "a.tif: control points alone say where it lies" in capsys.readouterr().err


def test_a_place_that_is_lost_is_said(tmp_path, label, monkeypatch, capsys):
    write_raster(tmp_path / "in/a.tif", MAP)
    write_raster(tmp_path / "in/b.tif", MAP)
    Image.fromarray(MAP).save(tmp_path / "in/c.tif")
    label(format="gray,overlay")
    line = "2 images say where on the earth (a.tif for example), and what was written does not: "
    assert f"{line}--format png writes GeoTIFF" in capsys.readouterr().out
    for module in ("raster", "georeference"):
        monkeypatch.setattr(f"fcn_tf.images.{module}.has_rasterio", lambda: False)
    monkeypatch.setattr("fcn_tf.inference.outputs.has_rasterio", lambda: False)
    label(format="png")
    assert f"{line}pip install 'fcn_tf[maps]'" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path / "out"))[2::3] == ["a.tif.png", "b.tif.png", "c.tif.png"]


def test_a_map_that_is_turned_fails_alone(tmp_path, label, capsys):
    write_raster(tmp_path / "in/b.tif", MAP)
    Image.fromarray(MAP).save(tmp_path / "in/a.tif", tiffinfo={274: 6})
    (tmp_path / "in/a.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    with pytest.raises(RunError, match="1 of 2 images failed"):
        label(format="png")
    assert "a.tif: it says where it lies on the earth, and has an EXIF" in capsys.readouterr().err
    assert os.listdir(tmp_path / "out") == ["b.tif.labels.tif"]
