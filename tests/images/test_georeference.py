"""Where images lie on the earth."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_tf.errors import InputError
from fcn_tf.images.georeference import place_of, says_its_place
from tests.extras import needs_extra
from tests.images.files import tiff
from tests.images.rasters import SYSTEM, TRANSFORM, write_raster

pytestmark = needs_extra("maps", "rasterio")

VALUES = np.zeros((4, 6, 3), np.uint8)
WORLD_FILE = "0.5\n0.1\n0.1\n-0.5\n1000.25\n1999.75\n"


def test_a_geotiff_says_its_place(tmp_path):
    place = place_of(write_raster(tmp_path / "a.tif", VALUES))
    assert place.crs == SYSTEM
    assert tuple(place.transform)[:6] == TRANSFORM
    assert place.crs_name == "urn:ogc:def:crs:EPSG::32633"
    own = "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=m"
    place = place_of(write_raster(tmp_path / "b.tif", VALUES, crs=own))
    assert place.crs_name.startswith("PROJCS[")
    assert "Lambert_Azimuthal" in place.crs_name


def test_files_beside_an_image_say_its_place(tmp_path):
    for name, beside in {"a.png": "a.pgw", "b.jpg": "b.wld", "c.tif": "c.tfw"}.items():
        Image.fromarray(VALUES).save(tmp_path / name)
        assert not says_its_place(tmp_path / name)
        assert place_of(tmp_path / name) is None
        (tmp_path / beside).write_text(WORLD_FILE)
        assert says_its_place(tmp_path / name)
        place = place_of(tmp_path / name)
        assert tuple(place.transform)[:6] == pytest.approx((0.5, 0.1, 999.95, 0.1, -0.5, 1999.95))
        assert (place.crs, place.crs_name) == (None, None)
    Image.fromarray(VALUES).save(tmp_path / "d.png")
    (tmp_path / "d.png.aux.xml").write_text("<PAMDataset><Metadata/></PAMDataset>")
    assert not says_its_place(tmp_path / "d.png")
    text = "<PAMDataset><GeoTransform>1, 2, 0, 3, 0, -2</GeoTransform></PAMDataset>"
    (tmp_path / "d.png.aux.xml").write_text(text)
    assert tuple(place_of(tmp_path / "d.png").transform)[:6] == (2, 0, 1, 0, -2, 3)


def test_control_points_are_kept(tmp_path):
    from rasterio.control import GroundControlPoint

    corners = [(0, 0, 10, 50), (0, 6, 11, 50), (4, 0, 10, 49)]
    points = [GroundControlPoint(*corner) for corner in corners]
    path = write_raster(tmp_path / "a.tif", VALUES, "EPSG:4326", None, gcps=points)
    place = place_of(path)
    assert place.transform is None
    found, system = place.control_points
    assert [(p.row, p.col, p.x, p.y) for p in found] == corners
    assert system == "EPSG:4326"


def test_a_place_that_may_be_turned_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(VALUES, 2, orientation=6))
    assert place_of(tmp_path / "a.tif") is None
    (tmp_path / "a.tfw").write_text(WORLD_FILE)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.fromarray(VALUES).save(tmp_path / "b.jpg", exif=turned)
    (tmp_path / "b.jgw").write_text(WORLD_FILE)
    for name in ("a.tif", "b.jpg"):
        with pytest.raises(InputError, match=r"EXIF orientation \(6\)"):
            place_of(tmp_path / name)
