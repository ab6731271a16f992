"""Each kind of mask file, with values set by hand; Pillow and graphs give the same labels."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.classes import VOID, voc_palette
from fcn_tf.config.mask_values import MaskValues
from fcn_tf.data.faults import data_errors_as
from fcn_tf.errors import InputError
from fcn_tf.images.coding import Coding
from fcn_tf.images.mask_graph import decode_mask
from fcn_tf.images.mask_pixels import PAGES, alpha_that_is_dropped, mask_pixels
from fcn_tf.images.masks import read_mask, values_in
from fcn_tf.images.read import open_image

NAMES = ("background", "disc", "square")
RED, CYAN = (250, 50, 83), (51, 221, 255)
COLORS = ((0, 0, 0), RED, CYAN)
PLAIN = Coding.of(NAMES)  # no colours of its own
COLORED = Coding.of(NAMES, COLORS)
BINARY = Coding.of(NAMES[:2], mask_values=MaskValues.of({0: "background", 255: "disc"}))
LABELS = np.array([[0, 1, 2, 0], [2, 2, 1, 1]], np.uint8)


def written(picture, kind="PNG", **options):
    content = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(np.array(picture))
    picture.save(content, kind, **options)
    return content.getvalue()


def grey_png(values, bits):
    """A greyscale PNG of few bits a pixel, which Pillow does not write."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = b""
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", len(values[0]), len(values), bits, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def tiff_of_4_bits(values):
    """A TIFF of two pixels a byte, whose bits are in reverse order; Pillow does not write it."""
    rows = b"".join(
        bytes(int(f"{b:04b}{a:04b}"[::-1], 2) for a, b in zip(row[1::2], row[::2], strict=True))
        for row in values
    )
    height, width = np.shape(values)
    offset = 8
    tags = {256: width, 257: height, 258: 4, 259: 1, 262: 1, 266: 2, 273: offset, 277: 1}
    tags |= {278: height, 279: len(rows)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, offset + len(rows)) + rows + directory


def palette_png(indices, palette, **options):
    picture = Image.fromarray(np.array(indices, np.uint8)).convert("P")
    picture.putpalette(np.array(palette, np.uint8).tobytes())
    return written(picture, **options)


def in_color(labels, colors=COLORS):
    return Image.fromarray(np.array(colors, np.uint8)[np.array(labels)])


def with_alpha(picture, alpha):
    picture = picture.convert("RGBA" if picture.mode == "RGB" else "LA")
    picture.putalpha(Image.fromarray(np.array(alpha, np.uint8)))
    return picture


def triple(values):
    return Image.fromarray(np.array(values, np.uint8)).convert("RGB")


@cache
def graph_of(coding):
    """A graph from the bytes of a mask and its name to its labels."""
    text = tf.TensorSpec((), tf.string)
    return tf.function(
        lambda contents, name: decode_mask(contents, coding, name), input_signature=(text, text)
    )


def both(contents, coding, tmp_path):
    """The labels of a file as nested lists, by Pillow, which a graph must give too."""
    path = tmp_path / "mask"
    path.write_bytes(contents)
    by_graph = graph_of(coding)(contents, str(path)).numpy()
    by_pillow = read_mask(path, coding)
    np.testing.assert_array_equal(by_graph, by_pillow)
    assert by_pillow.dtype == np.uint8
    return by_pillow[..., 0].tolist()


def refusal(contents, coding, tmp_path):
    """What both say of a file that they refuse, without its name."""
    path = tmp_path / "mask"
    path.write_bytes(contents)
    with pytest.raises(InputError) as refused:
        read_mask(path, coding)
    with pytest.raises(InputError) as in_graph, data_errors_as(InputError):
        graph_of(coding)(contents, str(path))
    assert str(in_graph.value) == str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path}: ")


AS_THEY_ARE = {
    "grey": written(LABELS),
    "16 bits": written(LABELS.astype(np.uint16)),
    "1 bit": grey_png(LABELS % 2, 1),
    "2 bits": grey_png(LABELS, 2),
    "4 bits": grey_png(LABELS, 4),
    "palette": palette_png(LABELS, [(9, 8, 7), (6, 5, 4), (3, 2, 1)]),
    "index in three channels": written(triple(LABELS)),
    "opaque": written(with_alpha(triple(LABELS), np.full((2, 4), 255))),
    "grey and opaque": written(with_alpha(Image.fromarray(LABELS), np.full((2, 4), 255))),
    "hard alpha": written(with_alpha(triple(LABELS), 255 * (LABELS > 0))),
    "TIFF": written(LABELS, "TIFF"),
    "TIFF of 16 bits": written(LABELS.astype(np.uint16), "TIFF", compression="tiff_lzw"),
    "TIFF of 32 bits": written(LABELS.astype(np.int32), "TIFF"),
    "BMP": written(LABELS, "BMP"),
    "GIF": written(LABELS, "GIF"),
    "lossless WebP": written(triple(LABELS), "WEBP", lossless=True),
    "TIFF of 4 bits, in the other order of bits": tiff_of_4_bits(LABELS),
}


