"""Where a prediction is wrong: by the distance to the objects' edges, and by its confidence.

Each function counts one image; the counts of a split are their sum.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import VOID
from fcn_tf.evaluation.distances import FAR, blocks, squares_to_edge
from fcn_tf.evaluation.metrics import check_labels, scores_from_confusion

CALIBRATION_BINS = 15
EDGE_DISTANCES_PX = (1, 2, 4, 8, 16, 32)
# By the square of what lies between a pixel and the edge: the number of its distance above, where
# pixels at the edge have a distance of 1.
_SQUARES = np.square(np.array(EDGE_DISTANCES_PX) - 1)
_BANDS = np.searchsorted(_SQUARES, np.arange(FAR + 1)).astype(np.uint8)


def edge_confusions(
    truth: NDArray[np.uint8], labels: NDArray[np.uint8], num_classes: int
) -> NDArray[np.int64]:
    """Confusion matrices of the pixels near an edge, the trimap of Kohli et al. (2009).

    An edge is where the truth changes. A change to VOID counts: PASCAL VOC draws a band of it
    around objects.

    Args:
        truth: uint8 (H, W), class indices and VOID.
        labels: uint8 (H, W).
        num_classes: C.

    Returns:
        int64 (D + 1, C, C): of the pixels up to each of the D `EDGE_DISTANCES_PX` from an edge,
        then of all pixels.

    Raises:
        InputError: the shapes differ, or a label is not below C.
    """
    check_labels(truth, labels, num_classes)
    inner = np.ones(truth.shape, bool)
    for axis in (0, 1):
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        changes = truth[tuple(before)] != truth[tuple(after)]
        inner[tuple(before)] &= ~changes
        inner[tuple(after)] &= ~changes
    bands = len(EDGE_DISTANCES_PX) + 1
    band: NDArray[np.uint8] = np.full(truth.shape, bands - 1, np.uint8)
    if not inner.all():
        band = _BANDS[squares_to_edge(~inner)]
    counts = np.zeros(bands * num_classes**2, np.int64)
    for rows in blocks(truth.shape):
        of_band, of_truth = band[rows].astype(np.int32), truth[rows].astype(np.int32)
        index = (of_band * num_classes + of_truth) * num_classes + labels[rows]
        counts += np.bincount(index[truth[rows] != VOID], minlength=len(counts))
    return np.cumsum(counts.reshape(bands, num_classes, num_classes), axis=0)


def edge_ious(confusions: Iterable[NDArray[np.int64]]) -> list[float]:
    """The mean IU of each of the matrices that `edge_confusions` gives, NaN where undefined."""
    return [float(scores_from_confusion(matrix)["mean_iou"]) for matrix in confusions]


def calibration_counts(
    truth: NDArray[np.uint8], labels: NDArray[np.uint8], confidence: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Counts how often pixels are right, by the confidence of the network.

    Args:
        truth: uint8 (H, W), class indices and VOID.
        labels: uint8 (H, W).
        confidence: float (H, W), the score of the label, 0 to 1.

    Returns:
        float64 (B, 3): the pixels, the sum of their confidences, and the pixels that are right, in
        each of `CALIBRATION_BINS` bins of equal width.
    """
    wrong_right = np.zeros(2 * CALIBRATION_BINS, np.int64)
    sums = np.zeros(CALIBRATION_BINS)
    for rows in blocks(truth.shape):
        valid = truth[rows] != VOID
        sure = confidence[rows][valid].astype(np.float64)
        right = (truth[rows] == labels[rows])[valid]
        bins = np.minimum((sure * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
        wrong_right += np.bincount(2 * bins + right, minlength=len(wrong_right))
        sums += np.bincount(bins, sure, CALIBRATION_BINS)
    wrong, right = wrong_right.reshape(-1, 2).T
    return np.stack([wrong + right, sums, right], axis=-1)


def calibration_error(counts: NDArray[np.float64]) -> float:
    """The expected calibration error, 0 to 1; NaN without pixels.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.

    Args:
        counts: as `calibration_counts` gives them, of one image or summed.
    """
    pixels = counts[:, 0].sum()
    return float(np.abs(counts[:, 1] - counts[:, 2]).sum() / pixels) if pixels else float("nan")
