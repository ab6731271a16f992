"""The scores of a confusion matrix: those of the paper (section 5), and Dice.

n_ij are the pixels of class i that were labelled j; t_i is the sum of n_ij over j.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError


class Tally(NamedTuple):
    """What a confusion matrix says of each class, float (C,) each; NaN where undefined.

    Args:
        hits: pixels of the class that were labelled so, n_ii.
        in_truth: pixels of the class, t_i.
        in_prediction: pixels that were labelled so, the sum of n_ji over j.
        recall: n_ii / t_i.
        iou: n_ii / (t_i + in_prediction - n_ii).
        dice: 2 n_ii / (t_i + in_prediction), the F1 of the class's pixels.
    """

    hits: Any
    in_truth: Any
    in_prediction: Any
    recall: Any
    iou: Any
    dice: Any


def _divide(xp: Any, numerator: Any, denominator: Any) -> Any:
    """The quotient, NaN where the denominator is 0."""
    defined = denominator > 0
    return xp.where(defined, numerator / xp.where(defined, denominator, 1), float("nan"))


def _mean_where(xp: Any, values: Any, present: Any) -> Any:
    """The mean of the values that are present, NaN if there are none."""
    total = xp.sum(xp.where(present, values, 0))
    return _divide(xp, total, xp.sum(xp.where(present, 1.0, 0.0)))


def pixel_accuracy(xp: Any, of: Tally) -> Any:
    """Sum of n_ii over the sum of t_i."""
    return _divide(xp, xp.sum(of.hits), xp.sum(of.in_truth))


def mean_accuracy(xp: Any, of: Tally) -> Any:
    """Mean of n_ii / t_i over the classes that occur in the truth."""
    return _mean_where(xp, of.recall, of.in_truth > 0)


def mean_iou(xp: Any, of: Tally) -> Any:
    """Mean IU over the classes that occur in the truth or in the prediction."""
    return _mean_where(xp, of.iou, of.in_truth + of.in_prediction > 0)


def frequency_weighted_iou(xp: Any, of: Tally) -> Any:
    """Sum of t_i IU_i over the sum of t_i."""
    weighted = xp.where(of.in_truth > 0, of.in_truth * of.iou, 0)
    return _divide(xp, xp.sum(weighted), xp.sum(of.in_truth))


def mean_dice(xp: Any, of: Tally) -> Any:
    """Mean Dice over the classes that occur in the truth or in the prediction."""
    return _mean_where(xp, of.dice, of.in_truth + of.in_prediction > 0)


# The scores of logs, reports and Keras' metric, by the name that they have there. A score is a
# function of numpy or keras.ops, whichever the arrays belong to, and of a `Tally`.
SCORES: dict[str, Callable[[Any, Tally], Any]] = {
    "pixel_accuracy": pixel_accuracy,
    "mean_accuracy": mean_accuracy,
    "mean_iou": mean_iou,
    "frequency_weighted_iou": frequency_weighted_iou,
    "mean_dice": mean_dice,
}


def confusion_matrix(
    truth: NDArray[np.integer], prediction: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Counts pixels by true and predicted class; VOID takes no part.

    Args:
        truth: integer array, class indices and VOID.
        prediction: integer array of the same shape, class indices.
        num_classes: C.

    Returns:
        int64 array (C, C): [i, j] pixels of class i that were labelled j.

    Raises:
        InputError: the shapes differ, or a label is not below C.
    """
    check_labels(truth, prediction, num_classes)
    valid = truth != VOID
    pairs = truth[valid].astype(np.int64) * num_classes + prediction[valid]
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def check_labels(
    truth: NDArray[np.integer], prediction: NDArray[np.integer], num_classes: int
) -> None:
    """Refuses a pair of label maps that would be counted in the wrong cells.

    Args:
        truth, prediction, num_classes: as `confusion_matrix`.

    Raises:
        InputError: the shapes differ, or a label is not below C.
    """
    if truth.shape != prediction.shape:
        raise InputError(
            f"The truth is {truth.shape} and the prediction {prediction.shape}: give label maps "
            "of the same shape."
        )
    for name, labels in (("truth", truth[truth != VOID]), ("prediction", prediction)):
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise InputError(
                f"The {name} has the label {wrong}: with {num_classes} classes labels are 0 to "
                f"{num_classes - 1}, and {VOID} where nothing is labelled."
            )


def scores_from_confusion(matrix: Any, xp: Any = np) -> dict[str, Any]:
    """The scores of a confusion matrix, as fractions.

    Args:
        matrix: (C, C) counts: [i, j] pixels of class i that were labelled j.
        xp: numpy or keras.ops, whichever the matrix belongs to.

    Returns:
        dict of each of `SCORES`, of class_iou (C,) and of class_dice (C,); NaN where undefined.
    """
    matrix = np.asarray(matrix, np.float64) if xp is np else ops.cast(matrix, "float32")
    hits = xp.diagonal(matrix)
    in_truth, in_prediction = xp.sum(matrix, axis=1), xp.sum(matrix, axis=0)
    recall = _divide(xp, hits, in_truth)
    iou = _divide(xp, hits, in_truth + in_prediction - hits)
    dice = _divide(xp, 2 * hits, in_truth + in_prediction)
    of = Tally(hits, in_truth, in_prediction, recall=recall, iou=iou, dice=dice)
    overall = {name: score(xp, of) for name, score in SCORES.items()}
    return {**overall, "class_iou": iou, "class_dice": dice}
