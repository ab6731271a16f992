"""Which images are stored as their files are; tests/data/test_preparing.py reads what is stored."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.to_store import stays_as_it_is
from tests.data.tricky_pairs import image


def contents(picture, kind, **how):
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return contents(image(), "JPEG", exif=exif)


DEEP = contents(Image.fromarray(np.zeros((24, 32), np.uint16)), "PNG")
CASES = [
    (contents(image(), "JPEG"), {}, (24, 32), (True, False)),
    (contents(image("L"), "JPEG"), {}, (24, 32), (True, False)),
    (contents(image("RGBA"), "PNG"), {}, (24, 32), (True, False)),
    (contents(image("P"), "PNG"), {}, (24, 32), (True, False)),
    (DEEP, {}, (24, 32), (False, False)),
    (contents(image("CMYK"), "JPEG"), {}, (24, 32), (False, False)),
    (contents(image(), "WEBP"), {}, (24, 32), (False, False)),
    (contents(image(), "TIFF"), {}, (24, 32), (False, False)),
    (contents(image(), "BMP"), {}, (24, 32), (False, False)),
    (contents(image(), "JPEG"), {"bands": (3, 2, 1)}, (24, 32), (False, False)),
    (turned(6), {}, (32, 24), (False, True)),
    (turned(6), {}, (24, 32), (True, False)),  # the mask was drawn on the stored pixels
    (turned(3), {}, (24, 32), (False, True)),
    (turned(3), {"exif": "ignore"}, (24, 32), (True, False)),
    (turned(6), {"exif": "apply"}, (24, 32), (False, True)),
    (turned(3), {"name": "tfds"}, (24, 32), (True, False)),  # TFDS never turns
]


@pytest.mark.parametrize(("file", "data", "mask_px", "expected"), CASES)
def test_files_stay_as_they_are_where_every_reader_makes_the_same_of_them(
    file, data, mask_px, expected
):
    config = DataConfig(**{"name": "folder", **data})
    assert stays_as_it_is(file, "a file", config, mask_px) == expected
