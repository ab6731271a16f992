"""Pillow and TensorFlow graphs read the same pixels, and refuse the same files."""

import io
import re
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.data.faults import data_errors_as
from fcn_tf.data.pair_faults import faults_of
from fcn_tf.data.pairs import Pair, read_pair
from fcn_tf.errors import InputError
from fcn_tf.images.graph import decode_image, image_size
from fcn_tf.images.mask_graph import decode_mask
from fcn_tf.images.masks import Coding, read_mask
from fcn_tf.images.read import open_image, open_pixels, read_rgb, resize, to_rgb
from fcn_tf.inference.heatmap import heatmap
from fcn_tf.inference.sending import encoded as encoded_for_a_server
from tests.images.files import (
    GREY,
    GREY_ALPHA,
    HEIGHT_PX,
    PALETTE,
    RGB,
    RGBA,
    WIDTH_PX,
    png,
    random_bytes,
    samples,
    saved,
    tiff,
)

CODING = Coding(3, ((0, 0, 0), (250, 50, 83), (51, 221, 255)), ignore_label=11)


def bmp_of_16_bits_a_pixel():
    row = -(-WIDTH_PX * 2 // 4) * 4
    pixels = random_bytes(row * HEIGHT_PX)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    offset = 14 + 40 + len(masks)
    sizes = WIDTH_PX, HEIGHT_PX, 1, 16, 3, len(pixels), 0, 0, 0, 0
    header = struct.pack("<IiiHHIIiiII", 40, *sizes)
    places = offset + len(pixels), 0, 0, offset
    return b"BM" + struct.pack("<IHHI", *places) + header + masks + pixels


IMAGES = {
    **{f"grey PNG of {bits} bits": png(GREY, bits) for bits in (1, 2, 4, 8)},
    **{f"palette PNG of {bits} bits": png(PALETTE, bits) for bits in (1, 2, 4, 8)},
    "RGB PNG": png(RGB, 8),
    "RGBA PNG": png(RGBA, 8),
    "PNG of grey and alpha": png(GREY_ALPHA, 8),
    "BMP": saved("BMP"),
    "BMP with a palette": saved("BMP", "P"),
    "BMP of 16 bits a pixel": bmp_of_16_bits_a_pixel(),
    "WebP": saved("WEBP"),
    "WebP with alpha": saved("WEBP", "RGBA", lossless=True),
    "TIFF": saved("TIFF"),
    "CMYK TIFF": saved("TIFF", "CMYK"),
    "JPEG": saved("JPEG"),
    "grey JPEG": saved("JPEG", "L"),
    "CMYK JPEG": saved("JPEG", "CMYK"),
}
DEEP = {
    "grey": png(GREY, 16),
    "RGB": png(RGB, 16),
    "grey and alpha": png(GREY_ALPHA, 16),
    "RGBA": png(RGBA, 16),
    "grey TIFF": tiff(samples(1, 16).astype(np.uint16)),
    "RGB TIFF": tiff(samples(3, 16).astype(np.uint16), photometric=2),
    "signed TIFF": tiff(samples(1, 8).astype(np.int16)),
    "TIFF of floats": tiff(samples(1, 8).astype(np.float32)),
}


def in_graph(function, *arguments):
    """What a function gives inside a graph."""
    data = tf.data.Dataset.from_tensors(arguments).map(function)
    return next(data.as_numpy_iterator())


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_has_the_same_pixels_for_pillow_and_in_graphs(kind, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(IMAGES[kind])
    by_pillow, by_graph = read_rgb(path), in_graph(decode_image, IMAGES[kind])
    assert by_pillow.shape == by_graph.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert in_graph(image_size, IMAGES[kind]).tolist() == [HEIGHT_PX, WIDTH_PX]
    np.testing.assert_array_equal(by_pillow, by_graph)


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_are_refused_everywhere_in_the_same_words(kind, tmp_path):
    image, mask = tmp_path / "image.png", tmp_path / "mask.png"
    image.write_bytes(DEEP[kind])
    Image.new("L", (WIDTH_PX, HEIGHT_PX), 1).save(mask)
    sentence = rf"{re.escape(str(image))}: it has more than 8 bits a channel \([IFLRGBA]+;\w+\); .*"
    with pytest.raises(InputError, match=f"^{sentence}$") as refused:
        read_rgb(image)
    sentence = str(refused.value)
    with Image.open(image) as opened, pytest.raises(InputError) as refused:
        to_rgb(opened, image)
    assert str(refused.value) == sentence
    with pytest.raises(InputError) as refused, data_errors_as(InputError):
        in_graph(lambda contents: decode_image(contents, name=str(image)), DEEP[kind])
    assert str(refused.value) == sentence
    for read in (
        lambda: open_pixels(image),
        lambda: encoded_for_a_server(image),
        lambda: read_pair(Pair(image, mask), CODING),
        lambda: heatmap("vgg16", ["0"], image, tmp_path / "heat.png"),
    ):
        with pytest.raises(InputError) as refused:
            read()
        assert str(refused.value) == sentence
    found = faults_of(
        Pair(image, mask),
        read=lambda pair: read_pair(pair, CODING),
        coding=CODING,
        background=None,
        void="255",
    )
    assert found.errors == [(image, sentence)]


def colored_mask(mode):
    colors = np.array([*CODING.colors, (224, 224, 192)], np.uint8)
    picture = colors[np.arange(HEIGHT_PX * WIDTH_PX).reshape(HEIGHT_PX, WIDTH_PX) % 4]
    return encoded(Image.fromarray(picture).convert(mode))


def mask_of_indices(mode):
    values = np.array([0, 1, 2, 11, VOID], np.uint8)
    labels = values[np.arange(HEIGHT_PX * WIDTH_PX).reshape(HEIGHT_PX, WIDTH_PX) % 5]
    picture = Image.fromarray(labels)
    if mode == "P":
        picture.putpalette(random_bytes(768))
    return encoded(picture)


def encoded(picture):
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


MASKS = {
    "grey": (mask_of_indices("L"), {0, 1, 2, VOID}),
    "palette": (mask_of_indices("P"), {0, 1, 2, VOID}),
    "1 bit": (png(GREY, 1), {0, 1}),
    "RGB": (colored_mask("RGB"), {0, 1, 2, VOID}),
    "RGBA": (colored_mask("RGBA"), {0, 1, 2, VOID}),
}
REFUSED_MASKS = {
    "value of no class": (png(GREY, 8), "value .* allowed are 0..2 .* and 255, 11"),
    "first value of no class": (
        encoded(Image.fromarray(np.array([[2, 3, 3]], np.uint8))),
        "value 3 in 2 pixels; allowed are 0..2 .* and 255, 11",
    ),
    "colour of no class": (png(RGB, 8), "colour .* belongs to no class"),
    "16 bits": (png(GREY, 16), r"value \d+ in 1 pixel, .* more; allowed are 0..2"),
    "RGB of 16 bits": (png(RGB, 16), "mode RGB;16B; a mask holds class indices"),
    "grey and alpha": (png(GREY_ALPHA, 8), "pixels of one colour differ in their transparency"),
    "broken": (b"\x89PNG\r\n\x1a\n and nothing that is an image", "cannot be read as an image"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_has_the_same_labels_for_pillow_and_in_graphs(kind, tmp_path):
    contents, labels = MASKS[kind]
    path = tmp_path / "mask.png"
    path.write_bytes(contents)
    by_pillow = read_mask(path, CODING)
    by_graph = in_graph(lambda encoded: decode_mask(encoded, CODING), contents)
    assert set(np.unique(by_pillow)) == labels
    assert by_pillow.shape == (HEIGHT_PX, WIDTH_PX, 1)
    np.testing.assert_array_equal(by_pillow, by_graph)


@pytest.mark.parametrize("kind", REFUSED_MASKS)
def test_a_mask_is_refused_in_the_same_words(kind, tmp_path):
    contents, message = REFUSED_MASKS[kind]
    path = tmp_path / "mask.png"
    path.write_bytes(contents)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: {message}") as refused:
        read_mask(path, CODING)
    sentence = str(refused.value)
    with pytest.raises(InputError) as refused, data_errors_as(InputError):
        in_graph(lambda encoded: decode_mask(encoded, CODING, name=str(path)), contents)
    # Where a file is broken, Pillow names the object that it was given.
    assert re.sub(r"\(.*\)", "", str(refused.value)) == re.sub(r"\(.*\)", "", sentence)


def test_a_broken_image_is_named_in_graphs():
    for read in (decode_image, image_size):
        with (
            pytest.raises(InputError, match=r"^street\.bmp: cannot be read as an image"),
            data_errors_as(InputError),
        ):
            in_graph(lambda contents, read=read: read(contents, name="street.bmp"), b"BM nothing")


def test_an_image_keeps_the_mode_of_its_file_when_it_is_decoded(tmp_path):
    (tmp_path / "deep.png").write_bytes(DEEP["RGB"])
    image = open_image(tmp_path / "deep.png")
    assert image.mode == "RGB"  # as Pillow has it, with half of the bits gone
    with pytest.raises(InputError, match=r"RGB;16B"):
        to_rgb(image, "deep.png")


def test_the_largest_image_is_that_of_the_call_and_pillows_limit_stays(tmp_path, monkeypatch):
    """It is one for all threads, so it stays even while the file is opened and decoded."""
    Image.new("RGB", (5, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    seen, load = [], PngImageFile.load

    def watched(image):
        seen.append(Image.MAX_IMAGE_PIXELS)
        return load(image)

    monkeypatch.setattr(PngImageFile, "load", watched)
    assert open_pixels(tmp_path / "a.png", 20).shape == (4, 5, 3)
    assert set(seen) == {3}
    contents = (tmp_path / "a.png").read_bytes()
    assert open_pixels("none.png", 20, contents=contents).shape == (4, 5, 3)
    with pytest.raises(InputError, match="exceeds limit of 6 pixels"):  # Pillow's own
        open_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"4x5 px \(height x width\) are more than 19;"):
        open_pixels(tmp_path / "a.png", 19)
    assert Image.MAX_IMAGE_PIXELS == 3


def test_an_ignored_label_is_void_in_colors_too(tmp_path):
    coding = Coding(3, CODING.colors, ignore_label=1)
    labels = np.array([[0, 1, 2]], np.uint8)
    for pixels in (labels, np.array(CODING.colors, np.uint8)[labels]):
        Image.fromarray(pixels).save(tmp_path / "mask.png")
        contents = (tmp_path / "mask.png").read_bytes()
        by_graph = in_graph(lambda encoded: decode_mask(encoded, coding), contents)
        for mask in (read_mask(tmp_path / "mask.png", coding), by_graph):
            assert mask[..., 0].tolist() == [[0, VOID, 2]]


def test_a_class_of_the_color_of_void_keeps_its_pixels(tmp_path):
    Image.new("RGB", (2, 1), VOID_COLOR).save(tmp_path / "mask.png")
    coding = Coding(2, ((0, 0, 0), VOID_COLOR))
    assert read_mask(tmp_path / "mask.png", coding).ravel().tolist() == [1, 1]


def test_a_size_is_height_and_width_and_labels_are_not_mixed():
    labels = np.array([[0, 9]], np.uint8)
    nearest = resize(labels, (2, 4), Image.Resampling.NEAREST)
    assert nearest.tolist() == [[0, 0, 9, 9]] * 2
    # Bilinear: the middle of the new pixels lies at -1/4, 1/4, 3/4 and 5/4 of the old.
    assert resize(labels.astype(np.float32), (1, 4)).tolist() == [[0, 2.25, 6.75, 9]]
