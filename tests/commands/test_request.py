"""Each option of `fcn-tf request` does what its help says, by a server made by hand."""

import contextlib
import io
import os
import threading

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_tf.classes import voc_palette
from fcn_tf.commands.request import UNDESCRIBED, RequestOptions, request
from fcn_tf.config.export_record import ExportRecord
from fcn_tf.errors import InputError, RunError
from fcn_tf.images.draw import overlay
from tests.extras import needs_extra
from tests.networks import random_images

URL = "http://host:8501/v1/models/scenes"
LABELS = random_images(20, 30, seed=9) % 3


class Server:
    """Answers each image with `labels`, and remembers what it was asked."""

    def __init__(self):
        self.description = ExportRecord()
        self.labels = LABELS
        self.limits = []
        self.sent = []

    def connection(self, url):
        @contextlib.contextmanager
        def connect(*limits):
            self.limits.append((url, *limits))
            yield self

        return connect

    def label_png(self, contents):
        self.sent.append(contents)
        png = io.BytesIO()
        Image.fromarray(self.labels).save(png, "png")
        return png.getvalue()


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr("fcn_tf.inference.client.connection", server.connection)
    return server


@pytest.fixture
def ask(server, tmp_path):
    """A function of options; an image is in `in`."""
    (tmp_path / "in").mkdir()
    Image.fromarray(random_images(20, 30, 3)).save(tmp_path / "in/a.png")

    def call(**options):
        options = {"out": tmp_path / "out", **options}
        request(RequestOptions(url=URL, images=(str(tmp_path / "in"),), **options))

    return call


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_limits_reach_the_connection(server, ask):
    ask()
    ask(concurrency=3, timeout_seconds=2.5)
    assert server.limits == [(URL, 8, 60.0), (URL, 3, 2.5)]


def test_images_are_sent_once_unless_all_are_asked_for(server, ask, tmp_path):
    contents = (tmp_path / "in/a.png").read_bytes()
    ask(out=tmp_path / "in/out")
    assert server.sent == [contents]
    ask(out=tmp_path / "in/out")  # the results below `in` are no images
    assert server.sent == [contents]
    ask(out=tmp_path / "in/out", overwrite=True)
    assert server.sent == [contents] * 2


def test_the_formats_and_the_opacity(ask, tmp_path):
    ask(format="overlay", opacity=0.25)
    assert os.listdir(tmp_path / "out") == ["a.png.overlay.png"]
    image, colors = pixels(tmp_path / "in/a.png"), voc_palette()[LABELS]
    drawn = pixels(tmp_path / "out/a.png.overlay.png")
    assert np.abs(drawn[:20, : image.shape[1]] - (0.75 * image + 0.25 * colors)).max() <= 1
    # Without names the legend has numbers.
    expected = overlay(image, LABELS, ("0", "1", "2"), voc_palette(), opacity=0.25)
    np.testing.assert_array_equal(drawn, np.asarray(expected))
    ask(format="png")
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png.png"), LABELS)


def test_the_names_are_those_of_the_file_and_labels_have_to_be_among_them(
    server, ask, tmp_path, capsys
):
    names = tmp_path / "labels.txt"
    names.write_text("sky\nsea\nsand\n")
    ask(class_names=str(names))
    image = pixels(tmp_path / "in/a.png")
    expected = overlay(image, LABELS, ("sky", "sea", "sand"), voc_palette())
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png.overlay.png"), expected)
    server.labels = LABELS + 1
    with pytest.raises(RunError, match="1 of 1 images failed"):
        ask(class_names=str(names), overwrite=True)
    assert "the answer has label 3, but 3 classes are named" in capsys.readouterr().err
    names.write_text("".join(f"{number}\n" for number in range(255)))
    server.labels = LABELS + 252
    ask(class_names=str(names), overwrite=True)
    names.write_text("".join(f"{number}\n" for number in range(256)))
    with pytest.raises(InputError, match=r"labels\.txt=256: it must be between 2 and 255"):
        ask(class_names=str(names), overwrite=True)
    server.labels = LABELS + 253
    with pytest.raises(RunError, match="1 of 1 images failed"):
        ask(overwrite=True)
    assert "the answer has label 255" in capsys.readouterr().err  # which means not labelled


COLORS = [[10, 20, 30], [40, 150, 60], [250, 140, 230]]
CLASSES = ("sky", "sea", "sand")


