"""Scores of a prediction over a split."""

import numpy as np

from fcn_tf.evaluation.metrics import confusion_matrix, scores_from_confusion


def evaluate_predictions(predict_fn, images, num_classes):
    """Adds up one confusion matrix over a split and divides once, at the end.

    Args:
        predict_fn: maps a dict of `image` uint8 (H, W, 3) and
            `segmentation_mask` uint8 (H, W, 1) to labels, integer (H, W).
        images: an iterable of such dicts, labelled with class indices and VOID.
        num_classes: int, C.

    Returns:
        dict of the scores (see `scores_from_confusion`), floats, and
        `confusion_matrix`, int64 (C, C).
    """
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for example in images:
        truth = np.asarray(example["segmentation_mask"])[..., 0]
        matrix += confusion_matrix(truth, np.asarray(predict_fn(example)), num_classes)
    scores = scores_from_confusion(matrix.astype(np.float64))
    return {**scores, "confusion_matrix": matrix}
