"""The paper's four scores (section 5), from one confusion matrix of the whole split."""

import keras
import numpy as np
from keras import ops

from fcn_tf.classes import VOID

SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


def confusion_matrix(truth, prediction, num_classes):
    """Counts pixels by true and predicted class; VOID takes no part.

    Args:
        truth: integer array, class indices and VOID.
        prediction: integer array of the same shape, class indices.
        num_classes: int, C.

    Returns:
        int64 array (C, C): [i, j] pixels of class i that were called j.
    """
    valid = truth != VOID
    pairs = truth[valid].astype(np.int64) * num_classes + prediction[valid]
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def scores_from_confusion(matrix, xp=np):
    """The four scores, as fractions, with n_ij the entries and t_i the row sums.

    - pixel_accuracy: sum n_ii / sum t_i
    - mean_accuracy: mean of n_ii / t_i over the classes present in the truth
    - mean_iou: mean of n_ii / (t_i + sum_j n_ji - n_ii) over the classes present in
      truth or prediction
    - frequency_weighted_iou: sum t_i IU_i / sum t_i

    Args:
        matrix: floating (C, C) counts.
        xp: numpy or keras.ops, whichever the matrix belongs to.

    Returns:
        dict of the four scores and of class_iou (C,); NaN where undefined.
    """

    def divide(numerator, denominator):
        defined = denominator > 0
        return xp.where(defined, numerator / xp.where(defined, denominator, 1), float("nan"))

    def mean_where(values, present):
        return divide(xp.sum(xp.where(present, values, 0)), xp.sum(xp.where(present, 1.0, 0.0)))

    hits = xp.diagonal(matrix)
    in_truth = xp.sum(matrix, axis=1)
    union = in_truth + xp.sum(matrix, axis=0) - hits
    class_iou = divide(hits, union)
    return {
        "pixel_accuracy": divide(xp.sum(hits), xp.sum(in_truth)),
        "mean_accuracy": mean_where(divide(hits, in_truth), in_truth > 0),
        "mean_iou": mean_where(class_iou, union > 0),
        "frequency_weighted_iou": divide(
            xp.sum(xp.where(in_truth > 0, in_truth * class_iou, 0)), xp.sum(in_truth)
        ),
        "class_iou": class_iou,
    }


def count_pixels(y_true, y_pred, num_classes):
    """The confusion matrix of a batch, in Keras' operations.

    Args:
        y_true: uint8 or int32 (N, H, W), class indices and VOID.
        y_pred: (N, H, W, C), logits.
        num_classes: int, C.

    Returns:
        int32 (C, C): [i, j] pixels of class i that were called j.
    """
    labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
    predictions = ops.reshape(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), (-1,))
    valid = labels != VOID
    pairs = ops.where(valid, labels * num_classes + predictions, 0)
    counts = ops.segment_sum(ops.cast(valid, "int32"), pairs, num_classes**2)
    return ops.reshape(counts, (num_classes, num_classes))


@keras.saving.register_keras_serializable("fcn_tf")
class SegmentationMetrics(keras.metrics.Metric):
    """The four scores of everything seen since the last reset.

    The confusion matrix stays on the device. `y_true` is uint8 or int32
    (N, H, W), class indices and VOID; `y_pred` is (N, H, W, C), logits.
    `result()` is a dict, so that `fit` logs mean_iou and val_mean_iou.

    Args:
        num_classes: int, C.
    """

    def __init__(self, num_classes, name="segmentation_metrics", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.matrix = self.add_weight(
            shape=(num_classes, num_classes), initializer="zeros", dtype="int64", name="confusion"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            raise ValueError("SegmentationMetrics counts pixels: it takes no sample_weight.")
        counts = count_pixels(y_true, y_pred, self.num_classes)
        self.matrix.assign_add(ops.cast(counts, self.matrix.dtype))

    def result(self):
        scores = scores_from_confusion(ops.cast(self.matrix, "float32"), xp=ops)
        return {name: scores[name] for name in SCORES}

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
