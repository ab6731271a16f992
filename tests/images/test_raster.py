"""TIFF files that Pillow does not read, and files whose bands are named."""

import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.images.depth import scaled_to_8_bits
from fcn_tf.images.read import open_image, open_pixels, read_header, read_rgb
from tests.extras import needs_extra
from tests.images.files import samples, saved, tiff
from tests.images.rasters import write_raster

pytestmark = needs_extra("maps", "rasterio")

DEEP = (1000.0, 60_000.0)


def values(bands, bits=8):
    return samples(bands, bits).astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("route", ["small", "in windows", "bytes"])
def test_kinds_that_pillow_lacks_have_the_values_that_were_written(tmp_path, monkeypatch, route):
    if route == "in windows":
        monkeypatch.setattr("fcn_tf.images.read.WINDOWS_PIXELS", 10)

    def pixels(path, **options):
        if route == "bytes":
            return read_rgb(path, contents=path.read_bytes(), **options)
        return open_pixels(path, **options)[:, :]

    grey, rgb, deep, two = values(1), values(3), values(3, 16), values(1, 16)
    written = tmp_path / "a.tif"
    write_raster(written, grey, compress="lerc")
    np.testing.assert_array_equal(pixels(written), grey.repeat(3, -1))
    write_raster(written, rgb, compress="lerc")
    np.testing.assert_array_equal(pixels(written), rgb)
    write_raster(written, deep)  # three bands without names
    np.testing.assert_array_equal(
        pixels(written, value_range=DEEP), scaled_to_8_bits(deep, DEEP, "")
    )
    write_raster(written, two, interleave="band")
    scaled = scaled_to_8_bits(two, DEEP, "")
    np.testing.assert_array_equal(pixels(written, value_range=DEEP), scaled.repeat(3, -1))
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        pixels(written)


def test_the_bands_that_are_named_become_red_green_and_blue(tmp_path, monkeypatch):
    written = write_raster(tmp_path / "a.tif", values(5, 16))
    named = values(5, 16)[..., [3, 2, 1]]
    for limit in (10**6, 10):
        monkeypatch.setattr("fcn_tf.images.read.WINDOWS_PIXELS", limit)
        read = open_pixels(written, value_range=DEEP, bands=(4, 3, 2))[:, :]
        np.testing.assert_array_equal(read, scaled_to_8_bits(named, DEEP, ""))
        with pytest.raises(InputError, match=r"it has 5 bands .*--data.bands \[4, 3, 2\]"):
            open_pixels(written, value_range=DEEP)[:, :]
        with pytest.raises(InputError, match=r"it has 5 bands, and data.bands is \[6, 3, 2\]"):
            open_pixels(written, value_range=DEEP, bands=(6, 3, 2))
    # By every kind of file, as it is stored.
    for name, contents in {"a.png": saved("PNG"), "b.tif": tiff(values(3), 2, 6)}.items():
        (tmp_path / name).write_bytes(contents)
        stored = read_rgb(tmp_path / name, as_stored=True)
        swapped = read_rgb(tmp_path / name, as_stored=True, bands=(3, 2, 1))
        np.testing.assert_array_equal(swapped, stored[..., ::-1])
    assert open_image(tmp_path / "b.tif", bands=(3, 2, 1)).info["exif_orientation"] == 6


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32"])
def test_grey_values_of_each_type(tmp_path, dtype):
    numbers = values(1).astype(dtype)
    written = write_raster(tmp_path / "a.tif", numbers, compress="lerc")
    image = open_image(written)
    seen = np.asarray(image)
    np.testing.assert_array_equal(
        seen.view(np.uint32) if dtype == "uint32" else seen, numbers[..., 0]
    )
    assert read_header(written)[:2] == (numbers.shape[:2], 1)
    assert read_header(written).mode == image.info["file_mode"]
    if dtype != "uint8":
        scaled = scaled_to_8_bits(numbers, (0, 300), "")
        np.testing.assert_array_equal(read_rgb(written, value_range=(0, 300))[..., :1], scaled)


def test_what_nobody_reads_and_what_is_too_large_is_refused(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(InputError, match="cannot be read as an image"):
        open_pixels(tmp_path / "broken.tif")
    written = write_raster(tmp_path / "a.tif", values(3), compress="lerc")
    with pytest.raises(InputError, match=r"9x13 px .* are more than 100; --max_pixels"):
        open_pixels(written, 100)
    assert open_pixels(written, 117).shape == (9, 13, 3)


def test_without_the_extra_its_name_is_said(tmp_path, monkeypatch):
    written = write_raster(tmp_path / "a.tif", values(3), compress="lerc")
    monkeypatch.setattr("fcn_tf.images.raster.has_rasterio", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'fcn_tf\[maps\]' may read it"):
        open_pixels(written)
    with pytest.raises(InputError, match=r"data.bands is read by rasterio: pip install"):
        open_pixels(written, bands=(3, 2, 1))
