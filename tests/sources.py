"""Data sets in memory, whose pixels say where they come from."""

from itertools import accumulate, chain

import numpy as np
import tensorflow as tf

from fcn_tf.data.source import Source
from fcn_tf.images.graph import cut, from_python


def numbered_pair(height, width, first=0):
    """An image and its mask, which counts the pixels from `first`, as the image's red does."""
    mask = np.arange(first, first + height * width, dtype=np.uint8).reshape(height, width)
    return np.stack([mask, 255 - mask, np.full_like(mask, 7)], axis=-1), mask


def source_of(class_names=("a", "b", "c"), colors=None, **splits):
    """A data set of pairs: images uint8 (H, W, 3) and masks uint8 (H, W), of each split.

    The names of the files count the pairs of all splits: "0.png", "1.png", …
    """
    pairs = list(chain(*splits.values()))
    sizes = {split: len(of_split) for split, of_split in splits.items()}
    firsts = dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))

    def decode(number, window=None):
        image = from_python(lambda n: pairs[n][0], (number,), channels=3)
        mask = from_python(lambda n: pairs[n][1][..., None], (number,), channels=1)
        return {
            "image": cut(image, window),
            "segmentation_mask": cut(mask, window),
            "file_name": tf.strings.join([tf.strings.as_string(number), ".png"]),
        }

    return Source(
        class_names=class_names,
        split_sizes=sizes,
        records=lambda split: tf.data.Dataset.range(firsts[split], firsts[split] + sizes[split]),
        image_size=lambda number: tf.constant([image.shape[:2] for image, _ in pairs])[number],
        decode=decode,
        colors=colors,
    )
