"""A classifier made convolutional: its scores at every place of a larger image.

Long et al. 2015, section 3.1 and figure 2: a dense layer is a convolution whose
kernel covers its whole input.
"""

import math

import keras
import numpy as np
from keras import layers

GLOBAL_POOLING = {
    layers.GlobalAveragePooling2D: layers.AveragePooling2D,
    layers.GlobalMaxPooling2D: layers.MaxPooling2D,
}
OF_FIXED_SIZE = (layers.Resizing, layers.CenterCrop, layers.RandomCrop)
# Layers that treat each cell alone and are taken as they are.
CELLWISE = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.LeakyReLU,
    layers.ReLU,
    layers.Softmax,
)


def convolutionalize(classifier):
    """Turns a classifier into a network that maps an image to a map of class scores.

    Flatten and a dense layer become a convolution over the whole feature map,
    global pooling becomes pooling of that size with stride 1, further dense
    layers become 1 x 1 convolutions. At the classifier's own image size the
    map has one cell, the classifier's output. In an image that is larger by a
    multiple of the network's stride a cell is what the classifier says of its
    part of the image, but for the layers' padding, which then lies further out.
    Preprocessing stays as the classifier had it.

    Args:
        classifier: a functional or sequential Keras classifier of images of one
            fixed size, channels last, that ends in Flatten or global pooling and
            dense layers.

    Returns:
        A `keras.Model`: images (N, H, W, channels) of at least the classifier's
        size to (N, h, w, classes), what the classifier puts out, with a copy of
        its weights.

    Raises:
        ValueError: the classifier is built otherwise.
    """
    shapes = [tuple(tensor.shape) for tensor in getattr(classifier, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:]:
        raise ValueError(
            f"{classifier.name} takes {shapes}: a classifier with one input of a fixed size, "
            "(None, height, width, channels), can be made convolutional."
        )
    if len(classifier.outputs) != 1:
        raise ValueError(
            f"{classifier.name} has {len(classifier.outputs)} outputs: one, the scores of the "
            "classes, is what can be made convolutional."
        )
    if isinstance(classifier, keras.Sequential):
        # Loading builds one twice, so that its layers no longer know their neighbours.
        twin = keras.models.clone_model(classifier)
        twin.set_weights(classifier.get_weights())
        classifier = twin
    head = _head(classifier)
    features = keras.Model(classifier.inputs[0], head[0].input)
    larger = _of_any_size(features)
    larger.set_weights(features.get_weights())

    images, x = larger.inputs[0], larger.outputs[0]  # (N, H, W, channels), (N, h, w, C)
    size = head[0].input.shape[1:3]  # of the map that the head sees at the native size
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
        # Flatten reads a map row by row, so a dense kernel is a convolution's, reshaped.
        replacement.set_weights([a.reshape(s) for a, s in zip(arrays, shapes, strict=True)])
    _check_native(model, classifier)
    return model


def _check_native(model, classifier):
    """Holds the map's one cell to the classifier's output, on noise of the native size."""
    shape = (1, *classifier.inputs[0].shape[1:])
    noise = np.random.default_rng(0).normal(size=shape).astype("float32")
    cell, scores = (
        keras.ops.convert_to_numpy(keras.ops.cast(network(noise, training=False), "float32"))
        for network in (model, classifier)
    )
    # Wide enough for bfloat16; a layer taken for what it is not differs by more.
    same = cell.size == scores.size
    if not (same and np.abs(cell.ravel() - scores.ravel()).max() <= 0.05 * np.abs(scores).max()):
        raise ValueError(
            f"{classifier.name} cannot be made convolutional: at its own image size the result "
            "differs from it."
        )


def _of_any_size(model):
    """A clone for images of any size, with the models inside it alike."""
    channels = model.inputs[0].shape[-1]

    def clone(layer):
        if isinstance(layer, OF_FIXED_SIZE):
            raise ValueError(
                f"{layer.name} gives every image the same size, so there is no larger one: "
                "take the classifier without it."
            )
        if isinstance(layer, keras.Model):
            return _of_any_size(layer)
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(
        model,
        input_tensors=keras.Input((None, None, channels), name="image"),
        clone_function=clone,
    )


def _head(classifier):
    """The layers from the one that gives up the map to the output, in order."""
    producers = {id(layer.output): layer for layer in classifier.layers if _is_single(layer)}
    chain = []
    tensor = classifier.outputs[0]
    while layer := producers.get(id(tensor)):
        if not _may_be_in_head(layer):
            break
        chain.insert(0, layer)
        tensor = layer.input
    starts = [
        index
        for index, layer in enumerate(chain)
        if isinstance(layer, (layers.Flatten, *GLOBAL_POOLING)) and len(layer.input.shape) == 4
    ]
    if not starts:
        last = layer.name if layer else "an operation that is no layer"
        raise ValueError(
            f"{classifier.name} cannot be made convolutional: going back from its output, {last} "
            "comes before any Flatten or global pooling. Behind those there may be Dense, 1 x 1 "
            "Conv2D, Dropout, BatchNormalization and activation layers."
        )
    return chain[starts[0] :]


def _may_be_in_head(layer):
    """Whether `_convolutional` can replace a layer."""
    match layer:
        case layers.Conv2D():
            return layer.kernel_size == (1, 1)
        case layers.Reshape():  # between a vector and a map of one cell
            return math.prod(layer.target_shape[:-1]) == 1
        case layers.Softmax() | layers.BatchNormalization():
            return layer.axis in (-1, len(layer.input.shape) - 1)
    return isinstance(layer, (layers.Dense, layers.Flatten, *CELLWISE, *GLOBAL_POOLING))


def _is_single(layer):
    """Whether a layer is called once, with one input and one output."""
    try:
        return not isinstance(layer.input, (list, dict)) and not isinstance(layer.output, list)
    except (AttributeError, ValueError):
        return False


def _convolutional(layer, size):
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
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    softmax = isinstance(layer, layers.Softmax) or (
        getattr(layer, "activation", None) is keras.activations.softmax
    )
    if (layer.weights or softmax) and math.prod(size) > 1:
        raise ValueError(
            f"{layer.name} treats {size[0]} x {size[1]} places together and cannot be moved over a "
            "larger image."
        )
    config = layer.get_config()
    if "axis" in config:
        config["axis"] = -1  # of a vector it may have been 1
    return type(layer).from_config(config)
