import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.data.augment import (
    Crop,
    augment,
    augment_window,
    change_color,
    draw_crop,
    place_mask,
    to_uint8,
)


def telling_pair(height=60, width=90):
    """An image whose red channel is its mask: whatever moves one must move the other."""
    rows, columns = np.mgrid[:height, :width]
    # Broad stripes, so that scaled pixels away from the edges keep their value.
    mask = ((rows // 15) * 6 + columns // 15).astype(np.uint8) * 5
    image = np.stack([mask, 255 - mask, np.full_like(mask, 7)], axis=-1)
    return image, mask[..., None]


def draws(image, mask, count, **settings):
    """The images and masks, NumPy arrays, that the seeds from 0 on give."""
    data = tf.data.Dataset.range(count).map(
        lambda seed: augment(image, mask, tf.stack([tf.constant(0, tf.int64), seed]), **settings)
    )
    return list(data.as_numpy_iterator())


SETTINGS = [
    {"crop_px": (32, 48)},
    {"crop_px": (32, 48), "scale_range": (0.5, 2.0), "flip": True},
    {"crop_px": (100, 100), "scale_range": (0.5, 2.0), "flip": True},
    {"scale_range": (0.7, 1.5), "flip": True},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_image_and_mask_move_together(settings):
    for moved, moved_mask in draws(*telling_pair(), 20, **settings):
        moved_mask = moved_mask[..., 0]
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
    for seed, (in_graph, mask_in_graph) in enumerate(draws(image, mask, 10, **settings)):
        key = tf.constant((0, seed), tf.int64)
        eager, mask_eager = augment(image, mask, key, **settings)
        np.testing.assert_array_equal(in_graph, eager)
        np.testing.assert_array_equal(mask_in_graph, mask_eager)


@pytest.mark.parametrize(
    ("flip", "ways"),
    [
        (True, {(1, 1), (1, -1)}),
        ("vertical", {(1, 1), (-1, 1)}),
        ("both", {(1, 1), (1, -1), (-1, 1), (-1, -1)}),
    ],
)
def test_flip_mirrors_both_in_half_of_the_draws(flip, ways):
    """Each way that it names: -1 is the reverse order of the rows, or of the columns."""
    image, mask = telling_pair()
    counts = dict.fromkeys(ways, 0)
    for found, labels in draws(image, mask, 120, flip=flip):
        (way,) = [(r, c) for r, c in ways if np.array_equal(found, image[::r, ::c])]
        np.testing.assert_array_equal(labels, mask[:: way[0], :: way[1]])
        counts[way] += 1
    expected = 120 / len(ways)
    # Four deviations.
    assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values())


def test_scales_fill_their_range_evenly_on_a_log_scale():
    image, mask = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100, 1), np.uint8)
    scaled = draws(image, mask, 300, scale_range=(0.5, 2.0))
    scales = [image.shape[0] / 100 for image, _ in scaled]
    assert 0.5 <= min(scales) < 0.55
    assert 1.8 < max(scales) <= 2
    assert abs(np.mean(np.log(scales))) < 0.1


def test_scaling_by_two_equals_the_resize_of_the_whole():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    mask = np.zeros((20, 30, 1), np.uint8)
    scaled, _ = augment(image, mask, (0, 0), scale_range=(2.0, 2.0))
    whole = np.floor(tf.image.resize(image, (40, 60)) + 0.5)
    np.testing.assert_array_equal(scaled, whole)


def test_a_scaled_size_is_rounded():
    image, mask = np.zeros((7, 5, 3), np.uint8), np.zeros((7, 5, 1), np.uint8)
    scaled, scaled_mask = augment(image, mask, (0, 0), scale_range=(1.4, 1.4))  # 9.8 x 7
    assert scaled.shape == (10, 7, 3)
    np.testing.assert_array_equal(scaled_mask, np.zeros((10, 7, 1)))


def test_a_scaled_image_keeps_a_pixel():
    """Of 2 x 1 px a quarter: alone, and somewhere in a crop of 4 x 4."""
    image, mask = np.zeros((2, 1, 3), np.uint8), np.zeros((2, 1, 1), np.uint8)
    scaled, _ = augment(image, mask, (0, 0), scale_range=(0.25, 0.25))
    np.testing.assert_array_equal(scaled, np.zeros((1, 1, 3)))
    _, cropped = augment(image, mask, (0, 0), scale_range=(0.25, 0.25), crop_px=(4, 4))
    assert sorted(cropped.numpy().ravel()) == [0] + 15 * [VOID]


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
    masks = [mask[..., 0] for _, mask in draws(image, numbers, 200, crop_px=(9, 10))]
    places, counts = np.unique([mask[0, 0] for mask in masks], return_counts=True)
    np.testing.assert_array_equal(places, [0, 1, 2, 12, 13, 14])
    assert counts.max() < 200 / 6 + 4 * (200 * 1 / 6 * 5 / 6) ** 0.5  # four deviations


