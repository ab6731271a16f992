"""Networks of keras.applications as trunks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from fcn_tf.models.layers import BATCH_NORM_MOMENTUM, PadToGrid, Tensor
from fcn_tf.models.trunks.arguments import TrunkArguments
from fcn_tf.models.trunks.convolutions import with_dropout


def application(
    images: Tensor,
    arguments: TrunkArguments,
    classifier: str,
    endpoints: Mapping[str, str | None],
    keras_options: Mapping[str, Any],
) -> dict[str, Tensor]:
    """A network of keras.applications without its top, scored at some of its layers.

    Args:
        images: preprocessed images (N, H, W, 3).
        arguments: the trunk's.
        classifier: name of the function in keras.applications.
        endpoints: name of the network's layer for each endpoint; None for its output.
        keras_options: further keyword arguments of that function.

    Returns:
        Maps pool3 (N, H/8, W/8, …), pool4 (N, H/16, W/16, …) and fc7 (N, H/32, W/32, …), with an
        output stride of 16 (N, H/16, W/16, …); and pool1 (N, H/2, W/2, …) and pool2 (N, H/4, W/4,
        …) where `endpoints` has them.
    """
    # Both sides become multiples of 32, so that a stride begins at the same pixels in images
    # of any size.
    padded = PadToGrid(32, name="pad", dtype="float32")(images)
    with _default_policy(arguments.dtype):
        network = build_application(
            classifier, arguments.width, input_tensor=padded, **keras_options
        )
    if arguments.output_stride == 16:
        network = _dilated(network, endpoints["pool4"])
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Keras' 0.99 and 0.999 are for the hundreds of thousands of steps of ImageNet.
            layer.momentum = BATCH_NORM_MOMENTUM
    maps = {
        endpoint: network.get_layer(name).output if name else network.output
        for endpoint, name in endpoints.items()
    }
    return {**maps, "fc7": with_dropout(maps["fc7"], "drop7", arguments)}


def build_application(
    classifier: str,
    width: float = 1.0,
    weights: str | None = None,
    include_top: bool = False,
    **options: Any,
) -> keras.Model:
    """A network of keras.applications.

    Args:
        classifier: name of the function in keras.applications.
        width: factor on the number of filters, Keras' `alpha`; 1 if the network has none.
        weights: "imagenet", the path of a file, or None for random weights.
        include_top: whether with the dense layers.
        options: further keyword arguments of that function.
    """
    if width != 1:
        options["alpha"] = width
    return getattr(keras.applications, classifier)(
        include_top=include_top, weights=weights, **options
    )


def _dilated(network: keras.Model, last: str | None) -> keras.Model:
    """The same network whose layers behind the layer `last` have dilation in place of a stride.

    The kernels see the same cells as before, at twice as many places along each axis (Chen et al.
    2017, section 3.1). Layers keep their names and the shapes of their weights.
    """
    names = [layer.name for layer in network.layers]
    behind = set(names[names.index(last) + 1 :]) if last else set()
    has_lost_stride = False

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        nonlocal has_lost_stride
        config = layer.get_config()
        if layer.name in behind:
            if max(getattr(layer, "strides", (1, 1))) > 1:
                # "same" also where the padding stood in a layer of its own.
                config |= {"strides": (1, 1), "padding": "same"}
                has_lost_stride = True
            elif has_lost_stride and max(getattr(layer, "kernel_size", (1, 1))) > 1:
                config["dilation_rate"] = (2, 2)
            elif isinstance(layer, keras.layers.ZeroPadding2D):
                config["padding"] = 0
        return type(layer).from_config(config)

    return keras.models.clone_model(network, input_tensors=network.input, clone_function=copied)


@contextlib.contextmanager
def _default_policy(dtype: Any) -> Iterator[None]:
    """Sets Keras' default dtype policy, the only one that keras.applications obeys."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
