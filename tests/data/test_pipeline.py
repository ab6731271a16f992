import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.data.order import training_order
from fcn_tf.data.pipeline import (
    evaluation_share,
    pad_batch,
    samples_of,
    spread,
    spread_samples,
)
from tests.sources import numbered_pair, source_of

SCENES = 40  # of each split of `few_scenes_dir`


@pytest.fixture(scope="module")
def source(few_scenes_dir):
    return open_source(DataConfig(name="shapes", tfds_dir=few_scenes_dir))


def first_batches(source, config, seed, threads, count=4):
    data = training_batches(source, config, seed)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return [
        (images.numpy(), masks.numpy()) for images, masks in data.with_options(options).take(count)
    ]


AUGMENTED = DataConfig(
    name="shapes", batch_size=3, crop_px=64, scale_range=(0.5, 2.0), flip=True, color=0.3
)


def test_the_same_seed_gives_the_same_batches_whatever_the_threads(source):
    one = first_batches(source, AUGMENTED, seed=1, threads=1)
    many = first_batches(source, AUGMENTED, seed=1, threads=8)
    other = first_batches(source, AUGMENTED, seed=2, threads=8)
    for (images, masks), (images_many, masks_many) in zip(one, many, strict=True):
        np.testing.assert_array_equal(images, images_many)
        np.testing.assert_array_equal(masks, masks_many)
        assert images.shape == (3, 64, 64, 3)
        assert masks.shape == (3, 64, 64)
    assert not np.array_equal(one[0][0], other[0][0])


PAIR = numbered_pair(8, 11)


def samples(seed=1, **augmentation):
    """The first samples of a data set of one image: each of them is an epoch."""
    config = DataConfig(name="shapes", batch_size=1, **{"flip": False, **augmentation})
    data = training_batches(source_of(train=[PAIR]), config, seed)
    return [(image[0], mask[0]) for image, mask in data.take(24).as_numpy_iterator()]


def test_without_augmentation_every_sample_is_the_image():
    for sample in samples():
        for seen, given in zip(sample, PAIR, strict=True):
            np.testing.assert_array_equal(seen, given)


def test_flip_mirrors_half_of_the_images_in_each_epoch_anew():
    def mirrored(seed):
        found = []
        for sample in samples(seed, flip=True):
            found.append(not np.array_equal(sample[0], PAIR[0]))
            for seen, given in zip(sample, PAIR, strict=True):
                np.testing.assert_array_equal(seen, given[:, ::-1] if found[-1] else given)
        return found

    found = mirrored(1)
    assert 6 <= sum(found) <= 18
    assert found != mirrored(2)


def test_rotate_degrees_turns_each_epoch_by_another_angle():
    turned = [mask for _, mask in samples(rotate_degrees=180.0)]
    assert len({mask.tobytes() for mask in turned}) > 12
    assert sum((mask == VOID).any() for mask in turned) > 12


def test_the_images_of_an_epoch_are_augmented_apart():
    config = DataConfig(name="shapes", batch_size=12, flip=True)
    images, _ = next(iter(training_batches(source_of(train=[PAIR] * 12), config, seed=1)))
    assert len({image.tobytes() for image in images.numpy()}) == 2


def test_scale_range_scales_each_epoch_by_another_factor_in_it():
    heights = [image.shape[0] for image, _ in samples(scale_range=(2.0, 3.0))]
    assert 16 <= min(heights) < max(heights) <= 24
    assert len(set(heights)) > 4


def test_color_changes_the_image_alone_and_each_epoch_anew():
    drawn = samples(color=0.5)
    assert len({image.tobytes() for image, _ in drawn}) == len(drawn)
    for image, mask in drawn:
        assert np.abs(image - PAIR[0].astype(int)).mean() > 1
        np.testing.assert_array_equal(mask, PAIR[1])