@pytest.mark.parametrize("kind", AS_THEY_ARE)
def test_an_index_is_a_label_in_every_kind_of_file(kind, tmp_path):
    expected = LABELS % 2 if kind == "1 bit" else LABELS
    for coding in (PLAIN, COLORED):
        assert both(AS_THEY_ARE[kind], coding, tmp_path) == expected.tolist()


IN_COLOR = {
    "RGB": written(in_color(LABELS)),
    "hard alpha": written(with_alpha(in_color(LABELS), 255 * (LABELS > 0))),
    "GIF, its palette in another order": palette_png(2 - LABELS, COLORS[::-1], kind="GIF"),
    "TIFF": written(in_color(LABELS), "TIFF"),
    "BMP": written(in_color(LABELS), "BMP"),
    "lossless WebP": written(in_color(LABELS), "WEBP", lossless=True),
    # Its indices alone would be no classes.
    "palette numbered anew": palette_png(LABELS + 7, [(0, 0, 0)] * 7 + list(COLORS)),
}


@pytest.mark.parametrize("kind", IN_COLOR)
def test_a_colour_is_that_of_its_class_in_every_kind_of_file(kind, tmp_path):
    assert both(IN_COLOR[kind], COLORED, tmp_path) == LABELS.tolist()


def test_vocs_colours_stand_in_for_those_of_the_data_set(tmp_path):
    picture = in_color([[0, 1, 2, 3]], [*voc_palette(3), (224, 224, 192)])
    assert both(written(picture), PLAIN, tmp_path) == [[0, 1, 2, VOID]]
    assert both(written(picture), Coding.of(NAMES), tmp_path) == [[0, 1, 2, VOID]]


MAPPED = {
    # (mapping, values in the mask, labels)
    "binary": ({0: "background", 255: "disc"}, [0, 255], [0, 1]),
    "binary, the classes in the other order": ({255: "disc", 0: "background"}, [0, 255], [0, 1]),
    "from 1 on": ({1: "background", 2: "disc", 3: "square"}, [1, 2, 3, 255], [0, 1, 2, VOID]),
    "0 is not labelled": ({0: "ignore", 1: "background", 2: "disc"}, [0, 1, 2], [VOID, 0, 1]),
    "two values of a class": ({0: "background", 7: "disc", 9: "disc"}, [9, 0, 7], [1, 0, 1]),
    "sparse": ({7: "background", 26: "square", 3: "ignore"}, [7, 26, 3], [0, 2, VOID]),
}


@pytest.mark.parametrize("kind", MAPPED)
def test_a_value_means_what_the_mapping_says(kind, tmp_path):
    mapping, values, labels = MAPPED[kind]
    coding = Coding.of(NAMES, mask_values=MaskValues.of(mapping))
    row = np.array([values], np.uint8)
    palette = np.arange(768) * 7 % 256
    for contents in (
        written(row),
        written(row.astype(np.uint16)),
        written(triple(row)),
        palette_png(row, palette.reshape(-1, 3)),
    ):
        assert both(contents, coding, tmp_path) == [labels]


def test_a_value_above_255_can_be_mapped(tmp_path):
    coding = Coding.of(NAMES, mask_values=MaskValues.of({0: "background", 26001: "disc"}))
    row = np.array([[0, 26001, 255]], np.uint16)
    assert both(written(row), coding, tmp_path) == [[0, 1, VOID]]
    assert refusal(written(row + 1), coding, tmp_path).startswith("value 1 in 1 pixel, value 256")


def test_255_and_the_ignored_value_are_not_labelled_beside_a_mapping(tmp_path):
    mapping = MaskValues.of({1: "background", 2: "disc"})
    coding = Coding.of(NAMES, mask_values=mapping, ignore_label=9)
    assert both(written(np.array([[1, 2, 9, 255]], np.uint8)), coding, tmp_path) == [
        [0, 1, VOID, VOID]
    ]


