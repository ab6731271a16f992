"""GeoJSON gives the label map back; simplified, neighbours still share their edges."""

import json

import numpy as np
import pytest

from fcn_tf.classes import Classes
from tests.extras import needs_extra

pytestmark = needs_extra("maps", "rasterio", "shapely")

CLASSES = Classes(("sky", "sea", "ground"), [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
LABELS = np.array(
    [
        [0, 0, 0, 0, 0, 2],
        [0, 1, 1, 1, 0, 2],
        [0, 1, 2, 1, 0, 2],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1],  # touches the ring of 1 at a corner only
    ],
    np.uint8,
)


def regions(height, width):
    """A label map with round regions."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 7 + k) + np.cos(columns / (9 + k) + 2 * k) for k in range(3)]
    return np.argmax(waves, 0).astype(np.uint8)


def written(folder, labels, **options):
    from fcn_tf.inference.polygons import write_polygons

    write_polygons(folder / "a.geojson", labels, CLASSES, **options)
    return json.loads((folder / "a.geojson").read_text(encoding="utf-8"))


def drawn(values, shape):
    from rasterio.features import rasterize

    shapes = [(one["geometry"], one["properties"]["label"]) for one in values["features"]]
    return rasterize(shapes, shape, fill=99, dtype="uint8")


def test_polygons_have_holes_and_classes(tmp_path):
    values = written(tmp_path, LABELS)
    assert set(values) == {"type", "features"}
    assert values["type"] == "FeatureCollection"
    properties = [one["properties"] for one in values["features"]]
    names = sorted((one["label"], one["class"]) for one in properties)
    assert names == [(0, "sky"), (1, "sea"), (1, "sea"), (2, "ground"), (2, "ground")]
    rings = [
        one["geometry"]["coordinates"]
        for one in values["features"]
        if one["properties"]["label"] == 1
    ]
    corners = [{tuple(corner) for corner in ring} for ring in max(rings, key=len)]
    assert corners == [{(1, 1), (4, 1), (4, 4), (1, 4)}, {(2, 2), (3, 2), (3, 3), (2, 3)}]


@pytest.mark.parametrize("labels", [LABELS, regions(80, 60), np.zeros((1, 1), np.uint8)])
def test_the_polygons_drawn_are_the_label_map(tmp_path, labels):
    values = written(tmp_path, labels)
    np.testing.assert_array_equal(drawn(values, labels.shape), labels)


def test_simplified_polygons_have_fewer_corners_and_neither_gaps_nor_overlaps(tmp_path):
    import shapely

    labels = regions(80, 60)
    counts = []
    for simplify_px in (0.0, 1.0, 4.0):
        values = written(tmp_path, labels, simplify_px=simplify_px)
        polygons = shapely.from_geojson([json.dumps(one["geometry"]) for one in values["features"]])
        counts.append(shapely.get_num_coordinates(polygons).sum())
        assert shapely.is_valid(polygons).all()
        assert shapely.area(polygons).sum() == pytest.approx(labels.size)
        assert shapely.area(shapely.union_all(polygons)) == pytest.approx(labels.size)
        assert (drawn(values, labels.shape) != labels).mean() <= 0.015 * simplify_px
    assert counts[0] > 2 * counts[1] > 3 * counts[2]


def test_a_map_has_its_own_coordinates(tmp_path):
    from rasterio import Affine

    transform = Affine(0.5, 0.1, 1000, -0.1, -0.5, 2000)
    for simplify_px in (0.0, 0.1):
        place = {"transform": transform, "crs": "urn:ogc:def:crs:EPSG::32633"}
        values = written(tmp_path, LABELS, simplify_px=simplify_px, **place)
        assert values["crs"]["properties"] == {"name": "urn:ogc:def:crs:EPSG::32633"}
        (hole,) = (
            one["geometry"]["coordinates"][0]
            for one in values["features"]
            if len(one["geometry"]["coordinates"][0]) == 5
            and one["properties"]["label"] == 2
            and one["geometry"]["coordinates"][0][0][0] < 1002
        )
        # (column, row) = (2, 2): x = 1000 + 1 + 0.2, y = 2000 - 0.2 - 1
        expected = {(1001.2, 1998.8), (1001.7, 1998.7), (1001.8, 1998.2), (1001.3, 1998.3)}
        assert {(round(x, 9), round(y, 9)) for x, y in hole} == expected
