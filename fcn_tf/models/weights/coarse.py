"""The start of a finer network from a trained coarser one."""

from __future__ import annotations

import keras

from fcn_tf.config.networks import VARIANTS
from fcn_tf.errors import InputError
from fcn_tf.models.fcn import FCN
from fcn_tf.models.weights.transfer import (
    Copy,
    Transfer,
    Variable,
    copy_all,
    is_of_scores,
    shortened,
    tensors_of,
)


def warm_start(model: FCN, coarser: FCN) -> Transfer:
    """Starts a network from a trained coarser one: 32s to 16s to 8s (section 4.2).

    Layers of the same name are copied. New score layers keep their zeros and new upsampling
    layers their bilinear kernels. In the geometry "same", the finer network therefore starts
    as the coarser one, interpolated in two steps, unless its upsampling is nonlinear.

    Between fcn8s and fcn8s_atonce, the score layers are rescaled by the factors of the skips.
    If the two networks have different classes, only the trunk is copied and all layers of
    class scores stay as they are.

    Args:
        model: an `FCN`, freshly built.
        coarser: an `FCN`, often of a coarser variant.

    Raises:
        InputError: the trunks differ. The model is unchanged.

    Example:
        >>> coarser = fcn_tf.load_model("runs/voc-fcn16s")
        >>> model = fcn_tf.build_fcn("fcn8s")
        >>> print(fcn_tf.warm_start(model, coarser))
        35 tensors moved; kept: upscore_pool4, score_pool3, upscore8; left out: upscore16
    """
    mismatches = _trunk_mismatches(model, coarser)
    if mismatches:
        raise InputError(
            "The trunks differ, so one cannot start from the other: "
            f"{shortened(mismatches, separator='; ')}. Give both the same trunk, width, "
            "head_units and fc6_kernel."
        )
    given = tensors_of(coarser)
    factors = _kernel_factors(model, coarser)
    with_scores = _have_same_classes(model, coarser)
    copies = {}
    for tensor, variable in tensors_of(model).items():
        source = given.get(tensor)
        if _has_shape(source, variable) and (with_scores or not is_of_scores(tensor)):
            array = keras.ops.convert_to_numpy(source)
            if tensor in factors:
                array = array * factors[tensor]
            copies[tensor] = Copy(variable, array, tensor)
    refused = [tensor for tensor in given if tensor not in copies]
    return copy_all(model, copies, refused, coarser.name)


def _trunk_mismatches(model: FCN, coarser: FCN) -> list[str]:
    """Each tensor that only one of the trunks has, or whose shapes differ."""
    here, there = (
        {t: tuple(v.shape) for t, v in tensors_of(network).items() if not is_of_scores(t)}
        for network in (model, coarser)
    )
    mismatches = [
        f"{tensor} is {shape}, there {there.get(tensor, 'missing')}"
        for tensor, shape in here.items()
        if shape != there.get(tensor)
    ]
    return mismatches + [f"{tensor} is missing here" for tensor in there if tensor not in here]


def _have_same_classes(model: FCN, coarser: FCN) -> bool:
    """Whether the networks have as many classes and, where both name them, the same names."""
    names = (model.class_names, coarser.class_names)
    same_names = None in names or names[0] == names[1]
    return same_names and model.num_classes == coarser.num_classes


def _has_shape(source: Variable | None, variable: Variable) -> bool:
    return source is not None and tuple(source.shape) == tuple(variable.shape)


def _kernel_factors(model: FCN, coarser: FCN) -> dict[str, float]:
    """The factor on the kernel of each score layer that both networks have.

    A skip scales its map before the score layer; the factor keeps the product the same.
    """
    scales, coarser_scales = _skip_scales(model), _skip_scales(coarser)
    return {
        f"{layer}/kernel": coarser_scales[layer] / scales[layer]
        for layer in scales.keys() & coarser_scales.keys()
    }


def _skip_scales(model: FCN) -> dict[str, float]:
    """The factor on the map of each score layer."""
    skips = VARIANTS[model.variant].skips if model.variant in VARIANTS else ()
    return {skip.score: skip.scale for skip in skips}
