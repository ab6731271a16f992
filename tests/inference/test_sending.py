"""Images above what a server's model takes, by a network made by hand that looks 32 px around."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter

from fcn_tf.errors import RunError
from fcn_tf.images.read import resize
from fcn_tf.inference.sending import Sender
from tests.networks import random_images

REACH_PX = 32
NUM_CLASSES = 200


def network(pixels):
    """The label of a pixel is the lightest red, up to 199, within 32 px of it."""
    brightest = maximum_filter(np.minimum(pixels[..., 0], 199), 2 * REACH_PX + 1, mode="constant")
    return brightest.astype(np.uint8)


class Model:
    """Labels PNGs, and remembers their sizes."""

    def __init__(self):
        self.sizes_px = []

    def label_png(self, encoded):
        with Image.open(io.BytesIO(encoded)) as image:
            pixels = np.asarray(image)
        self.sizes_px.append(pixels.shape[:2])
        png = io.BytesIO()
        Image.fromarray(network(pixels)).save(png, "png")
        return png.getvalue()


def sent(path, **limits):
    """The labels of an image, the sizes that were sent for it, and the line on it."""
    model = Model()
    sender = Sender(label_png=model.label_png, num_classes=NUM_CLASSES, **limits)
    pixels, labels = sender(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels, image)
    return labels, model.sizes_px, sender.said_of_large()


@pytest.fixture
def photo(tmp_path):
    """Dark, with light points far from one another: a margin that is missing shows."""
    pixels = random_images(300, 410, 3) // 4
    rows, columns = np.mgrid[20:300:70, 20:410:70]
    pixels[rows, columns, 0] = 100 + np.arange(rows.size).reshape(rows.shape)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png", pixels


def test_an_image_that_the_model_takes_is_sent_whole(photo):
    path, pixels = photo
    for limits in ({}, {"max_pixels": 300 * 410}, {"max_pixels": 300 * 410, "margin_px": 32}):
        labels, sizes_px, line = sent(path, **limits)
        np.testing.assert_array_equal(labels, network(pixels))
        assert sizes_px == [(300, 410)]
        assert line is None


@pytest.mark.parametrize("max_pixels", [300 * 410 - 1, 160 * 160, 96 * 96])
def test_the_labels_of_tiles_are_those_of_the_whole_image(photo, max_pixels):
    path, pixels = photo
    labels, sizes_px, line = sent(path, max_pixels=max_pixels, margin_px=REACH_PX)
    np.testing.assert_array_equal(labels, network(pixels))
    assert len(sizes_px) > 1
    assert max(math.prod(size_px) for size_px in sizes_px) <= max_pixels
    assert line == (
        f"Above the {max_pixels} pixels that the model takes at once: photo.png; sent in tiles "
        "with a margin of 32 px, whose labels are those of the whole image."
    )


@pytest.mark.parametrize("limits", [{"max_pixels": 5000}, {"max_pixels": 9215, "margin_px": 32}])
def test_without_room_for_a_tile_the_image_is_sent_smaller(photo, limits):
    path, pixels = photo
    labels, (size_px,), line = sent(path, **limits)
    assert 0.95 * limits["max_pixels"] < math.prod(size_px) <= limits["max_pixels"]
    assert size_px[1] / size_px[0] == pytest.approx(410 / 300, rel=0.02)
    answered = network(resize(pixels, size_px))
    np.testing.assert_array_equal(labels, resize(answered, (300, 410), Image.Resampling.NEAREST))
    assert "photo.png; sent smaller, and their labels were enlarged" in line
    assert "--saved_model.max_pixels" in line


@pytest.mark.parametrize("shape", [(1, 500, 3), (500, 1, 3), (3, 300, 3)])
def test_a_narrow_image_is_sent_smaller_too(tmp_path, shape):
    Image.fromarray(random_images(*shape)).save(tmp_path / "a.png")
    labels, (size_px,), _ = sent(tmp_path / "a.png", max_pixels=100)
    assert labels.shape == shape[:2]
    assert 90 <= math.prod(size_px) <= 100


def test_six_large_images_are_named_in_part(photo):
    path, _ = photo
    sender = Sender(label_png=Model().label_png, num_classes=NUM_CLASSES, max_pixels=100)
    for number in range(6):
        sender(path.rename(path.with_name(f"{number}.png")))
        path = path.with_name(f"{number}.png")
    assert ": 0.png, 1.png, 2.png, 3.png, 4.png, 1 more; sent smaller" in sender.said_of_large()


def test_the_answer_to_a_tile_has_its_size(photo):
    path, _ = photo
    png = Model().label_png(path.read_bytes())
    sender = Sender(label_png=lambda sent: png, num_classes=NUM_CLASSES, max_pixels=5000)
    with pytest.raises(RunError, match="another size"):
        sender(path)
