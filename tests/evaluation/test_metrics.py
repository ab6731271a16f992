import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.evaluation.details import edge_confusions
from fcn_tf.evaluation.metrics import SCORES, confusion_matrix, scores_from_confusion

# Class 2 is in neither; class 3 is predicted and not there.
TRUTH = np.array([[0, 0, 0, 0, 1, 1, 1, VOID]], np.uint8)
PREDICTION = np.array([[0, 0, 1, 3, 1, 1, 0, 1]], np.uint8)
MATRIX = [[2, 1, 0, 1], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
EXPECTED = {
    "pixel_accuracy": 4 / 7,
    "mean_accuracy": (2 / 4 + 2 / 3) / 2,
    "mean_iou": (2 / 5 + 2 / 4 + 0 / 1) / 3,
    "frequency_weighted_iou": (4 * 2 / 5 + 3 * 2 / 4) / 7,
    "mean_dice": (2 * 2 / (4 + 3) + 2 * 2 / (3 + 3) + 0 / (0 + 1)) / 3,
}


def test_scores_by_hand():
    matrix = confusion_matrix(TRUTH, PREDICTION, 4)
    np.testing.assert_array_equal(matrix, MATRIX)
    scores = scores_from_confusion(matrix)
    for name in SCORES:
        np.testing.assert_allclose(scores[name], EXPECTED[name], err_msg=name)
    np.testing.assert_allclose(scores["class_iou"], [2 / 5, 2 / 4, np.nan, 0])
    np.testing.assert_allclose(scores["class_dice"], [4 / 7, 4 / 6, np.nan, 0])


def test_a_class_of_one_pixel_counts_like_another():
    """Class 0 has one pixel, which is found; of four of class 1 one is taken for it."""
    scores = scores_from_confusion([[1, 0], [1, 3]])
    assert scores["mean_accuracy"] == pytest.approx((1 + 3 / 4) / 2)
    assert scores["mean_iou"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert scores["frequency_weighted_iou"] == pytest.approx((1 * 1 / 2 + 4 * 3 / 4) / 5)


def test_without_a_label_every_score_is_undefined():
    matrix = confusion_matrix(np.full((3, 3), VOID), np.zeros((3, 3), int), 2)
    assert not matrix.any()
    assert all(np.isnan(scores_from_confusion(matrix)[name]) for name in SCORES)


def test_what_would_be_counted_in_another_cell_is_refused():
    for truth, prediction, message in (
        (TRUTH[0], PREDICTION, r"truth is \(8,\) and the prediction \(1, 8\)"),
        (TRUTH[..., None], PREDICTION, r"truth is \(1, 8, 1\)"),
        (TRUTH + 3, PREDICTION, "truth has the label 4: with 4 classes"),
        (TRUTH.astype(int) - 1, PREDICTION, "truth has the label -1"),
        (TRUTH, PREDICTION + 1, "prediction has the label 4"),
    ):
        for count in (confusion_matrix, edge_confusions):
            with pytest.raises(InputError, match=message):
                count(truth, prediction, 4)
