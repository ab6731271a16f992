"""Softmax cross-entropy over the labelled pixels, normalised in one named way."""

import keras
from keras import ops

from fcn_tf.classes import VOID

REDUCTIONS = ("mean", "sum")


@keras.saving.register_keras_serializable("fcn_tf")
class SegmentationLoss(keras.losses.Loss):
    """Softmax cross-entropy over the pixels that have a label.

    With w the weight of a pixel's class, 0 where the label is VOID:

    - "mean" is sum(w * loss) / sum(w) over the batch, 0 if nothing is labelled;
    - "sum" is sum(w * loss) / N, Caffe's SoftmaxWithLoss with normalize: false,
      with which the authors trained.

    `y_true` is uint8 or int32 (N, H, W), class indices and VOID; `y_pred` is
    (N, H, W, C), logits. The loss is float32 under every dtype policy.

    Args:
        reduction: "mean" or "sum".
        class_weights: C factors >= 0, or None for 1 each.

    Raises:
        ValueError: another reduction.
    """

    def __init__(self, reduction="mean", class_weights=None, name="segmentation_loss"):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: choose one of {', '.join(REDUCTIONS)}.")
        # The shares of the pixels are summed up, whatever they are shares of.
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.normalization = reduction
        self.class_weights = None if class_weights is None else list(class_weights)

    def call(self, y_true, y_pred):
        norm = self.normalizer(y_true)
        return ops.where(norm > 0, self._weighted(y_true, y_pred) / ops.maximum(norm, 1e-30), 0.0)

    def total(self, y_true, y_pred):
        """Sum of w * loss; a float32 scalar."""
        return ops.sum(self._weighted(y_true, y_pred))

    def normalizer(self, y_true):
        """What `total` is divided by: a float32 scalar that needs no prediction.

        So the shares of a batch, on several devices or one after the other, can
        be divided by what belongs to the whole batch: add their normalizers.
        """
        if self.normalization == "mean":
            return ops.sum(self._weights(y_true))
        return ops.cast(ops.shape(y_true)[0], "float32")

    def _weights(self, y_true):
        valid = ops.not_equal(y_true, VOID)
        weights = ops.cast(valid, "float32")
        if self.class_weights is None:
            return weights
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        return weights * ops.take(ops.array(self.class_weights, "float32"), labels)

    def _weighted(self, y_true, y_pred):
        """w * loss of each pixel, (N, H, W)."""
        valid = ops.not_equal(y_true, VOID)
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        losses = ops.sparse_categorical_crossentropy(
            labels, ops.cast(y_pred, "float32"), from_logits=True
        )
        # where, not a product: a loss of infinity under VOID must not become NaN.
        return ops.where(valid, losses * self._weights(y_true), 0.0)

    def get_config(self):
        return {
            "reduction": self.normalization,
            "class_weights": self.class_weights,
            "name": self.name,
        }
