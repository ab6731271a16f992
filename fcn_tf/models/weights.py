"""Weights moved into a network by name, every shape checked: VGG16, published FCNs, coarser FCNs.

Nothing is moved unless everything that has to fit does.
"""

import re
from dataclasses import dataclass

import keras
import numpy as np

from fcn_tf.errors import InputError
from fcn_tf.models.fcn import VARIANTS
from fcn_tf.models.trunks import VGG16_BLOCKS
from fcn_tf.models.weight_files import read_keras_weights, read_published

# The convolutions of an FCN and the layers of keras.applications' VGG16 that they come from.
CONVOLUTIONS = {
    f"conv{block}_{index}": f"block{block}_conv{index}"
    for block, (convolutions, _) in enumerate(VGG16_BLOCKS, start=1)
    for index in range(1, convolutions + 1)
}
HEAD = {"fc6": "fc1", "fc7": "fc2"}
VGG16_LAYERS = {"all": CONVOLUTIONS | HEAD, "convolutions": CONVOLUTIONS}


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
    """Makes a classifier's weights those of an FCN's trunk (Long et al. 2015, section 3.1).

    The 13 convolutions move as they are; the kernel of `fc1`, (k * k * C, units),
    becomes that of `fc6`, (k, k, C, units), and `fc2` the 1 x 1 kernel of `fc7`:
    (25088, 4096) to (7, 7, 512, 4096) at full width.

    Args:
        model: an `FCN` with the trunk vgg16.
        source: "imagenet", which keras.applications downloads once, or a .keras,
            .weights.h5 or .h5 file of its VGG16 with the top, or of a narrower
            one with the same layer names and the model's width.
        layers: "all", or "convolutions" to leave fc6 and fc7 as they are: for a
            light head or a file without the top.

    Returns:
        A `Transfer`.

    Raises:
        InputError: a layer is missing or has another shape, no such file, or
            ImageNet's weights cannot be downloaded. The model is unchanged.
    """
    if layers not in VGG16_LAYERS:
        raise ValueError(f"layers={layers!r}: choose one of {', '.join(VGG16_LAYERS)}.")
    names = VGG16_LAYERS[layers]
    if source == "imagenet":
        classifier = imagenet_vgg16("--model.weights FILE", include_top=layers == "all")
        given = {layer.name: layer.get_weights() for layer in classifier.layers if layer.weights}
    else:
        given = read_keras_weights(source)
    deeper = [n for n in given if re.fullmatch(r"block\d_conv\d", n) and n not in names.values()]
    if deeper:
        raise InputError(f"{source} is no VGG16, it has {', '.join(deeper)} too (VGG19?).")
    missing = [name for name in names.values() if name not in given]
    if missing:
        no_top = " (a file without the top)" if missing == list(HEAD.values()) else ""
        raise InputError(
            f"{source} has no layer {', '.join(missing)}{no_top}. Take VGG16's weights with the "
            f"top{_or_convolutions(missing)}."
        )
    moves, mismatches, misfits = {}, [], set()
    for name, source_name in names.items():
        variables, arrays = model.get_layer(name).weights, given[source_name]
        if len(arrays) != len(variables):
            misfits.add(name)
            mismatches.append(f"{source_name} has {len(arrays)} tensors, not a kernel and a bias")
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
        raise InputError(
            f"{source} does not fit the network: {'; '.join(mismatches)}. VGG16 of "
            "keras.applications needs width 1, fc6_kernel 7 and head_units 4096"
            f"{_or_convolutions(misfits)}."
        )
    refused = [
        f"{name}/{part}"
        for name, arrays in given.items()
        if name not in names.values()
        for part in (("kernel", "bias") if len(arrays) == 2 else range(len(arrays)))
    ]
    return _move(model, moves, refused, source)


def imagenet_vgg16(option, weights="imagenet", include_top=True):
    """VGG16 of keras.applications; ImageNet's weights are downloaded at the first call.

    Args:
        option: how the user names a file of the weights, for the message.
        weights: "imagenet", or the file of such weights.
        include_top: bool, whether with the dense layers.

    Raises:
        InputError: the weights cannot be had.
    """
    try:
        return keras.applications.VGG16(include_top=include_top, weights=weights)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises a bare Exception
        raise InputError(
            f"VGG16 with the weights {weights} cannot be had. Off-line give {option}, "
            f"vgg16_weights_tf_dim_ordering_tf_kernels.h5 of keras.applications. {error}"
        ) from error


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


