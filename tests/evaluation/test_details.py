"""Counts near edges and by confidence, in cases worked out by hand."""

import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.evaluation.details import (
    calibration_counts,
    calibration_error,
    edge_confusions,
    edge_ious,
)


def test_an_edge_between_two_halves():
    """Columns 0 to 39 are class 0, 40 to 79 class 1; the prediction is one column off."""
    truth = np.zeros((4, 80), np.uint8)
    truth[:, 40:] = 1
    labels = np.zeros_like(truth)
    labels[:, 41:] = 1
    confusions = edge_confusions(truth, labels, 2)
    # Up to d px: d columns on either side of the edge, of which column 40 is wrong.
    for row, columns in enumerate((1, 2, 4, 8, 16, 32, 40)):
        expected = 4 * np.array([[columns, 0], [1, columns - 1]])
        np.testing.assert_array_equal(confusions[row], expected)
    assert edge_ious(confusions)[0] == pytest.approx((1 / 2 + 0) / 2)
    assert edge_ious(confusions)[-1] == pytest.approx((40 / 41 + 39 / 40) / 2)


def test_a_distance_is_the_shortest_way_in_any_direction():
    """One pixel in the middle of 5 x 5, and the number of pixels up to each distance from it.

    It and its 4 neighbours are at the edge; the 4 pixels diagonal to it and the 4 ends of the
    cross are 1 px farther; the others are at most 1 + the root of 5.
    """
    truth = np.zeros((5, 5), np.uint8)
    truth[2, 2] = 1
    confusions = edge_confusions(truth, np.zeros_like(truth), 2)
    np.testing.assert_array_equal(confusions[:, 0, 0], [4, 12, 24, 24, 24, 24, 24])
    np.testing.assert_array_equal(confusions[:, 1, 0], 1)


def test_void_has_an_edge_and_takes_no_part():
    truth = np.zeros((1, 9), np.uint8)
    truth[0, 4] = VOID
    confusions = edge_confusions(truth, np.ones_like(truth), 2)
    np.testing.assert_array_equal(confusions[:, 0, 1], [2, 4, 8, 8, 8, 8, 8])
    assert confusions[:, 0, 0].sum() == 0


def test_an_image_without_an_edge_counts_as_far_from_all():
    truth = np.ones((3, 3), np.uint8)
    confusions = edge_confusions(truth, truth, 3)
    assert confusions[:-1].sum() == 0
    assert confusions[-1, 1, 1] == 9
    assert np.isnan(edge_ious(confusions)[0])


def test_calibration():
    """Three pixels at 0.5, one of them right; right ones at 1.0 and at 0.3; an unlabelled one."""
    truth = np.array([[0, 0, 1, 1, 1, VOID]], np.uint8)
    labels = np.array([[0, 1, 0, 1, 1, 0]], np.uint8)
    counts = calibration_counts(truth, labels, np.array([[0.5, 0.5, 0.5, 1.0, 0.3, 0.7]]))
    filled = np.flatnonzero(counts[:, 0])
    np.testing.assert_array_equal(filled, [4, 7, 14])  # of 15: 4.5, 7.5 and the last
    assert len(counts) == 15
    np.testing.assert_allclose(counts[filled], [[1, 0.3, 1], [3, 1.5, 1], [1, 1, 1]])
    # (1 |0.3 - 1| + 3 |1/2 - 1/3| + 1 |1 - 1|) / 5: too sure in one bin, too unsure in another.
    assert calibration_error(counts) == pytest.approx(1.2 / 5)
    assert np.isnan(calibration_error(np.zeros_like(counts)))
