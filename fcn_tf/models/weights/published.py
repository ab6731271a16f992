"""FCNs that were published for Caffe or PyTorch, loaded into models of this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from fcn_tf.config.networks import VARIANTS, WHOLE_NETWORKS
from fcn_tf.errors import InputError
from fcn_tf.models.fcn import FCN
from fcn_tf.models.torchvision.resnet import BLOCKS
from fcn_tf.models.weights.files import read_published
from fcn_tf.models.weights.transfer import (
    Copy,
    Transfer,
    copy_all,
    is_of_scores,
    shortened,
    tensors_of,
)

# PyTorch's names of the parts of a layer.
PUBLISHED_PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# What torchvision's files hold besides: a second head, used in training only, and a counter of
# steps.
AUXILIARY = "aux_classifier."
COUNTER = ".num_batches_tracked"
# A tensor that only files of a head of torchvision have, and one of a trunk.
OF_HEAD = {
    "fcn": "classifier.0.weight",
    "deeplabv3": "classifier.0.project.0.weight",
    "lraspp": "classifier.cbr.0.weight",
}
MOBILENET = "backbone.0.0.weight"
# Score layers have names of their own here, by which a warm start knows them.
SCORES = {
    "classifier.4": "score_fr",
    "classifier.high_classifier": "score_high",
    "classifier.low_classifier": "score_low",
}

Arrays = Mapping[str, NDArray[np.float32]]


def load_published(model: FCN, path: str | Path) -> Transfer:
    """Loads an FCN that was published for Caffe or PyTorch.

    With geometry="caffe" the model then gives the answers of the published network.

    Args:
        model: an `FCN`.
        path: a .pth, .pt, .tar, .npz or .safetensors file; see `read_published`.

    Raises:
        InputError: the names or shapes in the file are not those of the model; the message
            lists both. The model is unchanged.

    Example:
        >>> model = fcn_tf.build_fcn("fcn8s", geometry="caffe")
        >>> print(fcn_tf.load_published(model, "fcn8s_from_caffe.pth"))
        39 tensors moved
    """
    return load_published_tensors(model, read_published(path), path)


def load_published_tensors(model: FCN, tensors: Arrays, path: str | Path) -> Transfer:
    """As `load_published`, for the tensors that `read_published` has read from `path`."""
    variables = tensors_of(model)
    depthwise = {one.name for one in model.layers if isinstance(one, layers.DepthwiseConv2D)}
    copies, mismatches = {}, []
    for tensor, name in _paired(model, tensors, path).items():
        is_depthwise = tensor.partition("/")[0] in depthwise
        array, shape = _keras_layout(tensors[name], is_depthwise), tuple(variables[tensor].shape)
        if array.shape == shape:
            copies[tensor] = Copy(variables[tensor], array, name)
        else:
            axes = (2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1)
            expected = tuple(shape[axis] for axis in axes) if len(shape) == 4 else shape
            mismatches.append(f"{name} is {tensors[name].shape}, the network's {expected}")
    if mismatches:
        raise InputError(
            f"{path} does not fit {model.variant}: {shortened(mismatches, separator='; ')}."
        )
    # "aux_classifier/…", so that the record names the auxiliary head as one layer.
    refused = [name.replace(".", "/", 1) for name in tensors if name.startswith(AUXILIARY)]
    return copy_all(model, copies, refused, path)


def published_network(tensors: Arrays, path: str | Path) -> dict[str, Any]:
    """The arguments of `build_fcn` that the tensors of a published file tell.

    Args:
        tensors: from `read_published`.
        path: where they come from, for error messages.

    Returns:
        num_classes and width. For VGG16 head_units and fc6_kernel as well, for AlexNet
        head_units and trunk.

    Raises:
        InputError: the tensors are not those of a published FCN.
    """
    scores = [name for name in SCORES if f"{name}.weight" in tensors]
    if scores:
        first = MOBILENET if MOBILENET in tensors else "backbone.conv1.weight"
        wanted = {"first": first, "score": f"{scores[0]}.weight"}
    else:
        first = "conv1.weight" if "conv1.weight" in tensors else "conv1_1.weight"
        wanted = {"first": first, "fc6": "fc6.weight", "score": "score_fr.weight"}
    missing = sorted(n for n in wanted.values() if getattr(tensors.get(n), "ndim", 0) != 4)
    if missing:
        raise InputError(
            f"{path} holds no published FCN. It lacks the convolution kernels "
            f"{', '.join(missing)}; it has {shortened(tensors)}."
        )
    shapes = {part: tensors[name].shape for part, name in wanted.items()}
    found: dict[str, Any] = {"num_classes": shapes["score"][0]}
    if "fc6" not in shapes:
        published = 16 if wanted["first"] == MOBILENET else 64
        return {**found, "width": shapes["first"][0] / published}
    found["head_units"] = shapes["fc6"][0]
    if wanted["first"] == "conv1.weight":
        return {**found, "width": shapes["first"][0] / 96, "trunk": "alexnet"}
    return {**found, "width": shapes["first"][0] / 64, "fc6_kernel": shapes["fc6"][-1]}


def _paired(model: FCN, tensors: Arrays, path: str | Path) -> dict[str, str]:
    """The published tensor of each of the model's tensors.

    Raises:
        InputError: one of them has a tensor that the other lacks.
    """
    published = {
        _layer_and_part(name): name
        for name in tensors
        if not name.startswith(AUXILIARY) and not name.endswith(COUNTER)
    }
    wanted = {_published_part(tensor): tensor for tensor in tensors_of(model)}
    if published.keys() != wanted.keys():
        held = _recognized(tensors)
        is_other = held and model.variant not in held
        recognized = f", but has the layers of {' and '.join(held)}" if is_other else ""
        raise InputError(
            f"{path} is not {model.variant}{recognized}. "
            f"Missing: {shortened(wanted.keys() - published.keys())}. "
            f"Not of {model.variant}: {shortened(published.keys() - wanted.keys())}."
        )
    return {tensor: published[layer_and_part] for layer_and_part, tensor in wanted.items()}


def _layer_and_part(published: str) -> str:
    """The model's layer and the published part: "backbone_layer1_0_conv1.weight"."""
    *layer, part = published.split(".")
    return f"{SCORES.get('.'.join(layer)) or '_'.join(layer)}.{part}"


