"""The weights of a Keras classifier, copied into the trunk of an FCN."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fcn_tf.config.networks import TRUNK_LAYERS, TRUNKS, VARIANTS, WHOLE_NETWORKS, TrunkSpec
from fcn_tf.errors import InputError, check
from fcn_tf.files import unreadable_as_input_error
from fcn_tf.models.fcn import FCN
from fcn_tf.models.trunks.applications import build_application
from fcn_tf.models.weights.files import existing_file, read_keras_weights
from fcn_tf.models.weights.transfer import (
    Copy,
    Transfer,
    Variable,
    copy_all,
    is_of_head,
    shortened,
)

# The FCN's layers that VGG's dense layers become, and the names of those in keras.applications.
HEAD = {"fc6": "fc1", "fc7": "fc2"}

Source = str | Path
# The arrays of each layer, in Keras' order: of a convolution its kernel and its bias.
LayerArrays = Mapping[str, Sequence[NDArray[Any]]]


def load_vgg16(model: FCN, source: Source, layers: str = "all") -> Transfer:
    """Copies VGG16's weights into an FCN whose trunk is VGG16; see `load_trunk`.

    Raises:
        InputError: as `load_trunk`, or the model has another trunk.

    Example:
        >>> model = fcn_tf.build_fcn("fcn32s", num_classes=2)
        >>> print(fcn_tf.load_vgg16(model, "imagenet"))
        30 tensors moved; kept: score_fr, upscore; left out: predictions
    """
    trunk = model.build_arguments["trunk"]
    if trunk != "vgg16":
        raise InputError(f"The network grows from {trunk}, not from vgg16: use load_trunk.")
    return load_trunk(model, source, layers)


def load_trunk(model: FCN, source: Source, layers: str = "all") -> Transfer:
    """Copies a classifier's weights into an FCN's trunk (Long et al. 2015, section 3.1).

    VGG's convolutions are copied as they are. The kernel of `fc1`, (k * k * C, units), becomes
    that of `fc6`, (k, k, C, units); at full width (25088, 4096) becomes (7, 7, 512, 4096). `fc2`
    becomes the 1 x 1 kernel of `fc7`. Of the other classifiers of keras.applications, every
    layer but the top is copied as it is.

    Args:
        model: an `FCN` whose trunk is a classifier of keras.applications, with whichever head; or
            SegNet, whose encoder has VGG16's convolutions.
        source: "imagenet", which keras.applications downloads once, or a file of that
            classifier: .keras, .weights.h5 or .h5, of VGG with the top. A narrower classifier
            fits if it has the same layer names and the model's width.
        layers: "all", or "convolutions" to keep VGG's fc6 and fc7 as they are: for a light
            head, for a file without the top, and for SegNet and U-Net, which have neither.

    Raises:
        InputError: a layer is missing or has another shape, there is no such file, Keras has
            no such classifier, or ImageNet's weights cannot be downloaded. The model is
            unchanged.

    Example:
        >>> model = fcn_tf.build_fcn("fcn8s", num_classes=2, trunk="resnet50")
        >>> transfer = fcn_tf.load_trunk(model, "imagenet")
        >>> transfer.kept[0]
        'score_fr/kernel'
    """
    trunk = _trunk_with_classifier(model, layers)
    is_vgg = trunk.build == "vgg"
    names = _vgg_layers(trunk, layers) if is_vgg else _trunk_layers(model)
    given = _read_source(source, trunk, layers, model.build_arguments["width"])
    if is_vgg:
        _check_depth(given, names, trunk, source)
    _check_complete(given, names, trunk, source)
    copies, mismatches = _matched(model, given, names)
    if mismatches:
        raise InputError(_misfit(mismatches, trunk, source))
    refused = [
        f"{name}/{part}"
        for name, arrays in given.items()
        if name not in names.values()
        for part in (("kernel", "bias") if len(arrays) == 2 else range(len(arrays)))
    ]
    return copy_all(model, copies, refused, source)


def imagenet_classifier(
    classifier: str,
    option: str,
    weights: str = "imagenet",
    include_top: bool = True,
    width: float = 1.0,
) -> keras.Model:
    """A classifier of keras.applications; the first call downloads ImageNet's weights.

    Args:
        classifier: name of the function in keras.applications.
        option: the option with which the user gives a file of the weights, for the error
            message.
        weights: "imagenet", or the path of a file of such weights.
        include_top: whether with the dense layers.
        width: factor on the number of filters, for classifiers that have one.

    Raises:
        InputError: the weights cannot be downloaded or read.
    """
    try:
        return build_application(classifier, width=width, weights=weights, include_top=include_top)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises a bare Exception
        raise InputError(
            f"{classifier} with the weights {weights} cannot be had. Off-line give {option}, the "
            f"file of keras.applications that could not be fetched. {error}"
        ) from error


def _trunk_with_classifier(model: FCN, layers: str) -> TrunkSpec:
    """The model's trunk, if a classifier of keras.applications has these layers of it."""
    check(layers in TRUNK_LAYERS, "layers", layers, f"one of {', '.join(TRUNK_LAYERS)}")
    whole = WHOLE_NETWORKS.get(model.variant)
    name = whole.convolutions_of if whole else model.build_arguments["trunk"]
    trunk = TRUNKS[name] if name else None
    if trunk is None or trunk.classifier is None:
        of = "" if whole else f" on {name}"
        raise InputError(
            f"{model.variant}{of} grows from no classifier of keras.applications: start from a "
            "model of this package or from a published one."
        )
    is_fcn = model.variant in VARIANTS
    if trunk.build == "vgg" and not is_fcn and layers != "convolutions":
        raise InputError(
            f"layers={layers}: {model.variant} has the convolutions of {trunk.classifier} alone: "
            "take convolutions."
        )
    if trunk.build != "vgg" and layers != "all":
        raise InputError(
            f"layers={layers}: {trunk.classifier} can only be copied as a whole: take all."
        )
    return trunk