def test_crop_px_is_height_and_width_of_another_place_in_each_epoch():
    corners = set()
    for image, mask in samples(crop_px=(4, 6)):
        top, left = divmod(int(mask[0, 0]), 11)
        for seen, given in zip((image, mask), PAIR, strict=True):
            np.testing.assert_array_equal(seen, given[top : top + 4, left : left + 6])
        corners.add((top, left))
    assert len(corners) > 10  # of 30


def test_images_keep_their_order_whichever_is_ready_first():
    """As the graphs say: whether images overtake each other depends on the load of the machine."""
    source = source_of(train=[PAIR], val=[PAIR])
    with tf.Graph().as_default() as graph:
        training_batches(source, AUGMENTED, seed=0)
        whole_images(source, "val")
        evaluation_share(source, "val", worker=0, workers=1, replicas=1)
    maps = [node for node in graph.as_graph_def().node if node.op.startswith("ParallelMap")]
    assert len(maps) == 3
    assert all(node.attr["deterministic"].s == b"true" for node in maps)


def test_a_window_of_a_scene_is_a_part_of_it(source):
    record = next(iter(source.records("train")))
    whole, part = (source.decode(record, window) for window in (None, ((7, 13), (20, 31))))
    assert source.image_size(record).numpy().tolist() == [*whole["image"].shape[:2]]
    for key in ("image", "segmentation_mask"):
        np.testing.assert_array_equal(part[key], whole[key][7:27, 13:44])


def test_an_epoch_sees_every_image_once_and_the_next_in_another_order(source):
    drawn = list(training_order(source, seed=0).take(2 * SCENES).as_numpy_iterator())
    assert [number for number, _ in drawn] == list(range(2 * SCENES))
    names = [record["file_name"].decode() for _, record in drawn]
    first, second = names[:SCENES], names[SCENES:]
    assert sorted(first) == sorted(second) == sorted(set(names))
    assert first != second
    # Spread over the whole set, and not over a small buffer.
    stored = [
        name.decode()
        for name in source.records("train")
        .map(lambda record: record["file_name"])
        .as_numpy_iterator()
    ]
    moved = [abs(stored.index(name) - place) for place, name in enumerate(first)]
    assert np.mean(moved) > SCENES / 4


@pytest.mark.parametrize("skip", [7, SCENES + 3, 3 * SCENES + 1])
def test_an_order_goes_on_where_it_was_left(source, skip):
    def some(samples):
        return [(n, r["file_name"]) for n, r in samples.take(20).as_numpy_iterator()]

    rest = some(training_order(source, 5, skip))
    assert rest == some(training_order(source, 5).skip(skip))
    assert rest != some(training_order(source, 6, skip))


@pytest.mark.parametrize("crop_px", [(4, 6), None])
def test_the_shares_of_workers_and_devices_make_up_the_batch(crop_px):
    """Two workers with two devices each: batches of 4 come as four of 1."""
    source = source_of(train=[numbered_pair(8, 11, first) for first in (0, 50, 100)])
    config = dataclasses.replace(AUGMENTED, batch_size=4, crop_px=crop_px, scale_range=(1, 1))
    whole = training_batches(source, config, 3).take(3)
    shares = [
        training_batches(source, config, 3, worker=worker, workers=2, split_in=2).batch(2).take(3)
        for worker in range(2)
    ]
    for of_all, first, second in zip(whole, *shares, strict=True):
        for values, *parts in zip(of_all, first, second, strict=True):
            parts = np.concatenate([part.numpy() for part in parts])  # (4, 1, h, w, …)
            np.testing.assert_array_equal(parts[:, 0], values.numpy())


