import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.images.graph import decode_image, image_size
from fcn_tf.images.mask_graph import is_grey_png

PIXELS = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (67, 45), Image.Resampling.BICUBIC
    )
)


def encoded(kind, mode="RGB", **options):
    content = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(content, kind, **options)
    return tf.constant(content.getvalue())


FORMATS = {
    "JPEG": {},
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_window_is_a_part_of_the_whole(kind):
    contents = encoded(kind, **FORMATS[kind])
    whole = decode_image(contents).numpy()
    tolerance = 5 if kind == "JPEG" else 0
    assert np.abs(whole.astype(int) - PIXELS).mean() <= tolerance
    assert image_size(contents).numpy().tolist() == [45, 67]
    for start, size in (((0, 0), (45, 67)), ((7, 13), (20, 31)), ((44, 66), (1, 1))):
        window = decode_image(contents, (tf.constant(start), tf.constant(size))).numpy()
        (top, left), (height, width) = start, size
        np.testing.assert_array_equal(window, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_window_of_a_jpeg_has_the_colors_of_the_whole(subsampling, progressive):
    """They are interpolated from pixels around, which lie outside of the window."""
    contents = encoded("JPEG", subsampling=subsampling, progressive=progressive)
    whole = np.asarray(Image.open(io.BytesIO(contents.numpy())))
    rng = np.random.default_rng(0)
    for _ in range(40):
        start = rng.integers(0, whole.shape[:2])
        size = rng.integers(1, whole.shape[:2] - start + 1)
        (top, left), (height, width) = start, size
        window = decode_image(contents, (tf.constant(start, tf.int32), tf.constant(size, tf.int32)))
        np.testing.assert_array_equal(window, whole[top : top + height, left : left + width])


def test_only_grey_pngs_of_8_bits_have_their_values_read_by_tensorflow():
    assert is_grey_png(encoded("PNG", "L"))
    for mode in ("P", "RGB", "1"):
        assert not is_grey_png(encoded("PNG", mode))
    assert not is_grey_png(encoded("JPEG", "L"))
    deep = io.BytesIO()
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(deep, "PNG")
    assert not is_grey_png(tf.constant(deep.getvalue()))