def test_a_colour_means_what_the_mapping_says(tmp_path):
    mapping = MaskValues.of({"0,0,0": "background", RED: "disc", "#33ddff": "ignore"})
    coding = Coding.of(NAMES, COLORS, mapping)
    expected = [[0, 1, VOID, 0], [VOID, VOID, 1, 1]]
    assert both(written(in_color(LABELS)), coding, tmp_path) == expected
    # A palette is read by its colours then, in whichever order.
    swapped = [CYAN, RED, (0, 0, 0)]
    assert both(palette_png(2 - LABELS, swapped), coding, tmp_path) == expected
    said = refusal(written(in_color([[0, 1]], [(0, 0, 0), (1, 2, 3)])), coding, tmp_path)
    assert said == (
        "colour (1, 2, 3) in 1 pixel; data.mask_values has no such colour. If they are not "
        """labelled: --data.mask_values '{"0,0,0": background, "250,50,83": disc, """
        """"51,221,255": ignore, "1,2,3": ignore}'"""
    )


def test_a_grey_value_is_that_of_a_grey_colour_in_the_mapping(tmp_path):
    coding = Coding.of(
        NAMES[:2], mask_values=MaskValues.of({"#000000": "background", "#ffffff": "disc"})
    )
    row = np.array([[0, 255]], np.uint8)
    for contents in (written(row), written(triple(row)), written(Image.fromarray(row > 0))):
        assert both(contents, coding, tmp_path) == [[0, 1]]


def test_few_bits_are_read_as_they_are_shown_where_the_mapping_says_so(tmp_path):
    assert both(grey_png([[0, 1]], 1), BINARY, tmp_path) == [[0, 1]]
    thirds = Coding.of(NAMES, mask_values=MaskValues.of({0: NAMES[0], 85: NAMES[1], 170: NAMES[2]}))
    assert both(grey_png([[0, 1, 2]], 2), thirds, tmp_path) == [[0, 1, 2]]


def test_equal_channels_are_colours_where_a_class_is_grey(tmp_path):
    paper = Coding.of(("paper", "ink", "stamp"), [(255, 255, 255), (0, 0, 0), RED])
    assert both(written(triple([[0, 255]])), paper, tmp_path) == [[1, 0]]
    assert refusal(written(triple([[0, 2]])), paper, tmp_path).startswith("colour (2, 2, 2) in 1")


def test_a_palette_that_says_two_things_is_refused(tmp_path):
    swapped = palette_png([[0, 1]], [RED, (0, 0, 0)])
    said = refusal(swapped, COLORED, tmp_path)
    assert said.startswith(
        "index 0 of its palette means background, but its colour there, (250, 50"
    )
    assert "means disc" in said
    shrunk = palette_png([[0, 1]], [(0, 0, 0), (2, 2, 2)])
    assert "index 1 of its palette means disc" in refusal(shrunk, PLAIN, tmp_path)
    # Black and white are no such sign: 255 is no class.
    assert both(palette_png([[0, 1]], [(0, 0, 0), (255, 255, 255)]), PLAIN, tmp_path) == [[0, 1]]
    assert both(palette_png([[0, 1]], [(0, 0, 0), (255, 255, 255)]), BINARY, tmp_path) == [[0, 1]]


