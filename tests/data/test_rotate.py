"""Turned crops against where each of their pixels lies in the image."""

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.data.augment import Crop, augment, augment_window
from fcn_tf.data.rotate import draw_turn, turned
from fcn_tf.images.graph import cut
from tests.data.test_augment import draws, telling_pair


def telling_places(height, width):
    """An image whose red and green are its rows and columns, and a mask of their sums."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)
    return image, ((rows + columns) % 200)[..., None].astype(np.uint8)


def crop_of(start, window, scaled=None, before=(0, 0), after=(0, 0)):
    numbers = (start, window, scaled or window, before, after)
    start, window, *others = (tf.constant(each, tf.int32) for each in numbers)
    return Crop((start, window), *others)


def results(image, mask, crop, radians):
    turn = turned(tf.constant(image.shape[:2]), crop, tf.constant(radians, tf.float32))
    parts = cut(image, turn.window), cut(mask, turn.window)
    return turn.image(parts[0]).numpy(), turn.mask(parts[1]).numpy(), turn


def places_by_hand(crop, radians):
    """The row and the column in the image of each pixel of the result, (h, w, 2).

    A place is a complex number, column + row * 1j; rows count downwards.
    """
    (start, window), scaled, before, after = crop
    height, width = (before + scaled + after).numpy()
    rows, columns = np.mgrid[:height, :width] + 0.5
    middle = np.array(scaled[::-1]) / 2 @ [1, 1j]
    place = columns - before.numpy()[1] + 1j * (rows - before.numpy()[0]) - middle
    place = middle + place * np.exp(1j * radians)
    of_window = np.stack([place.imag, place.real], -1)
    return np.array(start) + of_window * np.array(window) / np.array(scaled) - 0.5


CROPS = {
    "a part": crop_of((30, 40), (40, 60)),
    "a part, scaled": crop_of((30, 40), (40, 60), scaled=(60, 90)),
    "the border": crop_of((0, 50), (40, 60)),
    "padded": crop_of((0, 0), (100, 120), scaled=(50, 60), before=(3, 0), after=(7, 11)),
}


@pytest.mark.parametrize("radians", [0.0, 0.3, -2.5])
@pytest.mark.parametrize("case", CROPS)
def test_each_pixel_is_where_it_should_be(case, radians):
    image, mask = telling_places(100, 120)
    found, labels, _ = results(image, mask, CROPS[case], radians)
    places = places_by_hand(CROPS[case], radians)
    assert found.shape[:2] == labels.shape[:2] == places.shape[:2]
    last = np.array(image.shape[:2]) - 1
    inside = ((places >= 0) & (places <= last)).all(-1)
    assert inside.mean() > 0.2
    # Interpolation between neighbours gives the place itself, but for the rounding.
    assert np.abs(found[inside][:, :2] - places[inside]).max() < 0.51
    # A place half way between two pixels may go to either.
    clear = inside & (np.abs(places % 1 - 0.5) > 1e-3).all(-1)
    assert clear.any() or case == "padded"
    np.testing.assert_array_equal(labels[clear][:, 0], np.round(places[clear]).sum(-1) % 200)
    outside = ((places < -1) | (places > last + 1)).any(-1)
    assert (labels[outside] == VOID).all()
    np.testing.assert_array_equal(found[outside], np.broadcast_to(MEAN_RGB, found[outside].shape))
    if case.startswith("a part"):
        assert inside.all()


def test_a_quarter_turn_is_exact():
    """Anticlockwise, as numpy turns it."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    mask = random.integers(0, 5, (9, 9, 1), dtype=np.uint8)
    whole = crop_of((0, 0), (9, 9))
    for quarters in (1, 2, 3):
        found, labels, _ = results(image, mask, whole, quarters * np.pi / 2)
        assert np.abs(found.astype(int) - np.rot90(image, quarters)).max() <= 1
        np.testing.assert_array_equal(labels, np.rot90(mask, quarters))


def test_no_more_is_read_than_the_corners_need():
    image, mask = telling_places(250, 250)
    crop = crop_of((100, 120), (20, 30))
    found, labels, turn = results(image, mask, crop, 0.7)
    assert (turn.window[1].numpy() <= np.hypot(20, 30) + 6).all()
    whole = turn._replace(
        window=(tf.constant([0, 0]), tf.constant([250, 250])),
        origin=turn.origin + tf.cast(turn.window[0], tf.float32),
    )
    np.testing.assert_array_equal(found, whole.image(image))
    np.testing.assert_array_equal(labels, whole.mask(mask))


def test_angles_fill_their_range_evenly_both_ways():
    def sine(seed):
        """By how much the rows of the image rise from column to column of the result."""
        key = tf.stack([tf.constant(0, tf.int64), seed])
        return draw_turn(tf.constant([200, 200]), CROPS["a part"], key, 30.0).matrix[0, 1]

    sines = tf.data.Dataset.range(60).map(sine).as_numpy_iterator()
    angles = np.degrees(np.arcsin([*sines]))
    assert -30 < angles.min() < -24
    assert 24 < angles.max() < 30
    assert abs(angles.mean()) < 4 * 30 / 3**0.5 / 60**0.5  # four deviations


def test_image_and_mask_turn_together():
    settings = {"crop_px": (100, 100), "scale_range": (0.5, 2.0), "flip": "both"}
    for moved, labels in draws(*telling_pair(), 10, rotate_degrees=180.0, **settings):
        labels = labels[..., 0]
        assert moved.shape[:2] == labels.shape
        inside = labels != VOID
        assert np.mean(np.abs(moved[..., 0][inside].astype(int) - labels[inside]) <= 1) > 0.7


def test_other_draws_stay_what_they_were():
    """A run without rotation has the same batches as before there was one; colours, too."""
    image, mask = telling_pair()
    options = {"scale_range": (2.0, 2.0), "flip": True, "color": 0.3, "crop_px": (20, 20)}
    for seed in range(2):
        key = tf.constant((0, seed), tf.int64)
        plain, labels = augment(image, mask, key, **options)
        slightly, turned_labels = augment(image, mask, key, rotate_degrees=1e-6, **options)
        near = np.abs(np.array(plain, int) - np.array(slightly, int))[2:-2, 2:-2]
        assert near.max() <= 1
        assert np.mean(labels == turned_labels) > 0.99


def test_the_part_is_read_that_is_turned():
    image, mask = telling_places(120, 130)
    asked = []

    def read(window):
        asked.append([each.numpy() for each in window])
        return cut(image, window), cut(mask, window)

    options = {"crop_px": (16, 16), "scale_range": (1.0, 1.0), "flip": False}
    key = tf.constant((0, 1), tf.int64)
    size = tf.constant((120, 130))
    found, _ = augment_window(read, size, key, rotate_degrees=40.0, color=0.0, **options)
    whole, _ = augment(image, mask, key, rotate_degrees=40.0, color=0.0, **options)
    np.testing.assert_array_equal(found, whole)
    assert (asked[0][1] < 32).all()
