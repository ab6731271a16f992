"""A classifier made convolutional: it then scores every place of a larger image.

Long et al. 2015, section 3.1 and figure 2: a dense layer is a convolution whose kernel covers
its whole input.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

# Each global pooling layer and the one that pools windows in its place.
GLOBAL_POOLING = {
    layers.GlobalAveragePooling2D: layers.AveragePooling2D,
    layers.GlobalMaxPooling2D: layers.MaxPooling2D,
}
# Layers that give images of any size one fixed size.
FIXED_SIZE = (layers.Resizing, layers.CenterCrop, layers.RandomCrop)
# Layers that treat each cell alone, which stay as they are.
CELLWISE = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.LeakyReLU,
    layers.ReLU,
    layers.Softmax,
)


def convolutionalize(classifier: keras.Model) -> keras.Model:
    """Turns a classifier into a network that maps an image to a map of class scores.

    Flatten and the dense layer after it become a convolution over the whole feature map.
    Global pooling becomes pooling over windows of the feature map's size with stride 1.
    Further dense layers become 1 x 1 convolutions. Preprocessing stays as it is.

    At the classifier's own image size, the map has one cell: the classifier's output. In an
    image that is larger by a multiple of the network's stride, each cell is the classifier's
    output for its part of the image, except for the effect of the layers' zero padding, which
    then lies at the border of the larger image.

    Args:
        classifier: a functional or sequential Keras classifier of images of one fixed size,
            channels last, that ends in Flatten or global pooling and dense layers.

    Returns:
        A model with a copy of the weights. It maps images (N, H, W, channels), at least as
        large as the classifier's, to the classifier's outputs (N, h, w, classes).

    Raises:
        ValueError: the classifier is built in another way.

    Example:
        >>> classifier = keras.applications.VGG16(classifier_activation=None)
        >>> network = fcn_tf.convolutionalize(classifier)
        >>> network(np.zeros((1, 320, 480, 3), "float32"), training=False).shape
        TensorShape([1, 4, 9, 1000])
    """
    _check_ends(classifier)
    _check_layers(classifier)
    if isinstance(classifier, keras.Sequential):
        # Loading builds a sequential model twice, and its layers lose track of their inputs.
        twin = keras.models.clone_model(classifier)
        twin.set_weights(classifier.get_weights())
        classifier = twin
    head = _head(classifier)
    features = keras.Model(classifier.inputs[0], head[0].input)
    size = head[0].input.shape[1:3]  # of the head's map at the classifier's own image size
    larger = _growing(features, classifier.name, head[0].name)
    larger.set_weights(features.get_weights())

    images, x = larger.inputs[0], larger.outputs[0]  # (N, H, W, channels), (N, h, w, C)
    replaced = []
    for layer in head:
        replacement = _convolutional(layer, size)
        if replacement is None:
            continue
        x = replacement(x)
        replaced.append((replacement, layer))
        if not isinstance(layer, CELLWISE):
            size = (1, 1)
    model = keras.Model(images, x, name=f"{classifier.name}_convolutional")
    for replacement, layer in replaced:
        arrays = layer.get_weights()
        shapes = [variable.shape for variable in replacement.weights]
        # Flatten goes through a map row by row: reshaping turns a dense kernel into a
        # convolution's.
        replacement.set_weights([a.reshape(s) for a, s in zip(arrays, shapes, strict=True)])
    _check_equal_at_own_size(model, classifier)
    return model


def _check_ends(classifier: keras.Model) -> None:
    """Refuses a classifier without one input of a fixed size and one output."""
    shapes = [tuple(tensor.shape) for tensor in getattr(classifier, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:]:
        raise ValueError(
            f"{classifier.name} takes {shapes}: only a classifier with one input of a fixed "
            "size, (None, height, width, channels), can be made convolutional."
        )
    if len(classifier.outputs) != 1:
        raise ValueError(
            f"{classifier.name} has {len(classifier.outputs)} outputs: only a classifier with "
            "one output, the scores of the classes, can be made convolutional."
        )


def _check_layers(model: keras.Model) -> None:
    """Refuses layers, also those of models inside it, that no larger image can go through."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _check_layers(layer)
        elif isinstance(layer, FIXED_SIZE):
            raise ValueError(
                f"{layer.name} gives every image the same size, so that there is nothing to gain "
                "from a larger image: build the classifier without it."
            )
        elif getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                f"{layer.name} takes (N, channels, height, width): only a classifier that is built "
                'with data_format="channels_last" can be made convolutional.'
            )


