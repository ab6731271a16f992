"""From a model to labels."""

import tensorflow as tf


def labels_fn(model):
    """Compiles a model's prediction, once for all image sizes.

    Args:
        model: maps images (N, H, W, 3) in 0..255 to logits (N, H, W, C), C <= 256.

    Returns:
        A function of uint8 (N, H, W, 3) to uint8 labels (N, H, W).
    """

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def predict(images):
        logits = model(images, training=False)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    return predict
