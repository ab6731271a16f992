import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.data.augment import Crop, augment, change_color, place_mask


def telling_pair(height=60, width=90):
    """An image whose red channel is its mask: whatever moves one must move the other."""
    rows, columns = np.mgrid[:height, :width]
    # Broad stripes, so that scaled pixels away from the edges keep their value.
    mask = ((rows // 15) * 6 + columns // 15).astype(np.uint8) * 5
    image = np.stack([mask, 255 - mask, np.full_like(mask, 7)], axis=-1)
    return image, mask[..., None]


SETTINGS = [
    {"crop_px": (32, 48)},
    {"crop_px": (32, 48), "scale_range": (0.5, 2.0), "flip": True},
    {"crop_px": (100, 100), "scale_range": (0.5, 2.0), "flip": True},
    {"scale_range": (0.7, 1.5), "flip": True},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_image_and_mask_move_together(settings):
    image, mask = telling_pair()
    for seed in range(20):
        moved, moved_mask = augment(image, mask, (0, seed), **settings)
        moved, moved_mask = moved.numpy(), moved_mask.numpy()[..., 0]
        assert moved.shape[:2] == moved_mask.shape
        if "crop_px" in settings:
            assert moved.shape[:2] == settings["crop_px"]
        inside = moved_mask != VOID
        # Where scaling mixes two stripes the red value lies between them.
        assert np.mean(moved[..., 0][inside] == moved_mask[inside]) > 0.8
        np.testing.assert_array_equal(
            moved[~inside], np.broadcast_to(MEAN_RGB, moved[~inside].shape)
        )


def test_eager_and_in_tf_data_alike():
    image, mask = telling_pair()
    settings = {**SETTINGS[1], "color": 0.3}
    data = tf.data.Dataset.range(10).map(
        lambda seed: augment(image, mask, tf.stack([tf.constant(0, tf.int64), seed]), **settings)
    )
    for seed, (in_graph, mask_in_graph) in enumerate(data):
        key = tf.constant((0, seed), tf.int64)
        eager, mask_eager = augment(image, mask, key, **settings)
        np.testing.assert_array_equal(in_graph, eager)
        np.testing.assert_array_equal(mask_in_graph, mask_eager)


def test_flip_mirrors_both_in_half_of_the_draws():
    image, mask = telling_pair()
    mirrored = 0
    for seed in range(200):
        flipped, flipped_mask = augment(image, mask, (0, seed), flip=True)
        is_mirrored = not np.array_equal(flipped, image)
        expected = (image[:, ::-1], mask[:, ::-1]) if is_mirrored else (image, mask)
        np.testing.assert_array_equal(flipped, expected[0])
        np.testing.assert_array_equal(flipped_mask, expected[1])
        mirrored += is_mirrored
    assert 70 < mirrored < 130


def test_scales_fill_their_range_evenly_on_a_log_scale():
    image, mask = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100, 1), np.uint8)
    scales = [
        augment(image, mask, (0, seed), scale_range=(0.5, 2.0))[0].shape[0] / 100
        for seed in range(300)
    ]
    assert 0.5 <= min(scales) < 0.55
    assert 1.8 < max(scales) <= 2
    assert abs(np.mean(np.log(scales))) < 0.1


def test_scaling_by_two_equals_the_resize_of_the_whole():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    mask = np.zeros((20, 30, 1), np.uint8)
    scaled, _ = augment(image, mask, (0, 0), scale_range=(2.0, 2.0))
    whole = np.floor(tf.image.resize(image, (40, 60)) + 0.5)
    np.testing.assert_array_equal(scaled, whole)


def test_a_mask_is_scaled_as_resize_does_to_the_nearest():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size, scaled = rng.integers(1, 60, 2), rng.integers(1, 60, 2)
        mask = rng.integers(0, 21, (*size, 1), dtype=np.uint8)
        nothing = tf.zeros(2, tf.int32)
        crop = Crop(None, tf.constant(scaled, tf.int32), nothing, nothing)
        placed = place_mask(tf.constant(mask), crop, tf.constant(False))
        np.testing.assert_array_equal(placed, tf.image.resize(mask, scaled, "nearest"))


def test_every_crop_can_be_drawn():
    image, _ = telling_pair(10, 12)
    numbers = np.arange(120, dtype=np.uint8).reshape(10, 12, 1)
    corners = {
        augment(image, numbers, (0, seed), crop_px=(9, 10))[1].numpy()[0, 0, 0]
        for seed in range(200)
    }
    assert corners == {0, 1, 2, 12, 13, 14}


def test_a_crop_within_the_scaled_image_is_never_filled_up():
    image = np.zeros((120, 130, 3), np.uint8)
    mask = np.zeros((120, 130, 1), np.uint8)
    for seed in range(100):
        settings = {"crop_px": (60, 65), "scale_range": (0.6, 2.0)}
        _, cropped = augment(image, mask, (0, seed), **settings)
        assert not np.any(cropped)


def test_color_changes_by_hand():
    """Brightness b, contrast c and saturation s, drawn as the code draws them."""
    image = np.array([[[100, 50, 20], [60, 60, 60]]], np.uint8)
    luma = np.array([0.2989, 0.587, 0.114])  # of tf.image.rgb_to_grayscale
    for seed in range(20):
        b, c, s = tf.random.stateless_uniform((3,), (0, seed), 0.6, 1.4).numpy()
        x = image * b
        mean = (x @ luma).mean()
        x = (x - mean) * c + mean
        gray = (x @ luma)[..., None]
        expected = np.clip(np.round((x - gray) * s + gray), 0, 255)
        np.testing.assert_allclose(change_color(image, (0, seed), 0.4), expected, atol=1)


def test_without_options_nothing_changes():
    image, mask = telling_pair()
    same, same_mask = augment(image, mask, (0, 0))
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(same_mask, mask)
