"""The margin that a tile needs, from the receptive field of the network.

The receptive field of a pixel's label is the part of the image that the label depends on.
Scores of a tile equal those of the whole image where the receptive field lies inside the
tile, so a tile is cut out with a margin of that width around the part that is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import keras

from fcn_tf.config.networks import GRID_PX
from fcn_tf.models.layers import Crop, Tensor
from fcn_tf.models.windows import UNKNOWN, Layer, NotLocal, Window, check_known, named, window_of

CALLED_AGAIN = "a layer that is called more than once"


class Step(NamedTuple):
    """A layer on the way from the image to the logits, along one axis.

    Args:
        inputs: the maps that it reads.
        output: the map that it makes.
        window: the cells of the inputs that a cell of the output depends on.
    """

    inputs: list[Tensor]
    output: Tensor
    window: Window


def margin_px(model: keras.Model) -> int | None:
    """The margin that a tile needs around the part whose scores are kept.

    Args:
        model: an `FCN`, or another functional model of images (N, H, W, 3).

    Returns:
        The margin in px, a multiple of 32: 224 for VGG16 with a 7 x 7 fc6, 128 with a 1 x 1.
        None if a layer may depend on the whole image: each block of MobileNetV3 and
        EfficientNetV2 averages over it, torchvision's FCNs resize their scores by a factor that
        depends on its size, and of a layer that is not in `windows.py` it is not known.

    Example:
        >>> margin_px(fcn_tf.build_fcn("fcn8s"))
        224
    """
    try:
        return _margin(model)
    except NotLocal:
        return None


def layer_of_whole_image(model: keras.Model) -> str | None:
    """The layer that keeps a network from being cut into tiles, 'Lambda "mean"'; None if none does.

    Args:
        model: as in `margin_px`.
    """
    try:
        _margin(model)
    except NotLocal as error:
        return str(error)
    return None


def _margin(model: keras.Model) -> int:
    """As `margin_px`.

    Raises:
        NotLocal: a layer may depend on the whole image.
    """
    return max(_margin_along(model, axis) for axis in (0, 1))


def _margin_along(model: keras.Model, axis: int) -> int:
    """The margin along the height (0) or the width (1).

    The pixels of a block of the grid depend on cells of the map before, these on cells of the map
    before that, and so on back to the image.
    """
    steps, cells_px = _steps(model, axis)
    needed: dict[int, tuple[int, int]] = {}  # the first and the last cell, by the id of a map
    for output in model.outputs:
        if id(output) not in cells_px:
            raise NotLocal(CALLED_AGAIN)
        needed[id(output)] = (0, GRID_PX // cells_px[id(output)] - 1)
    for step in reversed(steps):
        if id(step.output) not in needed:
            continue  # only the size of the map is asked for
        cells = step.window.needed(*needed[id(step.output)])
        for tensor in step.inputs:
            before = needed.get(id(tensor), cells)
            needed[id(tensor)] = min(before[0], cells[0]), max(before[1], cells[1])
    first_px, last_px = needed.get(id(model.inputs[0]), (0, 0))
    return math.ceil(max(-first_px, last_px + 1 - GRID_PX, 0) / GRID_PX) * GRID_PX


def _steps(model: keras.Model, axis: int) -> tuple[list[Step], dict[int, int]]:
    """The layers in the order of computation, and the side of a cell in px of each map, by its id.

    Raises:
        NotLocal: a layer may depend on the whole image, or its cells do not fit the grid.
    """
    operations: Iterable[Layer] | None = getattr(model, "operations", None)
    if operations is None or len(model.inputs) != 1:
        raise NotLocal(named(model))
    cells_px = {id(model.inputs[0]): 1}
    sizes = {id(model.inputs[0]): UNKNOWN}
    steps = []
    for layer in operations:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        check_known(layer)
        inputs: list[Tensor] = layer.input if isinstance(layer.input, list) else [layer.input]
        if not all(id(tensor) in sizes for tensor in inputs):  # Keras tells those of one call
            raise NotLocal(f"{named(layer)}, which follows {CALLED_AGAIN}")
        window = window_of(layer, axis, sizes[id(inputs[0])])
        size = window.size
        if isinstance(layer, Crop):  # its second input gives the size alone
            inputs, size = inputs[:1], sizes[id(inputs[1])]
        sides = {cells_px[id(tensor)] for tensor in inputs}
        side_px, rest = divmod(sides.pop() * window.step, window.parts)
        if sides or rest or side_px == 0 or GRID_PX % side_px:
            raise NotLocal(named(layer))
        cells_px[id(layer.output)], sizes[id(layer.output)] = side_px, size
        steps.append(Step(inputs, layer.output, window))
    return steps, cells_px
