"""Masks in TensorFlow graphs: the labels that `masks` says, decoded faster.

TensorFlow decodes greyscale PNGs of 8 bits. All others go to Pillow, which also refuses what the
rule refuses. Contents and names are scalar strings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.classes import VOID
from fcn_tf.images.coding import UNKNOWN, Coding
from fcn_tf.images.graph import PNG, Tensor, from_python, name_and_bytes, starts_with
from fcn_tf.images.label_cache import LabelCache
from fcn_tf.images.masks import read_mask

PNG_KIND = (24, 2)  # the place of bit depth and colour type in a PNG, as (start, length)
GREY_8_BIT = b"\x08\x00"


def decode_mask(contents: Tensor, coding: Coding, name: Tensor = "the mask") -> Tensor:
    """The labels of a mask, uint8 (H, W, 1) with VOID, as `read_mask` gives them.

    Args:
        contents: the bytes of the file.
        coding: what its values mean.
        name: of the file, for messages.
    """

    cache = _cache_of(coding)

    def by_pillow() -> Tensor:
        def read(*given: Any) -> NDArray[np.uint8]:
            path, encoded = name_and_bytes(*given)
            return cache.labels(encoded, lambda: read_mask(path, coding, encoded))

        return from_python(read, (name, contents), channels=1)

    def of_grey_png() -> Tensor:
        values = tf.io.decode_png(contents, channels=1)
        labels, outside = labels_of_values(values, coding)
        # Pillow's way names the file and the value.
        return tf.cond(outside, by_pillow, lambda: labels)

    # TensorFlow would turn palettes into colours and scale values of fewer bits.
    return tf.cond(is_grey_png(contents), of_grey_png, by_pillow)


@lru_cache(maxsize=2)
def _cache_of(coding: Coding) -> LabelCache:
    """The cache of all graphs that read masks of a coding, such as those of train and val."""
    return LabelCache()


def labels_of_values(values: Tensor, coding: Coding) -> tuple[Tensor, Tensor]:
    """The labels of a mask's values.

    Args:
        values: uint8, of any shape.
        coding: what they mean.

    Returns:
        uint8 of the same shape, labels and VOID, and whether a value belongs to no class.
    """
    if coding.mask_values is not None:
        labels = tf.gather(tf.constant(coding.table), tf.cast(values, tf.int32))
        outside = tf.reduce_any(labels == UNKNOWN)
        return tf.cast(labels, tf.uint8), outside
    if coding.ignore_label is not None:
        values = tf.where(values == coding.ignore_label, tf.constant(VOID, tf.uint8), values)
    return values, tf.reduce_any((values >= coding.num_classes) & (values != VOID))


def is_grey_png(contents: Tensor) -> Tensor:
    """Whether a file is an 8-bit greyscale PNG, whose values TensorFlow gives as they are."""
    # Zeros behind it, since TensorFlow takes no part of a text that is shorter.
    head = tf.strings.join([tf.strings.substr(contents, 0, sum(PNG_KIND)), b"\0" * sum(PNG_KIND)])
    grey = tf.strings.substr(head, *PNG_KIND) == GREY_8_BIT
    return tf.logical_and(starts_with(head, PNG), grey)