def _published_part(tensor: str) -> str:
    """A tensor of the model in the notation of `_layer_and_part`."""
    layer, part = tensor.split("/")
    return f"{layer}.{PUBLISHED_PARTS[part]}"


def _keras_layout(array: NDArray[np.float32], is_depthwise: bool) -> NDArray[np.float32]:
    """A published kernel with its axes in Keras' order; another array as it is.

    A convolution's (out, in, h, w) becomes (h, w, in, out), a transposed convolution's
    (in, out, h, w) becomes (h, w, out, in), and a depthwise one's (C, 1, h, w) (h, w, C, 1).
    """
    if array.ndim != 4:
        return array
    return array.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))


def _recognized(tensors: Arrays) -> list[str]:
    """The variants whose layers a published file has."""
    parts = {name.split(".")[0] for name in tensors}
    if "backbone" in parts:
        trunk = _trunk_of_torchvision(tensors)
        heads = [head for head, name in OF_HEAD.items() if name in tensors]
        return [
            variant
            for variant, spec in WHOLE_NETWORKS.items()
            if spec.build == "torchvision"
            and spec.options["trunk"] == trunk
            and spec.options["head"] in heads
        ]
    scores = {layer for layer in parts if is_of_scores(layer)}
    return [variant for variant in VARIANTS if _score_layers(variant) == scores]


def _trunk_of_torchvision(tensors: Arrays) -> str | None:
    if MOBILENET in tensors:
        return "mobilenetv3"
    held = tuple(_blocks_of_stage(tensors, stage) for stage in range(1, 5))
    return next((name for name, blocks in BLOCKS.items() if blocks == held), None)


def _blocks_of_stage(tensors: Arrays, stage: int) -> int:
    """The number of blocks of a stage of a published ResNet."""
    prefix = f"backbone.layer{stage}."
    return len({name.split(".")[2] for name in tensors if name.startswith(prefix)})


def _score_layers(variant: str) -> set[str]:
    """The score and upsampling layers of a variant."""
    spec = VARIANTS[variant]
    inner = {name for skip in spec.skips for name in (skip.score, skip.upscore)}
    return {"score_fr", spec.upscore} | inner
