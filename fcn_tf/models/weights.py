"""Weights moved into a network by name, every shape checked: of classifiers and of FCNs.

Nothing is moved unless everything that has to fit does.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from fcn_tf.errors import InputError
from fcn_tf.models.trunks.applications import build_application
from fcn_tf.models.weight_files import existing, read_keras_weights, read_published
from fcn_tf.networks import RESNETS, TRUNKS, VARIANTS

# VGG's dense layers and what becomes of them.
HEAD = {"fc6": "fc1", "fc7": "fc2"}
TRUNK_LAYERS = ("all", "convolutions")

# How PyTorch calls the parts of a layer.
PUBLISHED_PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Of torchvision's FCNs: a second head that only training uses, and a counter of steps.
AUXILIARY = "aux_classifier."
COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class Transfer:
    """What became of every tensor when weights were moved into a model.

    Attributes:
        moved: the model's tensor ("fc6/kernel") to the source's ("fc1/kernel").
        kept: the model's tensors that stayed as they were.
        refused: the source's tensors for which the model has no place.
    """

    moved: dict[str, str]
    kept: tuple[str, ...]
    refused: tuple[str, ...]

    def __str__(self):
        parts = [f"{len(self.moved)} tensors moved"]
        if self.kept:
            parts.append(f"kept: {', '.join(_layers_of(self.kept))}")
        if self.refused:
            parts.append(f"left out: {', '.join(_layers_of(self.refused))}")
        return "; ".join(parts)


def load_vgg16(model, source, layers="all"):
    """Makes VGG16's weights those of an FCN's trunk; see `load_trunk`.

    Raises:
        InputError: as `load_trunk`, or the model has another trunk.
    """
    trunk = model.build_arguments["trunk"]
    if trunk != "vgg16":
        raise InputError(f"The network grows from {trunk}, not from vgg16: use load_trunk.")
    return load_trunk(model, source, layers)


def load_trunk(model, source, layers="all"):
    """Makes a classifier's weights those of an FCN's trunk (Long et al. 2015, section 3.1).

    VGG's convolutions move as they are; the kernel of `fc1`, (k * k * C, units),
    becomes that of `fc6`, (k, k, C, units), and `fc2` the 1 x 1 kernel of `fc7`:
    (25088, 4096) to (7, 7, 512, 4096) at full width. Of the other classifiers of
    keras.applications every layer but the top moves as it is.

    Args:
        model: an `FCN` whose trunk is a classifier of keras.applications.
        source: "imagenet", which keras.applications downloads once, or a .keras,
            .weights.h5 or .h5 file of that classifier, of VGG with the top, or of a
            narrower one with the same layer names and the model's width.
        layers: "all", or "convolutions" to leave VGG's fc6 and fc7 as they are: for a
            light head or a file without the top.

    Returns:
        A `Transfer`.

    Raises:
        InputError: a layer is missing or has another shape, no such file, no such
            classifier in Keras, or ImageNet's weights cannot be downloaded. The model is
            unchanged.
    """
    if layers not in TRUNK_LAYERS:
        raise ValueError(f"layers={layers!r}: choose one of {', '.join(TRUNK_LAYERS)}.")
    trunk = TRUNKS[model.build_arguments["trunk"]]
    if model.variant in RESNETS or trunk.classifier is None:
        of = "" if model.variant in RESNETS else f" on {model.build_arguments['trunk']}"
        raise InputError(
            f"{model.variant}{of} grows from no classifier of "
            "keras.applications: start from a model of this package or a published one."
        )
    if trunk.build != "vgg" and layers != "all":
        raise InputError(f"layers={layers}: {trunk.classifier} moves as a whole, take all.")
    names = _vgg_layers(trunk, layers) if trunk.build == "vgg" else _trunk_layers(model)
    given = _classifier_weights(source, trunk, layers, model.build_arguments["width"])
    convolutions = [n for n in given if re.fullmatch(r"block\d_conv\d", n)]
    deeper = [name for name in convolutions if name not in names.values()]
    if deeper and trunk.build == "vgg":
        raise InputError(
            f"{source} is no {trunk.classifier}, it has {', '.join(deeper)} too (VGG19?)."
        )
    missing = [name for name in names.values() if name not in given]
    if missing:
        no_top = " (a file without the top)" if missing == list(HEAD.values()) else ""
        with_top = " with the top" if trunk.build == "vgg" else ""
        raise InputError(
            f"{source} has no layer {_shortened(missing)}{no_top}. Take {trunk.classifier}'s "
            f"weights{with_top}{_or_convolutions(missing)}."
        )
    moves, mismatches, misfits = {}, [], set()
    for name, source_name in names.items():
        variables, arrays = model.get_layer(name).weights, given[source_name]
        if len(arrays) != len(variables):
            misfits.add(name)
            parts = " and a ".join(variable.name for variable in variables)
            mismatches.append(f"{source_name} has {len(arrays)} tensors, not a {parts}")
            continue
        for variable, array in zip(variables, arrays, strict=True):
            tensor = f"{name}/{variable.name}"
            if name in HEAD and array.ndim == 2:
                array = _convolution_kernel(array, variable.shape)
            if array.shape == tuple(variable.shape):
                moves[tensor] = (variable, array, f"{source_name}/{variable.name}")
            else:
                misfits.add(name)
                mismatches.append(
                    f"{tensor} is {tuple(variable.shape)}, {source_name} {array.shape}"
                )
    if mismatches:
        of_vgg = ", fc6_kernel 7 and head_units 4096" if trunk.build == "vgg" else ""
        raise InputError(
            f"{source} does not fit the network: {_shortened(mismatches, separator='; ')}. "
            f"{trunk.classifier} of keras.applications needs width 1{of_vgg}"
            f"{_or_convolutions(misfits)}."
        )
    refused = [
        f"{name}/{part}"
        for name, arrays in given.items()
        if name not in names.values()
        for part in (("kernel", "bias") if len(arrays) == 2 else range(len(arrays)))
    ]
    return _move(model, moves, refused, source)


def imagenet_classifier(classifier, option, weights="imagenet", include_top=True, width=1.0):
    """A classifier of keras.applications; ImageNet's weights are downloaded at the first call.

    Args:
        classifier: its name there.
        option: how the user names a file of the weights, for the message.
        weights: "imagenet", or the file of such weights.
        include_top: bool, whether with the dense layers.
        width: float, of those that come narrower.

    Raises:
        InputError: the weights cannot be had.
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


