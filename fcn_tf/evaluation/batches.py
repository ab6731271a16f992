"""The pixels of batches, counted on the devices in Keras' operations."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fcn_tf.classes import VOID, check_num_classes
from fcn_tf.errors import InputError
from fcn_tf.evaluation.metrics import SCORES, scores_from_confusion

Tensor = Any  # a tensor of Keras' backend, or an array: Keras has no types

# What a unit of the higher word of a count is worth. A batch has fewer pixels, so the lower word
# stays below 2 ** 31.
WORD = 2**30


def masks_like(y_true: Tensor, y_pred: Tensor, num_classes: int | None = None) -> Tensor:
    """The masks of a batch without a last axis of 1; masks that do not fit the logits are refused.

    Args:
        y_true: integers (N, H, W) or (N, H, W, 1).
        y_pred: logits (N, H, W, C).
        num_classes: C, or None for any.

    Returns:
        (N, H, W).

    Raises:
        InputError: a shape, as far as it is known, is another one.
    """
    try:
        shape, logits = tuple(y_true.shape), tuple(y_pred.shape)
    except ValueError as error:  # TensorFlow does not know the number of axes
        raise InputError(
            "The number of axes of the masks is not known. Give all batches of a model masks of "
            "one shape: (N, H, W), or (N, H, W, 1)."
        ) from error
    masks = shape[:-1] if len(shape) == 4 and shape[-1] == 1 else shape
    pairs = zip(masks, logits, strict=False)
    fits = len(masks) == 3 and all(m == n for m, n in pairs if None not in (m, n))
    if len(logits) != 4 or not fits:
        raise InputError(
            f"The masks are {shape} and the logits {logits}: masks must be (N, H, W) or "
            "(N, H, W, 1), with a class index or 255 for each pixel, and logits (N, H, W, C)."
        )
    if num_classes not in (None, logits[-1]):
        raise InputError(f"The logits have {logits[-1]} channels, but num_classes={num_classes}.")
    check_num_classes(logits[-1], "channels of the logits")
    return y_true if masks == shape else ops.squeeze(y_true, axis=-1)


def count_pixels(y_true: Tensor, y_pred: Tensor, num_classes: int) -> Tensor:
    """The confusion matrix of a batch, in Keras' operations.

    Args:
        y_true: uint8 or int32 (N, H, W) or (N, H, W, 1), class indices and VOID.
        y_pred: (N, H, W, C), logits.
        num_classes: C.

    Returns:
        int32 (C, C): [i, j] pixels of class i that were labelled j.

    Raises:
        InputError: as `masks_like`.
    """
    labels = ops.cast(masks_like(y_true, y_pred, num_classes), "int32")
    predictions = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
    valid = labels != VOID
    pairs = ops.where(valid, labels * num_classes + predictions, 0)
    pairs, valid = ops.reshape(pairs, (-1,)), ops.reshape(valid, (-1,))
    counts = ops.segment_sum(ops.cast(valid, "int32"), pairs, num_classes**2)
    return ops.reshape(counts, (num_classes, num_classes))


@keras.saving.register_keras_serializable("fcn_tf")
class SegmentationMetrics(keras.metrics.Metric):
    """The scores of everything since the last reset, for `compile` and `fit`.

    The counts stay on the device. `y_true` is uint8 or int32 (N, H, W) or
    (N, H, W, 1), class indices and VOID; `y_pred` is (N, H, W, C), logits.
    `result()` is a dict of each of `SCORES`, so that `fit` logs mean_iou and val_mean_iou.

    Args:
        num_classes: C, 2 to 255.
        name: name of the metric.
        **kwargs: as `keras.metrics.Metric` takes them.

    Raises:
        InputError: num_classes is out of range; or in an update, as `masks_like`.

    Example:
        >>> metrics = [fcn_tf.SegmentationMetrics(21)]
        >>> model.compile("adam", loss=fcn_tf.SegmentationLoss(), metrics=metrics)
    """

    def __init__(self, num_classes: int, name: str = "segmentation_metrics", **kwargs: Any) -> None:
        check_num_classes(num_classes)
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        # JAX has no int64: there each count has two words. TensorFlow keeps int32 on the CPU.
        word = "int32" if keras.backend.backend() == "jax" else "int64"
        self._low, self._high = (
            self.add_weight(
                shape=(num_classes, num_classes), initializer="zeros", dtype=word, name=name
            )
            for name in ("confusion", "confusion_high")
        )

    @property
    def matrix(self) -> NDArray[np.int64]:
        """The confusion matrix, (C, C): [i, j] pixels of class i that were labelled j."""
        low, high = map(ops.convert_to_numpy, (self._low, self._high))
        return low.astype(np.int64) + high.astype(np.int64) * WORD

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        if sample_weight is not None:
            raise ValueError("SegmentationMetrics counts pixels: it takes no sample_weight.")
        counts = count_pixels(y_true, y_pred, self.num_classes)
        counts = ops.cast(counts, self._low.dtype)
        carry = (self._low + counts) // WORD
        self._low.assign_add(counts - carry * WORD)
        self._high.assign_add(carry)

    def result(self) -> dict[str, Tensor]:
        low, high = (ops.cast(word, "float32") for word in (self._low, self._high))
        scores = scores_from_confusion(low + high * WORD, xp=ops)
        return {name: scores[name] for name in SCORES}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}