def _vgg_layers(trunk: TrunkSpec, layers: str) -> dict[str, str]:
    """The layer of keras.applications for each layer of a VGG trunk."""
    convolutions = {
        f"conv{block}_{index}": f"block{block}_conv{index}"
        for block, (count, _) in enumerate(trunk.options["blocks"], start=1)
        for index in range(1, count + 1)
    }
    return convolutions | HEAD if layers == "all" else convolutions


def _trunk_layers(model: FCN) -> dict[str, str]:
    """As `_vgg_layers`, for a trunk that is built by keras.applications: the names are equal."""
    return {
        layer.name: layer.name
        for layer in model.layers
        if layer.weights and not is_of_head(layer.name)
    }


def _read_source(source: Source, trunk: TrunkSpec, layers: str, width: float) -> LayerArrays:
    """The arrays of a classifier, downloaded or from a file."""
    is_vgg = trunk.build == "vgg"
    has_own_format = Path(source).suffix == ".h5" and not str(source).endswith(".weights.h5")
    assert trunk.classifier is not None  # `_trunk_with_classifier` has checked it
    if source == "imagenet":
        network = imagenet_classifier(
            trunk.classifier,
            "--model.weights FILE",
            include_top=is_vgg and layers == "all",
            width=1.0 if is_vgg else width,  # keras.applications has VGG in one width
        )
    elif has_own_format and not is_vgg:
        network = _application_from_h5(source, trunk.classifier, width)
    else:
        return read_keras_weights(source)
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def _application_from_h5(source: Source, classifier: str, width: float) -> keras.Model:
    """A classifier with the weights of a file as keras.applications publishes them.

    Keras assigns the arrays of these old files in the order of the layers, because the names
    of the layers have changed since.
    """
    path = existing_file(source, (".h5",))
    kind = f"{classifier} without the top, of width {width:g}"
    with unreadable_as_input_error(path, kind):
        return build_application(classifier, width, str(path))