def _vgg_layers(trunk, layers):
    """The layers of a VGG trunk and those of keras.applications that they come from."""
    convolutions = {
        f"conv{block}_{index}": f"block{block}_conv{index}"
        for block, (count, _) in enumerate(trunk.options["blocks"], start=1)
        for index in range(1, count + 1)
    }
    return convolutions | HEAD if layers == "all" else convolutions


def _trunk_layers(model):
    """The layers of a trunk that is taken from keras.applications, each by its own name."""
    return {
        layer.name: layer.name
        for layer in model.layers
        if layer.weights and not _is_of_classes(layer.name)
    }


def _classifier_weights(source, trunk, layers, width):
    """Arrays by layer of a classifier, downloaded or from a file."""
    is_vgg = trunk.build == "vgg"  # of which Keras has one width
    own_format = Path(source).suffix == ".h5" and not str(source).endswith(".weights.h5")
    if source == "imagenet":
        network = imagenet_classifier(
            trunk.classifier,
            "--model.weights FILE",
            include_top=is_vgg and layers == "all",
            width=1.0 if is_vgg else width,
        )
    elif own_format and not is_vgg:
        # Keras loads its own old files in the order of the layers, whose names have changed.
        path = existing(source, (".h5",))
        try:
            network = build_application(trunk.classifier, width, str(path))
        except (ValueError, KeyError, OSError) as error:
            raise InputError(
                f"{source} is no file of {trunk.classifier} without the top, of width {width:g}: "
                f"{' '.join(str(error).split())}"
            ) from error
    else:
        return read_keras_weights(source)
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def load_published(model, path):
    """Loads an FCN that was published for Caffe or PyTorch.

    With geometry="caffe" the model then answers what the published network does.

    Args:
        model: an `FCN`.
        path: a .pth, .npz or .safetensors file; see `read_published`.

    Returns:
        A `Transfer`.

    Raises:
        InputError: the file's names or shapes are not the model's; both sides are
            listed. The model is unchanged.
    """
    return move_published(model, read_published(path), path)


