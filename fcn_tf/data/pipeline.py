"""From a data set's records to what the network is fed; the same for every data set.

The same seed gives the same batches, whatever the number of threads: records
are shuffled from the seed and each sample is augmented from the seed and its
own number.
"""

import errno
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

import fcn_tf.data.shapes
import fcn_tf.data.voc  # noqa: F401 (both register a data set)
from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.data.augment import augment_window
from fcn_tf.data.decoding import cut, decode_image, image_size
from fcn_tf.data.folder import folder_source
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError, RunError


def open_source(config):
    """The data set that a `DataConfig` names, prepared where it has to be.

    Returns:
        A `Source`.

    Raises:
        InputError: the user's files are not as they have to be.
    """
    if config.name == "folder":
        return folder_source(
            config.data_dir, config.class_names, config.ignore_label, config.validation_fraction
        )
    if config.name == "voc":
        return tfds_source(
            f"voc_segmentation/{config.tfds_config}", config.tfds_dir, config.manual_dir
        )
    return tfds_source(config.name, config.tfds_dir)


def tfds_source(name, tfds_dir=None, manual_dir=None):
    """A TFDS data set with `segmentation_mask`, generated or downloaded at the first call.

    Args:
        name: of the data set, NAME or NAME/CONFIG.
        tfds_dir: where it is prepared; default TFDS' own.
        manual_dir: where archives are at hand, or None.

    Returns:
        A `Source`.

    Raises:
        InputError: the archives are not there or not whole.
        RunError: the disk is full.
    """
    if manual_dir is not None and not Path(manual_dir).expanduser().is_dir():
        raise InputError(f"data.manual_dir={manual_dir}: no such folder.")
    builder = tfds.builder(name, data_dir=tfds_dir)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual_dir, try_download_gcs=False
            )
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            message = f"The disk of {builder.data_dir} is full: make room and run again."
            raise RunError(message) from error
        raise
    features = builder.info.features
    pictures = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]

    def records(split):
        return builder.as_dataset(
            split,
            decoders={key: tfds.decode.SkipDecoding() for key in pictures},
            read_config=tfds.ReadConfig(try_autocache=False),
        )

    def decode(record, window=None):
        mask = features["segmentation_mask"].decode_example(record["segmentation_mask"])
        return {
            "image": decode_image(record["image"], window),
            "segmentation_mask": cut(mask, window),
            "file_name": record["file_name"],
        }

    return Source(
        class_names=tuple(builder.info.metadata["class_names"]),
        split_sizes={split: info.num_examples for split, info in builder.info.splits.items()},
        records=records,
        image_size=lambda record: image_size(record["image"]),
        decode=decode,
    )


