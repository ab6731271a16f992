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
        labels = ops.cast(y_true, "int32")  # (N, H, W)
        valid = labels != VOID
        labels = ops.where(valid, labels, 0)
        losses = ops.sparse_categorical_crossentropy(
            labels, ops.cast(y_pred, "float32"), from_logits=True
        )
        weights = ops.cast(valid, "float32")
        if self.class_weights is not None:
            weights = weights * ops.take(ops.array(self.class_weights, "float32"), labels)
        # where, not a product: a loss of infinity under VOID must not become NaN.
        weighted = ops.where(valid, losses * weights, 0.0)
        if self.normalization == "mean":
            total = ops.sum(weights)
            return ops.where(total > 0, weighted / ops.maximum(total, 1e-30), 0.0)
        return weighted / ops.cast(ops.shape(labels)[0], "float32")

    def get_config(self):
        return {
            "reduction": self.normalization,
            "class_weights": self.class_weights,
            "name": self.name,
        }