def published_network(tensors, path):
    """What a published file holds.

    Args:
        tensors: what `read_published` returns.
        path: where they come from, for the message.

    Returns:
        dict of num_classes, width, and where the file tells them head_units,
        fc6_kernel and trunk, for `build_fcn`.

    Raises:
        InputError: the tensors that tell are not among them.
    """
    if "classifier.4.weight" in tensors:
        wanted = {"first": "backbone.conv1.weight", "score": "classifier.4.weight"}
    else:
        first = "conv1.weight" if "conv1.weight" in tensors else "conv1_1.weight"
        wanted = {"first": first, "fc6": "fc6.weight", "score": "score_fr.weight"}
    missing = sorted(n for n in wanted.values() if getattr(tensors.get(n), "ndim", 0) != 4)
    if missing:
        raise InputError(
            f"{path} holds no published FCN: no {', '.join(missing)} of four axes, but "
            f"{_shortened(tensors)}."
        )
    of = {part: tensors[name].shape for part, name in wanted.items()}
    found = {"num_classes": of["score"][0]}
    if "fc6" not in of:
        return {**found, "width": of["first"][0] / 64}
    found["head_units"] = of["fc6"][0]
    if wanted["first"] == "conv1.weight":
        return {**found, "width": of["first"][0] / 96, "trunk": "alexnet"}
    return {**found, "width": of["first"][0] / 64, "fc6_kernel": of["fc6"][-1]}


def move_published(model, tensors, path):
    """`load_published` for tensors that `read_published` has read from `path`."""
    # As of one layer, which is what is said of it.
    refused = [name.replace(".", "/", 1) for name in tensors if name.startswith(AUXILIARY)]
    given = {
        _own_name(name): (name, array)
        for name, array in tensors.items()
        if not name.startswith(AUXILIARY) and not name.endswith(COUNTER)
    }
    variables = {}
    for tensor, variable in _tensors_of(model).items():
        layer, part = tensor.split("/")
        variables[f"{layer}.{PUBLISHED_PARTS[part]}"] = (tensor, variable)
    if given.keys() != variables.keys():
        held = _recognized(tensors)
        other = held and model.variant not in held
        recognized = f", but has the layers of {' and '.join(held)}" if other else ""
        raise InputError(
            f"{path} is not {model.variant}{recognized}. "
            f"Missing: {_shortened(variables.keys() - given.keys())}. "
            f"Not of {model.variant}: {_shortened(given.keys() - variables.keys())}."
        )
    moves, mismatches = {}, []
    for own_name, (tensor, variable) in variables.items():
        (name, array), shape = given[own_name], tuple(variable.shape)
        # (out, in, h, w) to (h, w, in, out); of a transposed convolution, whose axes both
        # sides name the other way round, (in, out, h, w) to (h, w, out, in).
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        if array.shape == shape:
            moves[tensor] = (variable, array, name)
        else:
            expected = tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else shape
            mismatches.append(f"{name} is {tensors[name].shape}, the network's {expected}")
    if mismatches:
        raise InputError(
            f"{path} does not fit {model.variant}: {_shortened(mismatches, separator='; ')}."
        )
    return _move(model, moves, refused, path)