def training_batches(source, config, seed, *, skip_samples=0, worker=0, workers=1, split_in=1):
    """An endless stream of augmented batches.

    Sample number n, from 0, is the same whatever the batch size, the number of
    workers or the number of samples skipped.

    Args:
        source: a `Source`.
        config: a `DataConfig`.
        seed: int, of the order and of the augmentation.
        skip_samples: int, samples that are left out at the beginning, undecoded.
        worker: int, of which share of each batch this is the stream.
        workers: int, shares; batch_size is a multiple of it.
        split_in: int, batches that a worker's share of a batch comes in.

    Returns:
        A `tf.data.Dataset` of uint8 images (N, h, w, 3) and masks (N, h, w),
        h and w being crop_px, or the largest of the N images: they are filled up
        with the mean colour and masks with VOID.
    """

    def sample(number, record):
        def read(window):
            example = source.decode(record, window)
            return example["image"], example["segmentation_mask"]

        image, mask = augment_window(
            read,
            source.image_size(record),
            tf.stack([tf.constant(seed, tf.int64), number]),
            crop_px=config.crop_size_px,
            scale_range=config.scale_range,
            flip=config.flip,
            color=config.color,
        )
        return image, mask[..., 0]

    share = config.batch_size // workers
    data = training_order(source, seed, skip_samples)
    if workers > 1:
        data = data.filter(lambda number, _: number // share % workers == worker)
    data = data.map(sample, tf.data.AUTOTUNE, deterministic=True)
    if config.crop_size_px:
        data = data.batch(share // split_in, drop_remainder=True)
    else:
        data = pad_batch(data, share // split_in)
    options = tf.data.Options()
    # Samples are worked on side by side, so that no single operation needs threads of its own.
    options.threading.max_intra_op_parallelism = 1
    return data.prefetch(tf.data.AUTOTUNE).with_options(options)


def training_order(source, seed, skip_samples=0):
    """The numbered records of train, each epoch in an order of its own, without end.

    An epoch's order comes from the seed and the epoch's number, so that those before
    need not be read to go on with it. Records are small, paths or encoded images: a
    whole epoch of them is held.
    """
    size = source.split_sizes["train"]
    first_epoch, skip_records = divmod(skip_samples, size)
    records = source.records("train")

    def one_epoch(epoch):
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), key)

        def shuffled(epoch_records):
            return tf.data.Dataset.range(size).map(
                lambda place: (
                    epoch * size + place,
                    tf.nest.map_structure(lambda values: values[order[place]], epoch_records),
                )
            )

        return records.batch(size, drop_remainder=True).flat_map(shuffled)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return epochs.flat_map(one_epoch).skip(skip_records)


def pad_batch(data, batch_size):
    """Batches of images of different sizes, padded at the bottom and the right."""
    # Padding takes one value for all channels: one that no pixel has marks it.
    outside = -1
    data = data.map(lambda image, mask: (tf.cast(image, tf.int16), mask))
    data = data.padded_batch(
        batch_size,
        padding_values=(tf.constant(outside, tf.int16), tf.constant(VOID, tf.uint8)),
        drop_remainder=True,
    )

    def fill(images, masks):
        images = tf.where(images == outside, tf.constant(MEAN_RGB, tf.int16), images)
        return tf.cast(images, tf.uint8), masks

    return data.map(fill)


def spread_samples(source, split, size, count):
    """Up to `count` of a split's first `size` images, evenly spread: neighbours are often alike.

    Yields:
        dicts of `image` uint8 (H, W, 3), `truth` uint8 (H, W) and `title`, as
        `fcn_tf.drawing.sample_sheet` takes them.
    """
    yield from samples_of(source, split, spread(size, count))


def spread(size, count):
    """Up to `count` of the first `size` numbers, evenly spread."""
    return range(0, size, max(1, -(-size // count)))


def samples_of(source, split, numbers):
    """The images of a split with these numbers, in their order there; no other is decoded.

    Yields:
        dicts as `spread_samples` does.
    """
    numbers = tf.constant(sorted(map(int, numbers)), tf.int64)
    chosen = (
        source.records(split)
        .enumerate()
        .filter(lambda number, record: tf.reduce_any(number == numbers))
    )
    examples = chosen.map(lambda number, record: source.decode(record))
    for example in examples.as_numpy_iterator():
        yield {
            "image": example["image"],
            "truth": example["segmentation_mask"][..., 0],
            "title": example["file_name"].decode(),
        }


def whole_images(source, split):
    """The images of a split one by one, unpadded, in a fixed order, none dropped.

    Returns:
        A `tf.data.Dataset` of dicts: `image` uint8 (H, W, 3),
        `segmentation_mask` uint8 (H, W, 1) and `file_name`.
    """
    data = source.records(split).map(source.decode, tf.data.AUTOTUNE, deterministic=True)
    return data.prefetch(tf.data.AUTOTUNE)


def evaluation_share(source, split, worker, workers, replicas):
    """What a worker's devices evaluate, an image each in turn, whole and unpadded.

    Args:
        source: a `Source`.
        split: one of its splits.
        worker, workers: int, which machine this is, and of how many.
        replicas: int, devices of all machines.

    Returns:
        A `tf.data.Dataset` as `whole_images`. Every image is on one device; at the end
        come images without a label, so that all devices have as many.
    """
    local = replicas // workers

    def is_own(number, _):
        return number % replicas // local == worker

    data = source.records(split).enumerate().filter(is_own)
    data = data.map(lambda _, record: source.decode(record), tf.data.AUTOTUNE, deterministic=True)
    filler = {
        "image": tf.zeros((1, 1, 3), tf.uint8),
        "segmentation_mask": tf.fill((1, 1, 1), tf.constant(VOID, tf.uint8)),
        "file_name": "",
    }
    data = data.concatenate(tf.data.Dataset.from_tensors(filler).repeat())
    rounds = -(-source.split_sizes[split] // replicas)
    return data.take(rounds * local).prefetch(tf.data.AUTOTUNE)
