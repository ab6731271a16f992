"""Any network of keras.applications whose layers have names."""

import contextlib

import keras
from keras import layers

from fcn_tf.models.layers import PadToGrid


def application(images, arguments, classifier, endpoints):
    """A network of keras.applications without its top, scored at three of its layers.

    Args:
        images: KerasTensor (N, H, W, 3), preprocessed.
        arguments: `Arguments`.
        classifier: name of the function in keras.applications.
        endpoints: the names of its layers by endpoint, None for its output.

    Returns:
        dict of KerasTensors: pool3 (N, H/8, W/8, …), pool4 (N, H/16, W/16, …), fc7
        (N, H/32, W/32, …).
    """
    # Sides of whole cells, so that strides fall on the same pixels in images of any size.
    padded = PadToGrid(32, name="pad", dtype="float32")(images)
    with _default_policy(arguments.dtype):
        network = build_application(classifier, padded, arguments.width)
    maps = {
        endpoint: network.get_layer(name).output if name else network.output
        for endpoint, name in endpoints.items()
    }
    if arguments.dropout:
        drop = layers.Dropout(arguments.dropout, name="drop7", dtype=arguments.dtype)
        maps["fc7"] = drop(maps["fc7"])
    return maps


def build_application(classifier, images=None, width=1.0, weights=None, include_top=False):
    """A network of keras.applications, which takes its input as it comes.

    Args:
        classifier: name of the function.
        images: KerasTensor to build it on, or None.
        width: float, of those that come narrower (alpha).
        weights: "imagenet", a file, or None for random ones.
        include_top: bool, whether with the dense layers.
    """
    options = {} if images is None else {"input_tensor": images}
    if classifier.startswith(("MobileNetV3", "EfficientNetV2")):
        options["include_preprocessing"] = False
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
