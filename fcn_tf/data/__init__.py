"""Data sets with masks, and the way from their records to batches.

Importing this module registers the TFDS data set `shapes`.
"""

from fcn_tf.data.pipeline import open_source, training_batches, whole_images

__all__ = ["open_source", "training_batches", "whole_images"]
