"""Every route from an image file to pixels gives the same pixels, whatever the file."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.data.pairs import Pair, read_pair
from fcn_tf.exporting.decoding import pixels_or_reason
from fcn_tf.images.masks import Coding
from fcn_tf.images.read import Reading, open_pixels, read_rgb
from fcn_tf.inference.sending import encoded
from tests.images.files import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    exif,
    palette,
    png,
    samples,
    saved,
    tiff,
)

VALUE_RANGE = (1000, 50_000)
WINDOW = ((2, 3), (6, 5))  # fits the image upright and turned
TURNED = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: np.rot90(stored, 2),
    4: lambda stored: stored[::-1],
    5: lambda stored: np.rot90(stored, -1)[:, ::-1],
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, -1)[::-1],
    8: lambda stored: np.rot90(stored),
}
ORIENTATIONS = [None, *TURNED]


def grey(bits):
    return samples(1, bits).repeat(3, -1) * 255 // (2**bits - 1)


def from_range(values):
    """By integers: the nearest, halves up."""
    low, high = VALUE_RANGE
    inside = np.clip(values, low, high).astype(int) - low
    scaled = (2 * 255 * inside + high - low) // (2 * (high - low))
    return scaled.repeat(3, -1) if values.shape[-1] < 3 else scaled[..., :3]


def as_pillow(contents):
    return np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))


def written(kind, mode="RGB", **options):
    """Files that Pillow writes, whose pixels are what Pillow says."""

    def make(orientation):
        own = {"exif": b"Exif\0\0" + exif(orientation)} if orientation else {}
        return saved(kind, mode, **options, **own)

    return make, as_pillow(make(None))


FLOATS = samples(1, 16).astype(np.float32)
SHORTS = samples(1, 16).astype(np.uint16)
COLORS = samples(3, 8).astype(np.uint8)
# Files by kind: what makes one with an EXIF orientation, and the pixels that it stores.
KINDS = {
    **{f"{b}-bit.png": (lambda o, b=b: png(GREY, b, o), grey(b)) for b in (1, 2, 4, 8)},
    **{
        f"palette-{b}-bit.png": (
            lambda o, b=b: png(PALETTE, b, o),
            palette(b)[samples(1, b)[..., 0]],
        )
        for b in (1, 2, 4, 8)
    },
    "rgb.png": (lambda o: png(RGB, 8, o), samples(3, 8)),
    "rgba.png": (lambda o: png(RGBA, 8, o), samples(4, 8)[..., :3]),
    "grey-alpha.png": (lambda o: png(GREY_ALPHA, 8, o), samples(2, 8)[..., :1].repeat(3, -1)),
    "16-bit.png": (lambda o: png(GREY, 16, o), from_range(samples(1, 16))),
    "rgb-16-bit.png": (lambda o: png(RGB, 16, o), from_range(samples(3, 16))),
    "rgba-16-bit.png": (lambda o: png(RGBA, 16, o), from_range(samples(4, 16))),
    "16-bit-alpha.png": (
        lambda o: png(GREY_ALPHA, 16, o),
        from_range(samples(2, 16)[..., :1]),
    ),
    "rgb.jpg": written("JPEG", subsampling="4:4:4"),
    "420.jpg": written("JPEG", subsampling="4:2:0"),
    "grey.jpg": written("JPEG", "L"),
    "progressive.jpg": written("JPEG", progressive=True),
    "cmyk.jpg": written("JPEG", "CMYK"),
    "8-bit.tif": (lambda o: tiff(COLORS, 2, o or 1), COLORS),
    "16-bit.tif": (lambda o: tiff(SHORTS, 1, o or 1), from_range(samples(1, 16))),
    "signed.tif": (
        lambda o: tiff((SHORTS - 32768).astype(np.int16), 1, o or 1),
        from_range(samples(1, 16) - 32768),
    ),
    "32-bit.tif": (
        lambda o: tiff(SHORTS.astype(np.uint32) * 65537, 1, o or 1),
        from_range(samples(1, 16) * 65537),
    ),
    "float.tif": (lambda o: tiff(FLOATS, 1, o or 1), from_range(samples(1, 16))),
    "cmyk.tif": (
        lambda o: tiff(samples(4, 8).astype(np.uint8), 5, o or 1),
        as_pillow(tiff(samples(4, 8).astype(np.uint8), 5)),
    ),
    "rgb.webp": written("WEBP"),
    "lossless.webp": written("WEBP", "RGBA", lossless=True),
    "rgb.bmp": (lambda _: saved("BMP"), COLORS),
}


def stem(kind, orientation):
    return f"{Path(kind).stem}-{Path(kind).suffix[1:]}-{orientation or 'none'}"


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """The pixels of all files by route and file; the files lie in a folder with masks."""
    folder = tmp_path_factory.mktemp("routes")
    for part in ("images", "masks"):
        for split in ("train", "val"):
            (folder / part / split).mkdir(parents=True)
    for kind, (make, stored) in KINDS.items():
        for orientation in ORIENTATIONS:
            name = stem(kind, orientation)
            turned = TURNED[orientation or 1] if "bmp" not in kind else TURNED[1]
            shown = turned(stored)
            split = "val" if orientation is None else "train"
            (folder / f"images/{split}/{name}{Path(kind).suffix}").write_bytes(make(orientation))
            mask = np.zeros(shown.shape[:2], np.uint8)
            mask[0, 0] = 1
            Image.fromarray(mask).save(folder / f"masks/{split}/{name}.png")
    (folder / "classes.txt").write_text("a\nb\n")
    files = sorted((folder / "images").rglob("*.*"))

    def each(read):
        return {path.stem: read(path) for path in files}

    found = {
        "rule": each(lambda path: read_rgb(path, value_range=VALUE_RANGE)),
        "predict": each(lambda path: open_pixels(path, value_range=VALUE_RANGE)[:, :]),
        "start check": each(
            lambda path: read_pair(
                Pair(path, folder / "masks" / path.parent.name / f"{path.stem}.png"),
                Coding(2, ()),
                Reading("apply", VALUE_RANGE),
            )[0]
        ),
    }
    served = tf.function(
        lambda contents: pixels_or_reason(contents, 1000)[0], [tf.TensorSpec((), tf.string)]
    )
    found["request"] = each(lambda path: served(encoded(path, VALUE_RANGE)).numpy())
    data = DataConfig(data_dir=str(folder), value_range=VALUE_RANGE)
    source = open_source(Config(data=data).data)

    def window_of(record):
        start, size = tf.constant(WINDOW[0]), tf.constant(WINDOW[1])
        return {"size": source.image_size(record), **source.decode(record, (start, size))}

    found |= {"evaluate": {}, "window": {}, "size": {}}
    for split in ("train", "val"):
        for example in whole_images(source, split).as_numpy_iterator():
            found["evaluate"][Path(example["file_name"].decode()).stem] = example["image"]
        for example in source.records(split).map(window_of).as_numpy_iterator():
            name = Path(example["file_name"].decode()).stem
            found["window"][name], found["size"][name] = example["image"], example["size"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_gives_the_pixels_that_viewers_show(kind, routes):
    stored = KINDS[kind][1]
    (top, left), (height, width) = WINDOW
    for orientation in ORIENTATIONS:
        name = stem(kind, orientation)
        shown = TURNED[orientation or 1](stored) if "bmp" not in kind else stored
        for route in ("rule", "predict", "start check", "request", "evaluate"):
            assert routes[route][name].dtype == np.uint8
            np.testing.assert_array_equal(routes[route][name], shown, f"{route}, {orientation}")
        part = shown[top : top + height, left : left + width]
        np.testing.assert_array_equal(routes["window"][name], part, f"window, {orientation}")
        assert routes["size"][name].tolist() == list(shown.shape[:2])