def _check_depth(
    given: LayerArrays, names: Mapping[str, str], trunk: TrunkSpec, source: Source
) -> None:
    """Refuses a deeper VGG, whose first layers would fit."""
    convolutions = [name for name in given if re.fullmatch(r"block\d_conv\d", name)]
    deeper = [name for name in convolutions if name not in names.values()]
    if deeper:
        raise InputError(
            f"{source} is no {trunk.classifier}: it also has {', '.join(deeper)} (VGG19?)."
        )


def _check_complete(
    given: LayerArrays, names: Mapping[str, str], trunk: TrunkSpec, source: Source
) -> None:
    """Refuses a source that lacks a layer."""
    missing = [name for name in names.values() if name not in given]
    if missing:
        no_top = " (a file without the top)" if missing == list(HEAD.values()) else ""
        with_top = " with the top" if trunk.build == "vgg" else ""
        raise InputError(
            f"{source} has no layer {shortened(missing)}{no_top}. Take {trunk.classifier}'s "
            f"weights{with_top}{_or_convolutions(missing)}."
        )


def _matched(
    model: FCN, given: LayerArrays, names: Mapping[str, str]
) -> tuple[dict[str, Copy], dict[str, list[str]]]:
    """The copies by tensor, and what does not fit by layer."""
    copies: dict[str, Copy] = {}
    mismatches: dict[str, list[str]] = {}
    for name, source_name in names.items():
        of_layer, misfits = _matched_layer(model.get_layer(name), given[source_name], source_name)
        copies |= of_layer
        if misfits:
            mismatches[name] = misfits
    return copies, mismatches


def _misfit(mismatches: Mapping[str, Sequence[str]], trunk: TrunkSpec, source: Source) -> str:
    """The message for a source whose shapes do not fit, with the remedies."""
    found = [text for of_layer in mismatches.values() for text in of_layer]
    of_head = ", fc6_kernel 7 and head_units 4096" if {*HEAD} & {*mismatches} else ""
    return (
        f"{source} does not fit the network: {shortened(found, separator='; ')}. "
        f"{trunk.classifier} of keras.applications needs width 1{of_head}"
        f"{_or_convolutions(mismatches)}."
    )


def _matched_layer(
    layer: keras.layers.Layer, arrays: Sequence[NDArray[Any]], source_name: str
) -> tuple[dict[str, Copy], list[str]]:
    """The copies of one layer by tensor, and what does not fit."""
    variables: list[Variable] = layer.weights
    if len(arrays) != len(variables):
        parts = " and a ".join(variable.name for variable in variables)
        return {}, [f"{source_name} has {len(arrays)} tensors, not a {parts}"]
    copies, mismatches = {}, []
    for variable, array in zip(variables, arrays, strict=True):
        tensor, shape = f"{layer.name}/{variable.name}", tuple(variable.shape)
        if layer.name in HEAD and array.ndim == 2:
            array = _convolution_kernel(array, shape)
        if array.shape == shape:
            copies[tensor] = Copy(variable, array, f"{source_name}/{variable.name}")
        else:
            mismatches.append(f"{tensor} is {shape}, {source_name} {array.shape}")
    return copies, mismatches


def _convolution_kernel(matrix: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A dense layer's (k * k * C, units) as (k, k, C, units); unchanged if it does not fit."""
    rows = int(np.prod(shape[:-1]))
    return matrix.reshape(shape) if matrix.shape == (rows, shape[-1]) else matrix


def _or_convolutions(layers: Iterable[str]) -> str:
    """The second remedy, if only VGG's dense layers do not fit."""
    if set(layers) <= {*HEAD, *HEAD.values()}:
        return ", or take the convolutions alone (--model.weights_layers convolutions)"
    return ""
