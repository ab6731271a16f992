"""From the records of a data set to batches for the network; the same for every data set.

The same seed gives the same batches, whatever the number of threads: records
are shuffled from the seed, and each sample is augmented from the seed and its
own number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypedDict

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data.as_written import as_written
from fcn_tf.data.augment import augment_window
from fcn_tf.data.broken import decoded, skip, unlabelled_crop, unlabelled_example
from fcn_tf.data.folder import folder_source
from fcn_tf.data.order import records_at, training_order, wanted_records
from fcn_tf.data.skipped import Skipped
from fcn_tf.data.source import Dataset, Record, Source
from fcn_tf.data.source_check import check_source_at_start
from fcn_tf.data.tfds_source import tfds_source
from fcn_tf.files import shown_name
from fcn_tf.images.graph import Tensor, Window


class LabelledImage(TypedDict):
    """An image and its truth.

    `image` is uint8 (H, W, 3), `truth` uint8 (H, W) with labels and VOID, `title` the file's name.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    title: str


def open_source(config: DataConfig, *, trains: bool = True) -> Source:
    """Opens the data set that a configuration names, and prepares it if needed.

    Args:
        config: the data set, resolved.
        trains: whether a training follows, which needs two classes in train.

    Raises:
        InputError: the user's files are missing or wrong.
        RunError: the disk is full.

    Example:
        >>> open_source(DataConfig(name="folder", data_dir="street")).class_names
        ('road', 'car', 'tree')
    """
    if config.name == "folder":
        return folder_source(config, trains)
    source = tfds_source(config)
    if config.broken == "skip":
        source = replace(source, skipped=Skipped())
    if trains and config.name == "tfds":
        check_source_at_start(source, config)
    return source


def training_batches(
    source: Source,
    config: DataConfig,
    seed: int,
    *,
    skip_samples: int = 0,
    worker: int = 0,
    workers: int = 1,
    split_in: int = 1,
) -> Dataset:
    """An endless stream of augmented batches.

    Sample number n, from 0, is the same whatever the batch size, the number of
    workers or the number of samples skipped.

    Args:
        source: the data set.
        config: its batch size, crops and augmentation.
        seed: of the order and of the augmentation.
        skip_samples: number of samples that are left out at the beginning, undecoded.
        worker: the number of the share of each batch that is in this stream, from 0.
        workers: the number of shares; batch_size is a multiple of it.
        split_in: the number of batches into which a worker's share of a batch is split.

    Returns:
        A `tf.data.Dataset` of uint8 images (N, h, w, 3) and masks (N, h, w). (h, w) is
        crop_px, or the largest height and width of the N images. Smaller images are filled up
        with the mean colour, and their masks with VOID.
    """

    def sample(number: Tensor, record: Record) -> tuple[Tensor, Tensor]:
        def read(window: Window | None) -> tuple[Tensor, Tensor]:
            example = source.decode(record, window)
            return example["image"], example["segmentation_mask"]

        image, mask = augment_window(
            read,
            source.image_size(record),
            tf.stack([tf.constant(seed, tf.int64), number]),
            crop_px=config.crop_px,
            scale_range=config.scale_range,
            flip=config.flip,
            rotate_degrees=config.rotate_degrees,
            color=config.color,
        )
        return image, mask[..., 0]

    def unlabelled(number: Tensor, record: Record) -> tuple[Tensor, Tensor]:
        with tf.control_dependencies([skip(source, record, source.split_sizes["train"])]):
            return unlabelled_crop(*(config.crop_px or (1, 1)))

    share = config.batch_size // workers

    def is_own(number: Tensor) -> Tensor:
        return number // share % workers == worker

    data = training_order(source, seed, skip_samples, is_own if workers > 1 else None)
    data = decoded(source, data, sample, unlabelled)
    if config.crop_px:
        data = data.batch(share // split_in, drop_remainder=True)
    else:
        data = pad_batch(data, share // split_in)
    options = tf.data.Options()
    # Samples are worked on in parallel: a single operation needs no threads of its own.
    options.threading.max_intra_op_parallelism = 1
    return data.prefetch(tf.data.AUTOTUNE).with_options(options)


@as_written
def pad_batch(data: Dataset, batch_size: int) -> Dataset:
    """Batches of images of different sizes, padded at the bottom and the right.

    Args:
        data: a `tf.data.Dataset` of uint8 images (H, W, 3) and masks (H, W).
        batch_size: images a batch.
    """
    # Padding has one value for all channels. A value that no pixel has marks it.
    outside = -1
    data = data.map(lambda image, mask: (tf.cast(image, tf.int16), mask))
    data = data.padded_batch(
        batch_size,
        padding_values=(tf.constant(outside, tf.int16), tf.constant(VOID, tf.uint8)),
        drop_remainder=True,
    )

    def fill(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        images = tf.where(images == outside, tf.constant(MEAN_RGB, tf.int16), images)
        return tf.cast(images, tf.uint8), masks

    return data.map(fill)


def spread_samples(source: Source, split: str, size: int, count: int) -> Iterator[LabelledImage]:
    """Some of a split's first `size` images, at most `count`, evenly spread.

    They are spread because neighbours are often alike.
    """
    yield from samples_of(source, split, spread(size, count))


def spread(size: int, count: int) -> range:
    """Some of the first `size` numbers, at most `count`, evenly spread."""
    return range(0, size, max(1, -(-size // count)))


def samples_of(source: Source, split: str, numbers: Iterable[int]) -> Iterator[LabelledImage]:
    """The images of a split with these numbers, in the order of the split.

    No other image is decoded.
    """
    chosen = records_at(source, split, sorted(map(int, numbers)))
    examples = decoded(source, chosen, source.decode, unlabelled_example(source))
    for example in examples.as_numpy_iterator():
        yield {
            "image": example["image"],
            "truth": example["segmentation_mask"][..., 0],
            "title": shown_name(example["file_name"]),
        }


@as_written
def whole_images(source: Source, split: str) -> Dataset:
    """The images of a split one by one, unpadded, in a fixed order, none dropped.

    Returns:
        A `tf.data.Dataset` of `Example`s: `image` uint8 (H, W, 3),
        `segmentation_mask` uint8 (H, W, 1) and `file_name`.
    """
    data = decoded(source, source.records(split), source.decode, unlabelled_example(source))
    return data.prefetch(tf.data.AUTOTUNE)


def evaluation_share(
    source: Source, split: str, *, worker: int, workers: int, replicas: int
) -> Dataset:
    """The images that a worker's devices evaluate, one for each in turn, whole and unpadded.

    Args:
        source: the data set.
        split: one of its splits.
        worker: the number of this machine, from 0.
        workers: the number of machines.
        replicas: the number of devices of all machines.

    Returns:
        A `tf.data.Dataset` as `whole_images`. Every image goes to one device. Images without
        a label follow at the end, so that all devices have equally many.
    """
    local = replicas // workers

    data = wanted_records(source, split, lambda number: number % replicas // local == worker)
    data = decoded(source, data, source.decode, unlabelled_example(source))
    filler = {
        "image": tf.zeros((1, 1, 3), tf.uint8),
        "segmentation_mask": tf.fill((1, 1, 1), tf.constant(VOID, tf.uint8)),
        "file_name": "",
    }
    data = data.concatenate(tf.data.Dataset.from_tensors(filler).repeat())
    rounds = -(-source.split_sizes[split] // replicas)
    return data.take(rounds * local).prefetch(tf.data.AUTOTUNE)
