"""Max unpooling: values go back to where a max pooling of 2 x 2 found the largest ones.

No index is stored or looked up: which of the four cells of a window is the largest is said by four
numbers, of which one is 1 and the others are 0. Devices take every operation of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import layers, ops, saving

from fcn_tf.models.layers import Shape, Tensor


@saving.register_keras_serializable("fcn_tf")
class PoolingIndices(layers.Layer):
    """Says where in each window of 2 x 2 cells the largest value lies; of equal ones the first.

    (N, H, W, C) to (N, H/2, W/2, 4 C), sides rounded up as Caffe's pooling rounds them: four maps
    of C channels each, of the windows' cells at the top left, top right, bottom left and bottom
    right. A number is 1 where that cell is the largest, and 0 where it is not. What would lie
    beyond an odd side is never the largest.

    Attributes:
        has_even_sides: whether all maps have even sides, although they are not known when the
            graph is built; False by default. An export for devices says so, and pads nothing.
    """

    has_even_sides = False

    def call(self, maps: Tensor) -> Tensor:
        # A copy of the last row or column is never larger than the original, which comes first.
        low = maps if self._is_even(maps, 1) else ops.concatenate([maps, maps[:, -1:]], axis=1)
        top_left, top_right = self._columns(maps[:, ::2])
        bottom_left, bottom_right = self._columns(low[:, 1::2])
        largest = ops.maximum(
            ops.maximum(top_left, top_right), ops.maximum(bottom_left, bottom_right)
        )
        found, left = [], None  # `left` is 1 where none before is the largest
        for cells in (top_left, top_right, bottom_left):
            is_largest = ops.cast(ops.equal(cells, largest), maps.dtype)
            is_first = is_largest if left is None else is_largest * left
            left = 1 - is_first if left is None else left - is_first
            found.append(is_first)
        return ops.concatenate([*found, left], axis=-1)

    def _columns(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The left and the right columns of the windows."""
        if self._is_even(rows, 2):
            return rows[:, :, ::2], rows[:, :, 1::2]
        wide = ops.concatenate([rows, rows[:, :, -1:]], axis=2)
        return rows[:, :, ::2], wide[:, :, 1::2]

    def _is_even(self, maps: Tensor, axis: int) -> bool:
        side = maps.shape[axis]
        return self.has_even_sides if side is None else side % 2 == 0

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        n, *sides, channels = input_shape
        return (n, *(side and (side + 1) // 2 for side in sides), 4 * (channels or 0))


@saving.register_keras_serializable("fcn_tf")
class MaxUnpooling2D(layers.Layer):
    """Puts each value where its window had the largest one, and 0 elsewhere.

    Values (N, H, W, C) and what `PoolingIndices` says of windows, (N, H, W, 4 C), become
    (N, 2 H, 2 W, C). It equals torch's `MaxUnpool2d`.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        values, indices = inputs
        return ops.depth_to_space(ops.concatenate([values] * 4, axis=-1) * indices, 2)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        n, *sides, channels = input_shape[0]
        return (n, *(side and 2 * side for side in sides), channels)
