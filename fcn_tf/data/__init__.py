"""Data sets with masks, and the way from their records to batches.

Importing this module registers the TFDS data sets `shapes` and `voc_segmentation`.
"""

from fcn_tf.data.pipeline import open_source, training_batches, whole_images

__all__ = ["open_source", "training_batches", "whole_images"]
