"""The compiled call that evaluates images, large ones in tiles as `Predictor` cuts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.evaluation.batches import count_pixels
from fcn_tf.inference.predictor import WHOLE_PIXELS
from fcn_tf.inference.tiles import DEFAULT_TILE_PX
from fcn_tf.models.margin import margin_px

if TYPE_CHECKING:
    from fcn_tf.training.run import Run

Tensor = Any  # a tf.Tensor; TensorFlow has no types


def compile_evaluation_call(run: Run) -> Callable[..., Any]:
    """A function of an iterator and of the number of images that each device evaluates.

    It returns the confusion matrix, int64 (C, C), the sum of the images' losses, and the number
    of images that have a label; both float32.
    """
    of_tiles = partial(over_tiles, run.model, margin=margin_px(run.model))
    loss = run.loss.in_evaluation

    def no_sums() -> Any:
        return loss.sums(tf.zeros((0, 1, 1), tf.uint8), tf.zeros((0, 1, 1, run.num_classes)))

    def replica_step(example: dict[str, Tensor]) -> tuple[Tensor, ...]:
        image, mask = example["image"][None], example["segmentation_mask"][None, ..., 0]
        sums = None
        if loss.needs_sums:
            sums = of_tiles(image, mask, of_tile=loss.sums, total=no_sums())

        def count(of_mask: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
            confusion = count_pixels(of_mask, logits, run.num_classes)
            return tf.cast(confusion, tf.int64), loss.total(of_mask, logits, sums=sums)

        norm = loss.normalizer(mask)
        zeros = tf.zeros([run.num_classes] * 2, tf.int64), tf.zeros_like(norm)
        confusion, total = of_tiles(image, mask, of_tile=count, total=zeros)
        # An image without a label has no loss.
        labelled = tf.cast(tf.reduce_any(mask != VOID), tf.float32)
        of_image = tf.reduce_sum(tf.math.divide_no_nan(total, norm))
        return confusion, labelled * of_image, labelled

    @tf.function
    def evaluation_call(images: Iterator[Any], count: Tensor) -> tuple[Tensor, ...]:
        confusion = tf.zeros((run.num_classes, run.num_classes), tf.int64)
        total, labelled = tf.constant(0.0), tf.constant(0.0)
        for _ in tf.range(count):
            parts = run.cluster.strategy.run(replica_step, args=(next(images),))
            parts = [run.cluster.strategy.reduce("SUM", part, axis=None) for part in parts]
            confusion = confusion + parts[0]
            total, labelled = total + parts[1], labelled + parts[2]
        return confusion, total, labelled

    return evaluation_call


def over_tiles(
    model: Callable[..., Tensor],
    image: Tensor,
    mask: Tensor,
    *,
    margin: int | None,
    of_tile: Callable[[Tensor, Tensor], Any],
    total: Any,
) -> Any:
    """What `of_tile` gives of each tile of an image, added to `total`.

    An image above `WHOLE_PIXELS` is cut into tiles of `DEFAULT_TILE_PX`, as `Predictor` does, so
    that memory does not grow with the image. Others are one tile.

    Args:
        model: images (1, h, w, 3) to logits (1, h, w, C).
        image: uint8 (1, H, W, 3).
        mask: uint8 (1, H, W).
        margin: what a tile needs around it, in px; None if no margin is enough.
        of_tile: function of a tile's mask (1, h, w) and logits (1, h, w, C); it returns a structure
            of tensors.
        total: such a structure.
    """
    size_px = tf.shape(image)[1:3]
    tile_px, margin = size_px, margin or 0
    if margin:
        is_large = tf.reduce_prod(tf.cast(size_px, tf.int64)) > WHOLE_PIXELS
        tile_px = tf.where(is_large, DEFAULT_TILE_PX, size_px)
    rows, columns = tf.unstack(-(-size_px // tile_px))
    for number in tf.range(rows * columns):
        # One after the other: each needs the memory of the whole network.
        tf.autograph.experimental.set_loop_options(parallel_iterations=1)
        start = tf.stack([number // columns, number % columns]) * tile_px
        end = tf.minimum(start + tile_px, size_px)
        first = tf.maximum(start - margin, 0)
        last = tf.minimum(start + tile_px + margin, size_px)
        logits = model(image[:, first[0] : last[0], first[1] : last[1]], training=False)
        kept = start - first, end - first
        logits = logits[:, kept[0][0] : kept[1][0], kept[0][1] : kept[1][1]]
        part = of_tile(mask[:, start[0] : end[0], start[1] : end[1]], logits)
        total = tf.nest.map_structure(tf.add, total, part)
    return total
