import numpy as np
import pytest
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.depth import Clipped, clipping_line, scaled_to_8_bits
from fcn_tf.images.read import open_pixels, read_rgb
from tests.extras import needs_extra
from tests.images.files import samples, tiff


def test_values_are_spread_evenly_and_rounded_by_hand():
    """From [-1, 1]: 2/255 apart; halves go up, and what is outside is clipped."""
    step = 2 / 255
    values = [-np.inf, -2, -1, -1 + 0.49 * step, -1 + 0.51 * step, 0, 1 - step, 1, 1.5, np.inf]
    clipped = []
    found = scaled_to_8_bits(np.array([values]), (-1, 1), "a.tif", clipped)
    assert found.tolist() == [[0, 0, 0, 0, 1, 128, 254, 255, 255, 255]]
    assert clipped == [("a.tif", 4 / 10)]


def test_no_value_is_clipped_at_the_ends_of_the_range():
    clipped = []
    found = scaled_to_8_bits(np.array([[10, 265]], np.uint16), (10, 265), "a.png", clipped)
    assert found.tolist() == [[0, 255]]
    assert clipped == []


def test_a_large_image_has_the_values_of_a_small_one():
    """Values of 16 bits are looked up in a table, where there are many."""
    values = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    small = scaled_to_8_bits(values, (300, 41_000), "a.png")
    large = scaled_to_8_bits(np.tile(values, (2, 1)), (300, 41_000), "a.png")
    np.testing.assert_array_equal(large, np.tile(small, (2, 1)))


def test_what_is_no_number_is_refused():
    values = np.array([[1, np.nan], [np.nan, 2]], np.float32)
    with pytest.raises(InputError, match=r"^a\.tif: 2 of its 4 values are NaN"):
        scaled_to_8_bits(values, (0, 1), "a.tif")


def test_images_with_clipped_values_are_counted():
    found = [Clipped("x/a.tif", 0.25), Clipped("x/b.tif", 0.5), Clipped("x/b.tif", 0.125)]
    assert clipping_line(found, (0, 4095)) == (
        "data.value_range [0, 4095]: 2 images have values outside of it, which are clipped; "
        "b.tif has the most, 50 %."
    )
    assert "1 image has values" in clipping_line(found[:1], (0, 4095))
    assert clipping_line([], (0, 4095)) is None


@pytest.mark.parametrize(
    ("contents", "mode"),
    [
        (tiff(samples(1, 16).astype(np.uint16), photometric=0), "I;16"),  # white is 0
        (b"P5 13 9 4095\n" + samples(1, 8).astype(">u2").tobytes(), "L;12N"),  # stretched by Pillow
    ],
)
def test_values_that_pillow_changes_are_refused(tmp_path, contents, mode):
    (tmp_path / "a").write_bytes(contents)
    with pytest.raises(InputError, match=rf"a: values of this kind \({mode}\) cannot be read"):
        read_rgb(tmp_path / "a", value_range=(0, 4095))


@needs_extra("maps", "rasterio")
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_deep_tiff_keeps_its_bits_whole_and_in_windows(tmp_path, monkeypatch, orientation):
    values = samples(3, 16).astype(np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(values, 2, orientation))
    small = scaled_to_8_bits(values, (1000, 60_000), "")
    shown = np.rot90(small, -1) if orientation == 6 else small
    clipped = []
    whole = open_pixels(tmp_path / "a.tif", value_range=(1000, 60_000), clipped=clipped)
    np.testing.assert_array_equal(whole[:, :], shown)
    outside = ((values < 1000) | (values > 60_000)).mean()
    assert clipped == [(str(tmp_path / "a.tif"), outside)]
    monkeypatch.setattr("fcn_tf.images.read.WINDOWS_PIXELS", 10)
    windows = open_pixels(tmp_path / "a.tif", value_range=(1000, 60_000))
    assert isinstance(windows, np.ndarray) == (orientation == 6)
    np.testing.assert_array_equal(windows[2:5, 3:], shown[2:5, 3:])
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        open_pixels(tmp_path / "a.tif")


@needs_extra("maps", "rasterio")
def test_premultiplied_colors_are_divided_in_a_large_tiff_too(tmp_path, monkeypatch):
    values = samples(4, 8).astype(np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(values, 2, extra_samples=1))
    with Image.open(tmp_path / "a.tif") as image:
        expected = np.asarray(image.convert("RGB"))
    assert not np.array_equal(expected, values[..., :3])
    monkeypatch.setattr("fcn_tf.images.read.WINDOWS_PIXELS", 10)
    np.testing.assert_array_equal(open_pixels(tmp_path / "a.tif")[:, :], expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[7, 300], [4000, 8]], np.uint16), "lie between 7 and 4000."),
        (np.array([[0.25, np.nan]], np.float32), "lie between 0.25 and 0.25."),
        (np.array([[np.nan, np.nan]], np.float32), "become 0 and 255."),
    ],
)
def test_without_a_range_the_values_of_the_image_are_said(tmp_path, values, said):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="more than 8 bits") as refused:
        read_rgb(tmp_path / "a.tif")
    assert str(refused.value).endswith(said)
