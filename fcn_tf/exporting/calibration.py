"""Which images the ranges of an 8-bit file are taken from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.models.fcn import FCN

# The share of the images that are left out. docs/on-device.md has what it changes.
LEFT_OUT = 0.5


def calibration_images(
    model: FCN, images: Iterable[NDArray[np.uint8]]
) -> Iterable[NDArray[np.uint8]]:
    """The images that tell the range of every activation: all, or those that are ordinary.

    The range of an activation reaches from its smallest to its largest value on all of them. In
    EfficientNetV2, a deep network of swish, activations differ between images, and more so with
    every block: the last map of one image can be a hundred times that of another. Such an image
    widens the ranges, and with them the steps of 8 bits, for all others. So a network with swish
    leaves out the half of the images whose last map has the largest values. Values beyond the
    ranges of the other half are cut off.

    Args:
        model: an `FCN`.
        images: uint8 (H, W, 3) each.

    Returns:
        Images of `images`, in their order.
    """
    return _ordinary(model, list(images)) if _has_swish(model) else images


def _has_swish(network: keras.Model) -> bool:
    activations = [getattr(layer, "activation", None) for layer in network.layers]
    return keras.activations.silu in activations


def _ordinary(model: FCN, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    last_map = keras.Model(model.inputs[0], model.get_layer("score_fr").input)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8)])
    def largest(image):
        return tf.reduce_max(tf.abs(last_map(image, training=False)))

    sizes = [float(largest(image[None])) for image in images]
    kept = sorted(np.argsort(sizes, kind="stable")[: len(images) - int(LEFT_OUT * len(images))])
    return [images[index] for index in kept]
