"""The mirrored border of convolutions without padding (Ronneberger et al. 2015, figure 2)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from fcn_tf.models.layers import Shape, Tensor


@keras.saving.register_keras_serializable("fcn_tf")
class MirroredBorder(keras.layers.Layer):
    """Continues a map beyond its border by its mirror image, as often as it takes.

    A side becomes the next that is `rest_px` more than a multiple of `step_px`, at the bottom and
    the right, and then `border_px` longer on both ends. The outermost cells are not repeated.

    Args:
        border_px: as above.
        step_px, rest_px: as above.
        kwargs: as `keras.layers.Layer`.
    """

    def __init__(self, border_px: int, step_px: int, rest_px: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.border_px = border_px
        self.step_px = step_px
        self.rest_px = rest_px

    def call(self, maps: Tensor) -> Tensor:
        for axis in (1, 2):
            side = ops.shape(maps)[axis]
            # There and back again is as long as this, and a single cell is its own mirror image.
            period = ops.maximum(2 * (side - 1), 1)
            places = ops.arange(self.length_of(side), dtype="int32") - self.border_px
            # Before the first cell it is as behind it. (ONNX has another rest of negative numbers.)
            places = ops.mod(ops.abs(places), period)
            maps = ops.take(maps, ops.minimum(places, period - places), axis=axis)
        return maps

    def length_of(self, side: Any) -> Any:
        """What a side becomes; both may be numbers or tensors."""
        steps = (side - self.rest_px + self.step_px - 1) // self.step_px
        return steps * self.step_px + self.rest_px + 2 * self.border_px

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        n, *sides, channels = input_shape
        return (n, *(side and self.length_of(side) for side in sides), channels)

    def get_config(self) -> dict[str, Any]:
        own = {"border_px": self.border_px, "step_px": self.step_px, "rest_px": self.rest_px}
        return {**super().get_config(), **own}