def test_every_place_of_a_smaller_image_can_be_drawn():
    image, numbers = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 1), np.uint8)
    masks = [mask[..., 0] for _, mask in draws(image, numbers, 100, crop_px=(3, 5))]
    corners = {tuple(np.argwhere(mask == 0)[0].tolist()) for mask in masks}
    assert corners == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}


def test_a_single_row_is_filled_up():
    image, mask = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 1), np.uint8)
    filled, filled_mask = augment(image, mask, (0, 0), crop_px=(3, 3))
    (row,) = np.flatnonzero(filled_mask[:, 0, 0] == VOID)
    np.testing.assert_array_equal(filled[row], [MEAN_RGB] * 3)
    assert not np.delete(filled, row, axis=0).any()


def test_a_crop_within_the_scaled_image_is_never_filled_up():
    image = np.zeros((120, 130, 3), np.uint8)
    mask = np.zeros((120, 130, 1), np.uint8)
    for _, cropped in draws(image, mask, 100, crop_px=(60, 65), scale_range=(0.6, 2.0)):
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


def test_colors_vary_about_the_mean_of_the_whole_image():
    """A crop shows what the whole image, changed alike, has there: where it is without colours."""
    numbers = np.arange(240, dtype=np.uint8).reshape(12, 20, 1)
    image = np.repeat(numbers, 3, axis=-1)  # its mean is not that of the crops
    crops = draws(image, numbers, 5, color=0.5, crop_px=(5, 7))
    for (whole, _), (part, places) in zip(draws(image, numbers, 5, color=0.5), crops, strict=True):
        top, left = divmod(int(places[0, 0, 0]), 20)
        np.testing.assert_array_equal(part, whole[top : top + 5, left : left + 7])
    plain = draws(image, numbers, 5, crop_px=(5, 7))
    for (_, places), (_, same_places) in zip(crops, plain, strict=True):
        np.testing.assert_array_equal(places, same_places)


def test_scale_place_mirror_and_brightness_are_drawn_apart():
    """No two of them go together, over 200 seeds."""
    columns = np.tile(np.arange(6, dtype=np.uint8), (4, 1))[..., None]

    def read(window):
        """An image whose colour is the place and the size of the window."""
        (top, left), (height, _) = map(tf.unstack, window)
        color = tf.cast(tf.stack([top, left, height]), tf.uint8)
        return tf.broadcast_to(color, (4, 6, 3)), tf.constant(columns)

    def window_of(seed):
        key = tf.stack([tf.constant(0, tf.int64), seed])
        size, crop_px, scale_range = tf.constant((100, 100)), (50, 50), (1.0, 4.0)
        options = {"crop_px": crop_px, "scale_range": scale_range, "flip": True, "color": 0.0}
        return augment_window(read, size, key, **options)[0][0, 0]

    windows = tf.data.Dataset.range(200).map(window_of).as_numpy_iterator()
    looks = draws(np.full((4, 6, 3), 100, np.uint8), columns, 200, flip=True, color=0.4)
    drawn = [
        [top / (100 - size), left / (100 - size), size, mask[0, 0, 0], seen.mean()]
        for (top, left, size), (seen, mask) in zip(np.array([*windows], int), looks, strict=True)
    ]
    between = np.corrcoef(drawn, rowvar=False)
    assert np.abs(between[~np.eye(5, dtype=bool)]).max() < 0.3


def test_the_place_of_a_smaller_image_is_drawn_apart_from_its_scale():
    def size_and_place(seed):
        key = tf.stack([tf.constant(0, tf.int64), seed])
        crop = draw_crop(tf.constant((100, 100)), key, (500, 500), (1.0, 4.0))
        return tf.concat([crop.scaled[:1], crop.before], 0)

    drawn = tf.data.Dataset.range(200).map(size_and_place).as_numpy_iterator()
    looks = [[size, top / (500 - size), left / (500 - size)] for size, top, left in drawn]
    between = np.corrcoef(looks, rowvar=False)
    assert np.abs(between[~np.eye(3, dtype=bool)]).max() < 0.3


def test_horizontal_is_true():
    image, mask = telling_pair()
    for seed in range(6):
        looks = [augment(image, mask, (0, seed), flip=flip)[0] for flip in (True, "horizontal")]
        np.testing.assert_array_equal(*looks)


def test_without_options_nothing_changes():
    image, mask = telling_pair()
    for same, same_mask in draws(image, mask, 10):
        np.testing.assert_array_equal(same, image)
        np.testing.assert_array_equal(same_mask, mask)


def test_colors_are_rounded_and_clipped():
    colors = to_uint8(tf.constant([-3.0, 0.4, 0.6, 254.4, 254.6, 300.0]))
    np.testing.assert_array_equal(colors, [0, 0, 1, 254, 255, 255])
