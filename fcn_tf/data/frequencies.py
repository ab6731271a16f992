"""How often each class occurs, and the weights that follow."""

import numpy as np
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.progress import with_progress


def count_classes(source, split):
    """Counts the labelled pixels of each class, image by image.

    Args:
        source: a `Source`.
        split: one of its splits.

    Yields:
        int64 (C,), for each image in order.
    """

    def count(record):
        mask = tf.cast(source.decode(record)["segmentation_mask"], tf.int32)
        return tf.math.bincount(tf.reshape(mask, [-1]), minlength=VOID + 1, dtype=tf.int64)

    counts = source.records(split).map(count, tf.data.AUTOTUNE)
    for image in with_progress(counts, source.split_sizes[split], "image"):
        yield image.numpy()[: len(source.class_names)]


def median_frequency_weights(counts):
    """Weights that make up for rare classes: the median frequency over the class's own.

    A class's frequency is its pixels over the labelled pixels of the images that
    it is in (Eigen and Fergus, ICCV 2015; SegNet takes it too). A class that
    never occurs gets 1.

    Args:
        counts: integer (images, C), labelled pixels.

    Returns:
        list of C floats.
    """
    counts = np.asarray(counts, np.int64)
    pixels = counts.sum(axis=0)  # (C,)
    around = ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    occurs = pixels > 0
    frequencies = pixels[occurs] / around[occurs]
    weights = np.ones(len(pixels))
    weights[occurs] = np.median(frequencies) / frequencies
    return weights.tolist()
