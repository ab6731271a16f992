"""Networks of random weights whose maps are as large as those of trained ones."""

import numpy as np

CLASSES = 21
STEPS = 30  # in which batch normalization takes the statistics of the images


def random_network(variant, images, **sizes):
    """A network of random weights in every layer, the scores included.

    Args:
        variant: as in `fcn_tf.build_fcn`.
        images: uint8 (N, H, W, 3), whose statistics batch normalization takes. Without, deep maps
            vanish, and XNNPACK leaves out 8-bit operators whose numbers are that small.
        sizes: further arguments of `fcn_tf.build_fcn`.
    """
    import keras

    import fcn_tf

    # XNNPACK refuses int8 files of some random networks that are a channel or two wide.
    keras.utils.set_random_seed(0)
    model = fcn_tf.build_fcn(variant, CLASSES, **sizes)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score") and hasattr(layer, "kernel"):  # they start at 0
            layer.kernel.assign(random.standard_normal(layer.kernel.shape))
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        for _ in range(STEPS):
            model(images, training=True)
    return model
