import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.data.pipeline import pad_batch, training_order
from fcn_tf.data.shapes import SPLIT_SIZES


@pytest.fixture
def source(tfds_dir):
    return open_source(DataConfig(name="shapes", tfds_dir=tfds_dir))


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


def test_an_epoch_sees_every_image_once_and_the_next_in_another_order(source):
    samples = list(training_order(source, seed=0).take(2000).as_numpy_iterator())
    assert [number for number, _ in samples] == list(range(2000))
    names = [record["file_name"].decode() for _, record in samples]
    first, second = names[:1000], names[1000:]
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
    assert np.mean(moved) > 250


@pytest.mark.parametrize("skip", [7, 1003, 3001])
def test_an_order_goes_on_where_it_was_left(source, skip):
    def some(samples):
        return [(n, r["file_name"]) for n, r in samples.take(20).as_numpy_iterator()]

    assert some(training_order(source, 5, skip)) == some(training_order(source, 5).skip(skip))
    assert some(training_order(source, 5, skip)) != some(training_order(source, 6, skip))


def test_the_shares_of_workers_and_devices_make_up_the_batch(source):
    """Two workers with two devices each: batches of 4 come as four of 1."""
    config = dataclasses.replace(AUGMENTED, batch_size=4)
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
    assert len(set(names[0])) == SPLIT_SIZES["val"]
    assert all(e["image"].shape[:2] == e["segmentation_mask"].shape[:2] for e in runs[0])
    assert len({e["image"].shape for e in runs[0]}) > 100


def test_a_batch_of_different_sizes_is_padded_with_mean_and_void():
    sizes = [(2, 5), (4, 3)]
    data = tf.data.Dataset.from_generator(
        lambda: ((np.full((*s, 3), 9, np.uint8), np.full(s, 1, np.uint8)) for s in sizes),
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
        assert (image[inside] == 9).all()
        assert (mask[inside] == 1).all()
        assert (image[~inside] == MEAN_RGB).all()
        assert (mask[~inside] == VOID).all()
