"""The margin that a tile needs, from the receptive field of the network.

The receptive field of a pixel's label is the part of the image that the label depends on.
Scores of a tile equal those of the whole image where the receptive field lies inside the
tile, so a tile is cut out with a margin of that width around the part that is kept.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras

from fcn_tf.config.networks import GRID_PX
from fcn_tf.models.layers import ResizeLike, Tensor

# Layers whose every output depends on the whole map.
GLOBAL_LAYERS = (keras.layers.GlobalAveragePooling2D, ResizeLike)


class ReceptiveField(NamedTuple):
    """What the cells of a map see.

    Attributes:
        reach_px: how far the receptive field of a cell extends beyond the cell itself.
        cell_px: side of a cell on the image; the stride of the map.
    """

    reach_px: int
    cell_px: int


def margin_px(model: keras.Model) -> int | None:
    """The margin that a tile needs around the part whose scores are kept.

    The receptive field grows from layer to layer, up to the upsampling. The upsampling itself
    looks at one more cell of the coarsest map, its neighbour.

    Args:
        model: an `FCN`.

    Returns:
        The margin in px, a multiple of 32: 224 for VGG16 with a 7 x 7 fc6, 128 with a 1 x 1.
        None if no margin is enough: each block of MobileNetV3 and EfficientNetV2 averages over
        the whole image, and torchvision's FCNs resize their scores by a factor that depends on
        the size of the image.
    """
    if any(isinstance(layer, GLOBAL_LAYERS) for layer in model.layers):
        return None
    fields: dict[int, ReceptiveField] = {}  # by the id of a tensor
    for layer in model.layers:
        before = _field_of_input(layer, fields)
        if before is not None:
            fields[id(layer.output)] = _grown(before, layer)
    furthest_px = max(field.reach_px + field.cell_px for field in fields.values())
    return math.ceil(furthest_px / GRID_PX) * GRID_PX


def _field_of_input(
    layer: keras.layers.Layer, fields: dict[int, ReceptiveField]
) -> ReceptiveField | None:
    """The receptive field of the layer's input; None from the upsampling on."""
    if isinstance(layer, keras.layers.InputLayer):
        return ReceptiveField(reach_px=0, cell_px=1)
    inputs: list[Tensor] = layer.input if isinstance(layer.input, list) else [layer.input]
    known = [fields[id(tensor)] for tensor in inputs if id(tensor) in fields]
    if isinstance(layer, keras.layers.Conv2DTranspose) or len(known) < len(inputs):
        return None
    return ReceptiveField(
        reach_px=max(field.reach_px for field in known),
        cell_px=max(field.cell_px for field in known),
    )


def _grown(field: ReceptiveField, layer: keras.layers.Layer) -> ReceptiveField:
    """The receptive field after a layer.

    A convolution without a stride reaches half of its kernel further. Other windows reach as
    far as they are larger than their stride. Layers without a window change nothing.
    """
    stride: int = getattr(layer, "strides", (1, 1))[0]
    kernel: Any = getattr(layer, "kernel_size", None)
    window: int = (kernel or getattr(layer, "pool_size", (1, 1)))[0]
    dilation: int = getattr(layer, "dilation_rate", (1, 1))[0]
    is_centred = stride == 1 and hasattr(layer, "kernel_size")
    further = window // 2 if is_centred else max(0, window - stride)
    return ReceptiveField(
        reach_px=field.reach_px + further * dilation * field.cell_px,
        cell_px=field.cell_px * stride,
    )
