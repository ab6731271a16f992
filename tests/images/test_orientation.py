import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.images.orientation import chosen_orientation
from fcn_tf.images.orientation_graph import image_turn
from fcn_tf.images.read import read_header, read_rgb
from tests.images.files import RGB, exif, png, samples, tiff

STORED = samples(3, 8).astype(np.uint8)


def field(kind, count, value):
    """EXIF with an orientation of another kind."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 274, kind, count, value) + b"\0" * 4


def jpeg(own=None, **options):
    content = io.BytesIO()
    given = options if own is None else {"exif": b"Exif\0\0" + own, **options}
    Image.fromarray(STORED).save(content, "JPEG", **given)
    return content.getvalue()


def xmp(orientation):
    return f'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'


def behind(contents):
    """A PNG whose EXIF stands far behind the pixels."""
    start, end = contents.index(b"eXIf") - 4, contents.index(b"IDAT") - 4
    chunk = contents[start:end]
    last = contents.index(b"IEND") - 4
    other = b"teSt" + b" " * 70_000
    between = struct.pack(">I", len(other) - 4) + other + struct.pack(">I", zlib.crc32(other))
    return contents[:start] + contents[end:last] + between + chunk + contents[last:]


def found_in(contents):
    """The orientation, once Pillow and a graph agree on it."""
    header = read_header("a", contents)
    turn = image_turn(tf.constant(contents))
    assert turn.stored_px.numpy().tolist() == list(header.stored_px) == [9, 13]
    assert int(turn.orientation) == header.orientation
    shown_px = read_rgb("a", contents=contents).shape[:2]
    assert turn.shown_px.numpy().tolist() == list(shown_px)
    return header.orientation


FOUND = {
    "none": (jpeg(), 1),
    "EXIF": (jpeg(exif(6)), 6),
    "EXIF without JFIF": (jpeg(exif(8)).replace(jpeg()[2:20], b"", 1), 8),
    "EXIF behind a large comment": (
        (lambda own: own[:2] + b"\xff\xfe\xc3\x52" + b" " * 50_000 + own[2:])(jpeg(exif(5))),
        5,
    ),
    "XMP": (jpeg(xmp=xmp(7).encode()), 7),
    "TIFF": (tiff(STORED, 2, 6), 6),
    "PNG": (png(RGB, 8), 1),
    "PNG with EXIF": (png(RGB, 8, 3), 3),
    "PNG with EXIF at its end": (behind(png(RGB, 8, 6)), 6),
    "0": (jpeg(exif(0)), 1),
    "9": (jpeg(exif(9)), 1),
    "65535": (jpeg(exif(65535)), 1),
    "a text": (jpeg(field(2, 2, ord("6"))), 1),
    "two numbers": (jpeg(field(3, 2, 6)), 6),
    "a number of 32 bits": (jpeg(field(4, 1, 6)), 6),
    "nothing that is EXIF": (jpeg(b"nothing"), 1),
    "EXIF that is cut off": (jpeg(exif(6)[:14]), 1),
}


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning", "ignore:Metadata Warning:UserWarning")
@pytest.mark.parametrize("kind", FOUND)
def test_the_orientation_is_found_wherever_it_stands(kind):
    contents, orientation = FOUND[kind]
    assert found_in(contents) == orientation


@pytest.mark.parametrize(
    ("exif_of_data", "mask_px", "chosen"),
    [
        ("auto", (9, 13), 1),
        ("auto", (13, 9), 6),
        ("auto", (5, 5), 6),
        ("apply", (9, 13), 6),
        ("ignore", (13, 9), 1),
    ],
)
def test_the_size_of_the_mask_tells_how_an_image_is_turned(exif_of_data, mask_px, chosen):
    assert chosen_orientation(exif_of_data, 6, (9, 13), mask_px) == chosen
    # Upside down, and square: the size does not tell.
    for orientation, px in ((3, (9, 13)), (6, (9, 9))):
        expected = 1 if exif_of_data == "ignore" else orientation
        assert chosen_orientation(exif_of_data, orientation, px, px) == expected
    turn = image_turn(
        tf.constant(jpeg(exif(6))), exif=exif_of_data, mask_px=lambda: tf.constant(mask_px)
    )
    assert int(turn.orientation) == chosen
    assert turn.shown_px.numpy().tolist() == ([9, 13] if chosen == 1 else [13, 9])
