"""Counts near edges and by confidence, in cases worked out by hand."""

import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.evaluation.details import (
    CALIBRATION_BINS,
    EDGE_DISTANCES_PX,
    calibration_counts,
    calibration_error,
    edge_confusions,
    edge_ious,
)


def test_an_edge_between_two_halves():
    """Columns 0 to 9 are class 0, 10 to 19 class 1; the prediction is one column off."""
    truth = np.zeros((4, 20), np.uint8)
    truth[:, 10:] = 1
    labels = np.zeros_like(truth)
    labels[:, 11:] = 1
    confusions = edge_confusions(truth, labels, 2)
    # Up to d px: d columns on either side of the edge, of which column 10 is wrong.
    for row, distance in enumerate(EDGE_DISTANCES_PX):
        columns = min(distance, 10)
        expected = 4 * np.array([[columns, 0], [1, columns - 1]])
        np.testing.assert_array_equal(confusions[row], expected)
    np.testing.assert_array_equal(confusions[-1], [[40, 0], [4, 36]])
    assert edge_ious(confusions)[0] == pytest.approx((1 / 2 + 0) / 2)
    assert edge_ious(confusions)[-1] == pytest.approx((40 / 44 + 36 / 40) / 2)


def test_void_has_an_edge_and_takes_no_part():
    truth = np.zeros((1, 9), np.uint8)
    truth[0, 4] = VOID
    confusions = edge_confusions(truth, np.ones_like(truth), 2)
    np.testing.assert_array_equal(confusions[:, 0, 1], [2, 4, 8, 8, 8, 8, 8])
    assert confusions[:, 0, 0].sum() == 0


def test_an_image_without_an_edge_counts_as_far_from_all():
    truth = np.ones((3, 3), np.uint8)
    confusions = edge_confusions(truth, truth, 2)
    assert confusions[:-1].sum() == 0
    assert confusions[-1, 1, 1] == 9
    assert np.isnan(edge_ious(confusions)[0])


def test_calibration():
    """Three pixels at 0.5, one of them right; one at 1.0, right; one that is not labelled."""
    truth = np.array([[0, 1, 1, 1, VOID]], np.uint8)
    labels = np.array([[0, 0, 0, 1, 0]], np.uint8)
    counts = calibration_counts(truth, labels, np.array([[0.5, 0.5, 0.5, 1.0, 0.7]]))
    filled = np.flatnonzero(counts[:, 0])
    np.testing.assert_array_equal(filled, [CALIBRATION_BINS // 2, CALIBRATION_BINS - 1])
    np.testing.assert_allclose(counts[filled], [[3, 1.5, 1], [1, 1, 1]])
    # (3 |1/2 - 1/3| + 1 |1 - 1|) / 4
    assert calibration_error(counts) == pytest.approx(1 / 8)
    assert np.isnan(calibration_error(np.zeros_like(counts)))
