"""Weights copied into a network tensor by tensor, and a record of what became of each.

Either everything that has to fit is copied, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import InputError
from fcn_tf.models.fcn import FCN

# A variable of Keras, which has no types.
Variable = Any


class Copy(NamedTuple):
    """One array that is to become the value of a variable.

    Attributes:
        variable: the model's variable.
        array: an array of the variable's shape.
        source: the array's name where it comes from, for example "fc1/kernel".
    """

    variable: Variable
    array: NDArray[Any]
    source: str


@dataclass(frozen=True)
class Transfer:
    """What became of every tensor when weights were copied into a model.

    Attributes:
        moved: the source's tensor ("fc1/kernel") for each of the model's tensors
            ("fc6/kernel") that was replaced.
        kept: the model's tensors that stayed as they were.
        refused: the source's tensors for which the model has no place.
    """

    moved: dict[str, str]
    kept: tuple[str, ...]
    refused: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.moved)} tensors moved"]
        if self.kept:
            parts.append(f"kept: {', '.join(_layers_of(self.kept))}")
        if self.refused:
            parts.append(f"left out: {', '.join(_layers_of(self.refused))}")
        return "; ".join(parts)


def copy_all(
    model: FCN, copies: Mapping[str, Copy], refused: Iterable[str], origin: str | Path
) -> Transfer:
    """Assigns the array of every copy to its variable.

    Args:
        model: the model of the variables.
        copies: a copy for each of the model's tensors that is replaced.
        refused: the source's tensors that are not copied.
        origin: where the arrays come from, for error messages.

    Raises:
        InputError: an array holds NaN or infinity. The model is unchanged.
    """
    broken = [copy.source for copy in copies.values() if not np.isfinite(copy.array).all()]
    if broken:
        raise InputError(f"{origin} holds NaN or infinity in {shortened(broken)}.")
    for copy in copies.values():
        copy.variable.assign(copy.array)
    kept = tuple(tensor for tensor in tensors_of(model) if tensor not in copies)
    moved = {tensor: copy.source for tensor, copy in copies.items()}
    return Transfer(moved, kept, tuple(refused))


def tensors_of(model: keras.Model) -> dict[str, Variable]:
    """The variables of a model by "layer/part", for example "fc6/kernel"."""
    return {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}


def is_of_scores(name: str) -> bool:
    """Whether a layer, or a tensor of it, belongs to class scores and not to the trunk."""
    return name.startswith(("score", "upscore"))


def is_of_head(name: str) -> bool:
    """Whether a layer of a network on a trunk belongs to its head: FCN's, U-Net's or DeepLab's."""
    return is_of_scores(name) or name.startswith(("up", "classifier_"))


def shortened(names: Iterable[str], limit: int = 8, separator: str = ", ") -> str:
    """The first names in alphabetical order, and how many more there are; "none" for none."""
    names = sorted(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (separator.join(names[:limit]) or "none") + rest


def _layers_of(tensors: Iterable[str]) -> list[str]:
    """The layers that the tensors belong to, each once."""
    return list(dict.fromkeys(tensor.split("/")[0] for tensor in tensors))