def _growing(features: keras.Model, name: str, reducer: str) -> keras.Model:
    """A clone for images of any size, whose map grows as the image does.

    Args:
        features: the classifier up to the map before its head.
        name: what messages call the classifier.
        reducer: and the first layer of its head.
    """
    _, height, width, channels = features.inputs[0].shape
    _, rows, columns, _ = features.outputs[0].shape
    try:
        larger = _any_size(features)
        higher, wider = (
            tuple(larger.compute_output_shape((1, *size, channels))[1:3])
            for size in ((2 * height, width), (height, 2 * width))
        )
        if higher[0] <= rows or wider[1] <= columns:
            raise ValueError(
                f"{rows} x {columns} cells become {higher[0]} x {higher[1]} and "
                f"{wider[0]} x {wider[1]}"
            )
    except Exception as error:  # Keras raises errors of several kinds
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"{name} cannot be made convolutional: its map does not grow with an image that is "
            f"twice as high or twice as wide ({reason}). Build it without layers such as Permute "
            f"and Reshape, which move or mix the places of the map, before {reducer}."
        ) from error
    return larger


def _check_equal_at_own_size(model: keras.Model, classifier: keras.Model) -> None:
    """Compares the map's one cell with the classifier's output, for noise of its own size."""
    shape = (1, *classifier.inputs[0].shape[1:])
    noise = np.random.default_rng(0).normal(size=shape).astype("float32")

    def scores_of(network: keras.Model) -> NDArray[np.float32]:
        scores = keras.ops.cast(network(noise, training=False), "float32")
        return keras.ops.convert_to_numpy(scores).ravel()

    cell, scores = scores_of(model), scores_of(classifier)
    # The tolerance allows for bfloat16; a layer that was replaced wrongly differs by more.
    is_equal = (
        cell.size == scores.size and np.abs(cell - scores).max() <= 0.05 * np.abs(scores).max()
    )
    if not is_equal:
        raise ValueError(
            f"{classifier.name} cannot be made convolutional: at its own image size the result "
            "differs from it."
        )


def _any_size(model: keras.Model) -> keras.Model:
    """A clone for images of any size; models inside it are cloned in the same way."""
    channels = model.inputs[0].shape[-1]

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return _any_size(layer)
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(
        model,
        input_tensors=keras.Input((None, None, channels), name="image"),
        clone_function=clone,
    )


def _head(classifier: keras.Model) -> list[keras.layers.Layer]:
    """The layers from the one that reduces the map to a vector up to the output, in order."""
    producers = {id(layer.output): layer for layer in classifier.layers if _is_single(layer)}
    chain: list[keras.layers.Layer] = []
    layer = producers.get(id(classifier.outputs[0]))
    while layer is not None and _may_be_in_head(layer):
        chain.insert(0, layer)
        layer = producers.get(id(layer.input))
    for index, reducer in enumerate(chain):
        takes_map = isinstance(reducer, (layers.Flatten, *GLOBAL_POOLING))
        if takes_map and len(reducer.input.shape) == 4:
            return chain[index:]
    last = layer.name if layer is not None else "an operation that is no layer"
    raise ValueError(
        f"{classifier.name} cannot be made convolutional: going back from its output, {last} "
        "comes before any Flatten or global pooling. After one of those, only Dense, 1 x 1 "
        "Conv2D, Dropout, BatchNormalization and activation layers may follow."
    )


def _may_be_in_head(layer: keras.layers.Layer) -> bool:
    """Whether `_convolutional` can replace a layer."""
    match layer:
        case layers.Conv2D():
            return layer.kernel_size == (1, 1)
        case layers.Reshape():  # between a vector and a map of one cell
            return math.prod(layer.target_shape[:-1]) == 1
        case layers.Softmax() | layers.BatchNormalization():
            return layer.axis in (-1, len(layer.input.shape) - 1)
    return isinstance(layer, (layers.Dense, layers.Flatten, *CELLWISE, *GLOBAL_POOLING))


def _is_single(layer: keras.layers.Layer) -> bool:
    """Whether a layer is called once, with one input and one output."""
    try:
        return not isinstance(layer.input, (list, dict)) and not isinstance(layer.output, list)
    except (AttributeError, ValueError):
        return False


def _convolutional(layer: keras.layers.Layer, size: tuple[int, int]) -> keras.layers.Layer | None:
    """The layer that does on a map what `layer` does on the `size` = (h, w) cells of one image.

    None for a layer that only changes the shape.
    """
    if isinstance(layer, (layers.Flatten, layers.Reshape)):
        return None
    for pooling, local in GLOBAL_POOLING.items():
        if isinstance(layer, pooling):
            return local(size, strides=1, name=layer.name, dtype=layer.dtype_policy)
    if isinstance(layer, layers.Dense):
        return layers.Conv2D(
            layer.units,
            size,
            activation=layer.activation,
            use_bias=layer.use_bias,
            trainable=layer.trainable,
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    is_softmax = isinstance(layer, layers.Softmax) or (
        getattr(layer, "activation", None) is keras.activations.softmax
    )
    if (layer.weights or is_softmax) and math.prod(size) > 1:
        raise ValueError(
            f"{layer.name} treats {size[0]} x {size[1]} places together and cannot be moved over a "
            "larger image."
        )
    config = layer.get_config()
    if "axis" in config:
        config["axis"] = -1  # of a vector it may have been 1
    return type(layer).from_config(config)