def warm_start(model, coarser):
    """Starts a network from a trained coarser one: 32s to 16s to 8s (section 4.2).

    Layers of the same name are copied. New score layers keep their zeros and new
    upsampling its bilinear kernels, so that in the geometry "same" the finer network
    starts as the coarser one, interpolated in two steps, unless its upsampling is
    nonlinear. Between fcn8s and
    fcn8s_atonce the score layers are rescaled by the factors of the skips. Where
    the classes are others, all layers of class scores stay as they are and only
    the trunk moves.

    Args:
        model: an `FCN`, freshly built.
        coarser: an `FCN`, often of a coarser variant.

    Returns:
        A `Transfer`.

    Raises:
        InputError: the trunks differ. The model is unchanged.
    """
    names = (model.class_names, coarser.class_names)
    same_classes = model.num_classes == coarser.num_classes and (
        None in names or names[0] == names[1]
    )
    scales, coarser_scales = (
        {skip.score: skip.scale for skip in _skips(m.variant)} for m in (model, coarser)
    )
    given = _tensors_of(coarser)
    moves, mismatches = {}, []
    for tensor, variable in _tensors_of(model).items():
        trunk = not _is_of_classes(tensor)
        shape = tuple(variable.shape)
        if tensor in given and tuple(given[tensor].shape) == shape and (trunk or same_classes):
            array = keras.ops.convert_to_numpy(given[tensor])
            layer, part = tensor.split("/")
            if part == "kernel" and layer in scales:
                array = array * (coarser_scales[layer] / scales[layer])
            moves[tensor] = (variable, array, tensor)
        elif trunk:
            other = tuple(given[tensor].shape) if tensor in given else "missing"
            mismatches.append(f"{tensor} is {shape}, there {other}")
    refused = [tensor for tensor in given if tensor not in moves]
    mismatches += [f"{name} is missing here" for name in refused if not _is_of_classes(name)]
    if mismatches:
        raise InputError(
            "The trunks differ, so one cannot start from the other: "
            f"{_shortened(mismatches, separator='; ')}. Give both the same trunk, width, "
            "head_units and fc6_kernel."
        )
    return _move(model, moves, refused, coarser.name)


def _convolution_kernel(matrix, shape):
    """A dense layer's (k * k * C, units) as (k, k, C, units); itself if it does not fit."""
    rows = int(np.prod(shape[:-1]))
    return matrix.reshape(shape) if matrix.shape == (rows, shape[-1]) else matrix


def _or_convolutions(layers):
    """The way out where the convolutions fit."""
    if set(layers) <= {*HEAD, *HEAD.values()}:
        return ", or take the convolutions alone (--model.weights_layers convolutions)"
    return ""


def _is_of_classes(name):
    """Whether a layer (or a tensor of it) works on class scores and not on features."""
    return name.startswith(("score", "upscore"))


def _skips(variant):
    return VARIANTS[variant].skips if variant in VARIANTS else ()


def _score_layers(variant):
    """The score and upsampling layers of a variant."""
    inner = {name for skip in _skips(variant) for name in (skip.score, skip.upscore)}
    return {"score_fr", VARIANTS[variant].upscore} | inner


def _recognized(tensors):
    """The variants whose layers a published file has."""
    names = {name.split(".")[0] for name in tensors}
    if "backbone" in names:
        blocks = [
            len({n.split(".")[2] for n in tensors if n.startswith(f"backbone.layer{stage}.")})
            for stage in range(1, 5)
        ]
        return [variant for variant, count in RESNETS.items() if list(count) == blocks]
    scores = {name for name in names if _is_of_classes(name)}
    return [variant for variant in VARIANTS if _score_layers(variant) == scores]


def _own_name(published):
    """The layer and the part of a published tensor: "backbone_layer1_0_conv1.weight"."""
    *layer, part = published.split(".")
    name = "_".join(layer)
    return f"{'score_fr' if name == 'classifier_4' else name}.{part}"


def _move(model, moves, refused, source):
    """Assigns every (variable, array, source name) of `moves` by tensor.

    Raises:
        InputError: an array holds a NaN or an infinity.
    """
    broken = [name for _, array, name in moves.values() if not np.isfinite(array).all()]
    if broken:
        raise InputError(f"{source} holds NaN or infinity in {_shortened(broken)}.")
    for variable, array, _ in moves.values():
        variable.assign(array)
    kept = tuple(tensor for tensor in _tensors_of(model) if tensor not in moves)
    return Transfer({t: name for t, (_, _, name) in moves.items()}, kept, tuple(refused))


def _tensors_of(model):
    """A model's variables by "layer/part"."""
    return {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}


def _layers_of(tensors):
    return list(dict.fromkeys(tensor.split("/")[0] for tensor in tensors))


def _shortened(names, limit=8, separator=", "):
    names = sorted(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (separator.join(names[:limit]) or "none") + rest