def test_names_and_colours_are_those_of_the_model(server, ask, tmp_path, capsys):
    server.description = ExportRecord(classes=CLASSES, palette=COLORS)
    ask()
    image, written = pixels(tmp_path / "in/a.png"), tmp_path / "out/a.png.overlay.png"
    np.testing.assert_array_equal(pixels(written), overlay(image, LABELS, CLASSES, COLORS))
    with Image.open(tmp_path / "out/a.png.png") as labels:
        assert labels.getpalette()[:9] == np.ravel(COLORS).tolist()
    server.labels = LABELS + 1
    with pytest.raises(RunError, match="1 of 1 images failed"):
        ask(overwrite=True)
    said = capsys.readouterr()
    assert "the answer has label 3, but 3 classes are named" in said.err
    assert UNDESCRIBED not in said.out
    # Other names may be given, for as many classes.
    server.labels = LABELS
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    ask(class_names=str(tmp_path / "names.txt"), overwrite=True)
    np.testing.assert_array_equal(pixels(written), overlay(image, LABELS, ("a", "b", "c"), COLORS))
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"names\.txt names 2 classes, and the model has 3"):
        ask(class_names=str(tmp_path / "names.txt"), overwrite=True)
    # A model of an older version says nothing.
    server.description = None
    ask(overwrite=True)
    assert UNDESCRIBED in capsys.readouterr().out
    expected = overlay(image, LABELS, ("0", "1", "2"), voc_palette())
    np.testing.assert_array_equal(pixels(written), expected)


def test_a_photo_that_is_too_large_goes_in_tiles_or_smaller_and_that_is_said(
    server, ask, tmp_path, capsys
):
    Image.fromarray(random_images(100, 200, 3)).save(tmp_path / "in/a.png")

    def label_png(contents):
        with Image.open(io.BytesIO(contents)) as sent:
            server.labels = np.asarray(sent)[..., 0] % 3
        return Server.label_png(server, contents)

    server.label_png = label_png
    server.description = ExportRecord(max_pixels=9216, margin_px=32)
    ask()
    expected = pixels(tmp_path / "in/a.png")[..., 0] % 3
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png.png"), expected)
    assert "Above the 9216 pixels that the model takes at once: a.png; sent in tiles with a " in (
        capsys.readouterr().out
    )
    server.description = ExportRecord(max_pixels=9216)
    ask(overwrite=True)
    assert "a.png; sent smaller, and their labels were enlarged" in capsys.readouterr().out


def test_an_answer_of_another_size_is_refused(server, ask, tmp_path, capsys):
    server.labels = LABELS[:, :29]
    with pytest.raises(RunError, match="1 of 1 images failed"):
        ask()
    assert "a.png: the answer has another size than the image" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_so_many_requests_at_once(server, ask, tmp_path):
    """Three images wait for one another."""
    for name in "bcdef":
        (tmp_path / f"in/{name}.png").write_bytes((tmp_path / "in/a.png").read_bytes())
    together, answer = threading.Barrier(3, timeout=30), server.label_png

    def label_png(contents):
        together.wait()
        return answer(contents)

    server.label_png = label_png
    ask(concurrency=3, format="png")
    assert len(os.listdir(tmp_path / "out")) == 6


def test_a_photo_is_turned_before_it_is_sent(server, ask, tmp_path):
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 8
    Image.fromarray(random_images(30, 20, 3)).save(tmp_path / "in/a.png", exif=turned)
    ask(opacity=0.0)
    shown = np.rot90(random_images(30, 20, 3))
    with Image.open(io.BytesIO(server.sent[0])) as sent:
        np.testing.assert_array_equal(np.asarray(sent), shown)
        assert sent.getexif().get(ExifTags.Base.Orientation, 1) == 1
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png.overlay.png")[:20, :30], shown)


def test_deep_images_are_sent_with_the_range_that_is_given(server, ask, tmp_path, capsys):
    deep = np.tile(np.array([[0, 500, 1000]], np.uint16), (20, 10))
    Image.fromarray(deep).save(tmp_path / "in/a.png")
    ask(value_range=(0, 750))
    expected = np.tile(np.array([[0, 170, 255]], np.uint8), (20, 10))
    with Image.open(io.BytesIO(server.sent[0])) as sent:
        np.testing.assert_array_equal(np.asarray(sent), expected[..., None].repeat(3, -1))
    assert "1 image has values outside of it" in capsys.readouterr().out
    server.description = ExportRecord(value_range=(0.0, 750.0))
    ask(overwrite=True)
    assert server.sent.pop() == server.sent[0]
    assert "1 image has values outside of it" in capsys.readouterr().out
    server.description = ExportRecord()
    with pytest.raises(RunError):
        ask(overwrite=True)
    assert "more than 8 bits a channel" in capsys.readouterr().err
    assert len(server.sent) == 1
    with pytest.raises(InputError, match="value_range"):
        ask(value_range=(5, 5))


@needs_extra("maps", "rasterio")
def test_files_are_sent_with_the_bands_that_are_given(server, ask, tmp_path):
    image = pixels(tmp_path / "in/a.png")
    ask(bands=(3, 2, 1), opacity=0.0)
    with Image.open(io.BytesIO(server.sent[0])) as sent:
        np.testing.assert_array_equal(np.asarray(sent), image[..., ::-1])
    drawn = pixels(tmp_path / "out/a.png.overlay.png")
    np.testing.assert_array_equal(drawn[:20, :30], image[..., ::-1])
    with pytest.raises(InputError, match="bands"):
        ask(bands=(0, 2, 1))