REFUSED = {
    "JPEG": (written(triple(LABELS), "JPEG"), "a mask in a lossy format (JPEG): its values"),
    "lossy WebP": (written(triple(LABELS), "WEBP"), "a mask in a lossy format (lossy WebP)"),
    "alpha alone": (
        written(with_alpha(triple(np.zeros((1, 2))), [[0, 255]])),
        "pixels of one colour differ in their transparency",
    ),
    "PGM": (written(LABELS, "PPM"), "masks are read from PNG, TIFF, BMP, GIF and lossless WebP"),
    "white is 0": (written(LABELS, "TIFF", tiffinfo={262: 0}), "white is 0 in it; a mask holds"),
    "float": (written(np.ones((1, 2), np.float32), "TIFF"), "mode F;32F; a mask holds class"),
    "below 0": (written(np.full((1, 2), -1, np.int32), "TIFF"), "value -1; masks hold values"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_mask_is_refused_with_the_reason(kind, tmp_path):
    contents, message = REFUSED[kind]
    assert refusal(contents, PLAIN, tmp_path).startswith(message)


def test_every_value_of_no_class_is_named_with_its_pixels(tmp_path):
    row = np.array([[0, 7, 7, 7, 9, 9, 3, 255]], np.uint8)
    said = refusal(written(row), PLAIN, tmp_path)
    assert said == (
        "value 7 in 3 pixels, value 9 in 2 pixels, value 3 in 1 pixel; allowed are 0..2 (3 "
        "classes) and 255 for what is not labelled (--data.ignore_label). If they are not "
        "labelled: --data.mask_values '{0: background, 1: disc, 2: square, 7: ignore, 9: ignore, "
        "3: ignore}'"
    )
    many = np.arange(40, dtype=np.uint8)[None]
    said = refusal(written(many), PLAIN, tmp_path)
    assert "value 12 in 1 pixel, 27 more; allowed are 0..2" in said
    assert said.endswith("data.mask_values can say what each value means; check-data counts them.")
    said = refusal(written(np.array([[7]], np.uint8)), BINARY, tmp_path)
    assert said == (
        "value 7 in 1 pixel; the mask values that mean something are 0, 255. If they are not "
        "labelled: --data.mask_values '{0: background, 255: disc, 7: ignore}'"
    )


def test_values_that_suggest_a_mapping_are_answered_with_it(tmp_path):
    said = refusal(written(np.array([[1, 2, 3]], np.uint8)), PLAIN, tmp_path)
    assert "allowed are 0..2" in said
    assert (
        "Perhaps they mean --data.mask_values '{1: background, 2: disc, 3: square}'; fcn-tf check"
    ) in said


def test_values_smeared_by_a_jpeg_are_told_from_regions_of_no_class(tmp_path):
    disc = np.hypot(*np.mgrid[-24:24, -24:24]) < 15
    smeared = Image.open(io.BytesIO(written(np.where(disc, 20, 0).astype(np.uint8), "JPEG")))
    coding = Coding.of([str(number) for number in range(21)])
    assert "the mask was saved as JPEG, or resized" in refusal(written(smeared), coding, tmp_path)
    stripes = np.repeat(np.array([[30, 40, 50]], np.uint8), 16, 1).repeat(8, 0)
    assert "JPEG" not in refusal(written(stripes), coding, tmp_path)


def test_a_large_mask_in_colour_is_read_in_bands(tmp_path, monkeypatch):
    monkeypatch.setattr("fcn_tf.images.mask_pixels.BAND_PIXELS", 4 * 300)
    rows = np.random.default_rng(0).integers(0, 256, (600, 300), dtype=np.uint16)
    many = [(number % 16, number // 16, 3) for number in range(600)]
    mapping = MaskValues.of({color: NAMES[number % 2] for number, color in enumerate(many)})
    coding = Coding.of(NAMES[:2], mask_values=mapping)
    rows[300:] += 300  # more than 256 colours, of which some come late
    path = tmp_path / "mask.png"
    path.write_bytes(written(in_color(rows, many)))
    np.testing.assert_array_equal(read_mask(path, coding)[..., 0], rows % 2)


def test_values_in_a_mask_are_counted(tmp_path):
    path = tmp_path / "mask.png"
    for contents, expected in (
        (written(triple([[0, 255, 255]])), {0: 1, 255: 2}),
        (written(np.array([[7, 7, 300]], np.uint16)), {7: 2, 300: 1}),
        (written(in_color([[0, 1, 1]])), {0: 1, RED: 2}),
    ):
        path.write_bytes(contents)
        assert values_in(open_image(path), path) == expected


def test_a_mask_of_several_pages_is_refused():
    picture = Image.fromarray(LABELS)
    picture.info[PAGES] = 1
    assert mask_pixels(picture, "mask").used == [0, 1, 2]
    picture.info[PAGES] = 2
    with pytest.raises(InputError, match="mask: it has several pages or frames"):
        mask_pixels(picture, "mask")


def test_an_alpha_channel_that_is_dropped_is_said():
    for alpha, said in (([[255, 255]], False), ([[0, 255]], True)):
        for picture in (triple([[0, 1]]), Image.fromarray(np.array([[0, 1]], np.uint8))):
            assert bool(alpha_that_is_dropped(with_alpha(picture, alpha))) is said
    assert alpha_that_is_dropped(triple([[0, 1]])) is None


def test_a_mapping_names_classes_that_are_there():
    for names, mapping, message in (
        (
            NAMES,
            {0: "background", 1: "disk"},
            "names disk; the classes are background, disc, square",
        ),
        (("road", "ignore"), {0: "road", 1: "ignore"}, "A class is called ignore"),
    ):
        with pytest.raises(InputError, match=message):
            Coding.of(names, mask_values=MaskValues.of(mapping))
