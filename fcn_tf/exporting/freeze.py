"""A network as a function whose weights are constants, of which graphs are built."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from fcn_tf.errors import InputError
from fcn_tf.exporting.device_graph import first_convolution
from fcn_tf.models.fcn import FCN
from fcn_tf.models.layers import CaffePreprocessing
from fcn_tf.models.upsampling import Conv2DTranspose, is_bilinear

# What protobuf can hold in one message, less room for the graph.
LARGEST_BYTES = 2**31 - 2**24


def freeze(model: FCN, precision: str = "float32") -> Callable[[Any], Any]:
    """The network with its weights as constants, which oneDNN keeps in a layout of its own.

    Args:
        model: an `FCN`.
        precision: "float32", or "bfloat16": the layers that compute in it hold their
            weights in it.

    Returns:
        A `tf.function` of uint8 images (N, H, W, 3) to float32 logits (N, H, W, C), all
        sides free.

    Raises:
        InputError: the weights are too large for one file.
    """
    # Plain bfloat16 holds the weights in it too, where the mixed policy would cast them at every
    # call. Score layers and logits are float32 under both.
    images = tf.TensorSpec((None, None, None, 3), tf.uint8)
    with tf.init_scope():  # the weights have numbers, even while somebody traces a function
        twin = model.with_policy(precision)
        _decide(twin)
        return with_constants(twin, images)


def _decide(network: FCN) -> None:
    """Decides what constant weights allow to be decided once."""
    for layer in network.layers:
        if isinstance(layer, Conv2DTranspose):
            layer.bilinear = is_bilinear(layer.kernel.numpy(), layer.strides[0])
    preprocessing = network.get_layer("preprocessing")
    first = first_convolution(network, preprocessing)
    if isinstance(preprocessing, CaffePreprocessing) and first is not None:
        # To pick channels takes longer than the first convolution. What is padded between the two
        # is zero in every order of the channels.
        first.kernel.assign(keras.ops.flip(first.kernel, axis=2))
        preprocessing.flips = False


def with_constants(network: keras.Model, images: tf.TensorSpec) -> Callable[[Any], Any]:
    """A `tf.function` of such images that has the weights of a network as constants.

    Args:
        network: a Keras model of images (N, H, W, 3).
        images: shape and dtype.

    Raises:
        InputError: the weights are too large for one file.
    """
    trainable = [variable.numpy() for variable in network.trainable_variables]
    others = [variable.numpy() for variable in network.non_trainable_variables]
    size = sum(array.nbytes for array in (*trainable, *others))
    if size > LARGEST_BYTES:
        raise InputError(
            f"The weights are {size / 1e9:.1f} GB, and a file holds 2 GB of constants: "
            "export in bfloat16, or train with a smaller model.width or model.head_units."
        )

    @tf.function(input_signature=[images])
    def logits(images):
        return network.stateless_call(trainable, others, images, training=False)[0]

    return logits
