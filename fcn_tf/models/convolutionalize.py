"""A classifier made convolutional: its scores at every place of a larger image.

Long et al. 2015, section 3.1 and figure 2: a dense layer is a convolution whose
kernel covers its whole input.
"""

import math

import keras
from keras import layers

GLOBAL_POOLING = {
    layers.GlobalAveragePooling2D: layers.AveragePooling2D,
    layers.GlobalMaxPooling2D: layers.MaxPooling2D,
}
VECTORS = (layers.Flatten, layers.Reshape)  # from a map to a vector, or between the two
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
    return model


def _of_any_size(model):
    """A clone for images of any size, with the models inside it alike."""
    channels = model.inputs[0].shape[-1]

    def clone(layer):
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
        pointwise = isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1)
        dense = isinstance(layer, (layers.Dense, *CELLWISE, *VECTORS, *GLOBAL_POOLING))
        if not (dense or pointwise):
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
    if isinstance(layer, VECTORS):
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
    if layer.weights and math.prod(size) > 1:
        raise ValueError(
            f"{layer.name} has a weight for each of {size[0]} x {size[1]} places and cannot be "
            "moved over a larger image."
        )
    return type(layer).from_config(layer.get_config())