def test_samples_that_are_skipped_are_not_decoded(source):
    """Batch 3 and 4 of a stream, with and without the two before."""
    decoded = []

    def note(name):
        decoded.append(name)
        return name

    def decode(record, window=None):
        example = source.decode(record, window)
        example["image"] = tf.ensure_shape(example["image"], (None, None, 3))
        name = tf.numpy_function(note, (record["file_name"],), tf.string)
        with tf.control_dependencies([name]):
            return {**example, "image": tf.identity(example["image"])}

    counting = dataclasses.replace(source, decode=decode)
    config = dataclasses.replace(AUGMENTED, color=0.0)
    names = [record["file_name"].numpy() for _, record in training_order(source, 1).take(6)]
    rest = training_batches(counting, config, seed=1, skip_samples=6).take(2)
    whole = training_batches(source, config, seed=1).skip(2).take(2)
    for (images, masks), (images_rest, masks_rest) in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(images, images_rest)
        np.testing.assert_array_equal(masks, masks_rest)
    assert decoded
    assert not set(names) & set(decoded)


def test_evaluation_reads_every_image_whole_and_in_one_order(source):
    runs = [list(whole_images(source, "val").as_numpy_iterator()) for _ in range(2)]
    names = [[example["file_name"] for example in run] for run in runs]
    assert names[0] == names[1]
    assert len(set(names[0])) == SCENES == source.split_sizes["val"]
    assert all(name.startswith(b"val_") for name in names[0])
    assert all(e["image"].shape[:2] == e["segmentation_mask"].shape[:2] for e in runs[0])
    assert len({e["image"].shape for e in runs[0]}) > SCENES / 2


def test_each_image_goes_to_one_device_and_all_have_equally_many():
    """Seven images for two machines of two devices: an image without a label is the eighth."""
    pairs = [numbered_pair(4, 5, first) for first in range(7)]
    source = source_of(train=pairs[:3], val=pairs)
    pairs.append((np.zeros((1, 1, 3)), np.array([[VOID]])))
    for worker, numbers in enumerate([(0, 1, 4, 5), (2, 3, 6, 7)]):
        share = evaluation_share(source, "val", worker=worker, workers=2, replicas=4)
        for example, number in zip(share.as_numpy_iterator(), numbers, strict=True):
            image, mask = pairs[number]
            np.testing.assert_array_equal(example["image"], image)
            np.testing.assert_array_equal(example["segmentation_mask"][..., 0], mask)


def test_samples_are_spread_over_the_images_and_come_with_their_names():
    assert [*spread(10, 3)] == [0, 4, 8]
    assert [*spread(12, 6)] == [0, 2, 4, 6, 8, 10]
    assert [*spread(2, 6)] == [0, 1]
    pairs = [numbered_pair(4, 5, first) for first in range(7)]
    source = source_of(train=pairs[:2], val=pairs[2:])
    for seen, numbers in (
        (samples_of(source, "val", [3, 1]), (3, 5)),
        (spread_samples(source, "val", 4, 3), (2, 4)),
    ):
        for sample, number in zip(seen, numbers, strict=True):
            np.testing.assert_array_equal(sample["image"], pairs[number][0])
            np.testing.assert_array_equal(sample["truth"], pairs[number][1])
            assert sample["title"] == f"{number}.png"


def test_a_batch_of_different_sizes_is_padded_with_mean_and_void():
    sizes = [(2, 5), (4, 3)]
    data = tf.data.Dataset.from_generator(
        lambda: ((np.full((*s, 3), s[0] - 2, np.uint8), np.full(s, 1, np.uint8)) for s in sizes),
        output_signature=(
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((None, None), tf.uint8),
        ),
    )
    images, masks = next(iter(pad_batch(data, 2)))
    assert images.dtype == tf.uint8
    for (height, width), image, mask in zip(sizes, images.numpy(), masks.numpy(), strict=True):
        inside = np.zeros((4, 5), bool)
        inside[:height, :width] = True
        assert (image[inside] == height - 2).all()  # black, and nearly so
        assert (mask[inside] == 1).all()
        assert (image[~inside] == MEAN_RGB).all()
        assert (mask[~inside] == VOID).all()
