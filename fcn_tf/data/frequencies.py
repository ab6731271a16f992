"""How often each class occurs, and the class weights that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from fcn_tf.classes import VOID
from fcn_tf.data.broken import decoded, skip
from fcn_tf.data.occurrence import Counts
from fcn_tf.data.source import Record, Source
from fcn_tf.images.graph import Tensor
from fcn_tf.progress import with_progress

EXTREME_RATIO = 100  # of the largest weight to the smallest


def count_classes(source: Source, split: str) -> Iterator[NDArray[np.int64]]:
    """Counts the labelled pixels of each class, image by image, with a progress bar.

    Args:
        source: the data set.
        split: one of its splits.

    Yields:
        int64 (C,), for each image in order.
    """
    counts = label_counts(source, split)
    for image in with_progress(counts, source.split_sizes[split], "image"):
        yield image.labelled


def label_counts(source: Source, split: str) -> Iterator[Counts]:
    """What the masks of a split hold, image by image, in order."""

    def count(record: Record) -> Tensor:
        mask = tf.cast(source.decode(record)["segmentation_mask"], tf.int32)
        return tf.math.bincount(tf.reshape(mask, [-1]), minlength=VOID + 1, dtype=tf.int64)

    def none(record: Record) -> Tensor:
        with tf.control_dependencies([skip(source, record)]):
            return tf.zeros(VOID + 1, tf.int64)

    for image in decoded(source, source.records(split), count, none).as_numpy_iterator():
        yield Counts(image[: len(source.class_names)], int(image[VOID]))


def median_frequency_weights(counts: ArrayLike) -> list[float]:
    """Weights that make up for rare classes: the median frequency over the class's own.

    The frequency of a class is its pixels over the labelled pixels of the images that
    contain it (Eigen and Fergus, ICCV 2015; SegNet uses it too). A class that
    never occurs gets 1.

    Args:
        counts: integer (images, C), labelled pixels.

    Returns:
        C weights.

    Example:
        >>> median_frequency_weights([[80, 20, 0], [10, 10, 80]])
        [1.0, 3.0, 0.5625]
    """
    per_image = np.asarray(counts, np.int64)  # (images, C)
    pixels = per_image.sum(axis=0)  # (C,)
    around = ((per_image > 0) * per_image.sum(axis=1, keepdims=True)).sum(axis=0)
    occurs = pixels > 0
    weights = np.ones(len(pixels))
    if occurs.any():
        frequencies = pixels[occurs] / around[occurs]
        weights[occurs] = np.median(frequencies) / frequencies
    return weights.tolist()


def sqrt_median_frequency_weights(counts: ArrayLike) -> list[float]:
    """The square roots of `median_frequency_weights`: rare classes count more, but not as much.

    Args:
        counts: integer (images, C), labelled pixels.

    Returns:
        C weights.

    Example:
        >>> sqrt_median_frequency_weights([[80, 20, 0], [10, 10, 80]])
        [1.0, 1.7320508075688772, 0.75]
    """
    return np.sqrt(median_frequency_weights(counts)).tolist()


# By the name that loss.class_weights takes.
WEIGHTINGS: dict[str, Callable[[ArrayLike], list[float]]] = {
    "median_frequency": median_frequency_weights,
    "sqrt_median_frequency": sqrt_median_frequency_weights,
}


def extreme_weights(weights: Sequence[float], names: Sequence[str]) -> str | None:
    """The warning where one class counts more than 100 times as much as another, or None.

    Args:
        weights: C weights above 0.
        names: C names.
    """
    least, most = int(np.argmin(weights)), int(np.argmax(weights))
    ratio = weights[most] / weights[least]
    if ratio <= EXTREME_RATIO:
        return None
    return (
        f"A pixel of {names[most]} counts {ratio:.0f} times as much as one of {names[least]}. "
        f"Above {EXTREME_RATIO}, networks often see the rare class where it is not: compare "
        "--loss.class_weights sqrt_median_frequency and none."
    )