def published_sizes(tensors, path):
    """The sizes of the network that a published file holds.

    Args:
        tensors: what `read_published` returns.
        path: where they come from, for the message.

    Returns:
        dict of num_classes, width, head_units and fc6_kernel, for `build_fcn`.

    Raises:
        InputError: the tensors that tell are not among them.
    """
    wanted = {"conv1_1.weight", "fc6.weight", "score_fr.weight"}
    missing = sorted(name for name in wanted if getattr(tensors.get(name), "ndim", 0) != 4)
    if missing:
        raise InputError(
            f"{path} holds no published FCN: no {', '.join(missing)} of four axes, but "
            f"{_shortened(tensors)}."
        )
    return {
        "num_classes": tensors["score_fr.weight"].shape[0],
        "width": tensors["conv1_1.weight"].shape[0] / VGG16_BLOCKS[0][1],
        "head_units": tensors["fc6.weight"].shape[0],
        "fc6_kernel": tensors["fc6.weight"].shape[-1],
    }


def move_published(model, tensors, path):
    """`load_published` for tensors that `read_published` has read from `path`."""
    variables = {}
    for tensor, variable in _tensors_of(model).items():
        layer, part = tensor.split("/")
        variables[f"{layer}.{'weight' if part == 'kernel' else 'bias'}"] = (tensor, variable)
    if tensors.keys() != variables.keys():
        held = [name for name in VARIANTS if _score_layers(name) == _score_layers_in(tensors)]
        recognized = f", but has the layers of {' and '.join(held)}" if held else ""
        raise InputError(
            f"{path} is not {model.variant}{recognized}. "
            f"Missing: {_shortened(variables.keys() - tensors.keys())}. "
            f"Not of {model.variant}: {_shortened(tensors.keys() - variables.keys())}."
        )
    moves, mismatches = {}, []
    for name, (tensor, variable) in variables.items():
        array, shape = tensors[name], tuple(variable.shape)
        # (out, in, h, w) to (h, w, in, out); of a transposed convolution, whose axes both
        # sides name the other way round, (in, out, h, w) to (h, w, out, in).
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        if array.shape == shape:
            moves[tensor] = (variable, array, name)
        else:
            expected = tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else shape
            mismatches.append(f"{name} is {tensors[name].shape}, the network's {expected}")
    if mismatches:
        raise InputError(f"{path} does not fit {model.variant}: {'; '.join(mismatches)}.")
    return _move(model, moves, [], path)


def warm_start(model, coarser):
    """Starts a network from a trained coarser one: 32s to 16s to 8s (section 4.2).

    Layers of the same name are copied. New score layers keep their zeros and new
    upsampling its bilinear kernels, so that in the geometry "same" the finer network
    starts as the coarser one, interpolated in two steps. Between fcn8s and
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
        {skip.score: skip.scale for skip in VARIANTS[m.variant].skips} for m in (model, coarser)
    )
    given = _tensors_of(coarser)
    moves, mismatches = {}, []
    for tensor, variable in _tensors_of(model).items():
        trunk = not tensor.startswith(("score", "upscore"))
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
    if mismatches:
        raise InputError(
            f"The trunks differ, so one cannot start from the other: {'; '.join(mismatches)}. "
            "Give both the same width, head_units and fc6_kernel."
        )
    refused = [tensor for tensor in given if tensor not in moves]
    return _move(model, moves, refused, coarser.name)


def _convolution_kernel(matrix, shape):
    """A dense layer's (k * k * C, units) as (k, k, C, units); itself if it does not fit."""
    rows = int(np.prod(shape[:-1]))
    return matrix.reshape(shape) if matrix.shape == (rows, shape[-1]) else matrix


def _or_convolutions(layers):
    """The way out where the convolutions fit."""
    if set(layers) <= {*HEAD, *HEAD.values()}:
        return ", or take the 13 convolutions alone (--model.weights_layers convolutions)"
    return ""


def _score_layers(variant):
    """The score and upsampling layers of a variant."""
    skips = VARIANTS[variant].skips
    inner = {name for skip in skips for name in (skip.score, skip.upscore)}
    return {"score_fr", VARIANTS[variant].upscore} | inner


def _score_layers_in(tensors):
    names = {name.split(".")[0] for name in tensors}
    return {name for name in names if name.startswith(("score_", "upscore"))}


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


def _shortened(names, limit=8):
    names = sorted(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + rest
