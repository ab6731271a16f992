"""Any network of keras.applications whose layers have names."""

import contextlib

import keras

from fcn_tf.models.layers import BATCH_NORM_MOMENTUM, PadToGrid
from fcn_tf.models.trunks.convolutions import dropped


def application(images, arguments, classifier, endpoints, keras_options):
    """A network of keras.applications without its top, scored at three of its layers.

    Args:
        images: KerasTensor (N, H, W, 3), preprocessed.
        arguments: `Arguments`.
        classifier: name of the function in keras.applications.
        endpoints: the names of its layers by endpoint, None for its output.
        keras_options: dict of what that function takes besides.

    Returns:
        dict of KerasTensors: pool3 (N, H/8, W/8, …), pool4 (N, H/16, W/16, …), fc7
        (N, H/32, W/32, …).
    """
    # Sides of whole cells, so that strides fall on the same pixels in images of any size.
    padded = PadToGrid(32, name="pad", dtype="float32")(images)
    with _default_policy(arguments.dtype):
        network = build_application(
            classifier, arguments.width, input_tensor=padded, **keras_options
        )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Keras' 0.99 and 0.999 are for the hundreds of thousands of steps of ImageNet.
            layer.momentum = BATCH_NORM_MOMENTUM
    maps = {
        endpoint: network.get_layer(name).output if name else network.output
        for endpoint, name in endpoints.items()
    }
    return {**maps, "fc7": dropped(maps["fc7"], "drop7", arguments)}


def build_application(classifier, width=1.0, weights=None, include_top=False, **options):
    """A network of keras.applications.

    Args:
        classifier: name of the function.
        width: float, of those that come narrower (alpha).
        weights: "imagenet", a file, or None for random ones.
        include_top: bool, whether with the dense layers.
        options: what that function takes besides.

    Returns:
        a keras.Model.
    """
    if width != 1:
        options["alpha"] = width
    return getattr(keras.applications, classifier)(
        include_top=include_top, weights=weights, **options
    )


@contextlib.contextmanager
def _default_policy(dtype):
    """Keras' own networks take the default policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
