"""Where a prediction fails: by distance to the objects' edges, and by how sure it was.

Each function counts one image; the counts of a split are their sum.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from fcn_tf.classes import VOID
from fcn_tf.evaluation.metrics import scores_from_confusion

CALIBRATION_BINS = 15
EDGE_DISTANCES_PX = (1, 2, 4, 8, 16, 32)


def edge_confusions(truth, labels, num_classes):
    """Confusion matrices of the pixels near an edge, the trimap of Kohli et al. (2009).

    An edge is where the truth changes, to VOID too: PASCAL VOC draws a band of it around
    objects.

    Args:
        truth: uint8 (H, W), class indices and VOID.
        labels: uint8 (H, W).
        num_classes: int, C.

    Returns:
        int64 (D + 1, C, C): of the pixels up to each of `EDGE_DISTANCES_PX` from an edge,
        then of all pixels.
    """
    inner = np.ones(truth.shape, bool)
    for axis in (0, 1):
        before = [slice(None)] * 2
        after = [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        changes = truth[tuple(before)] != truth[tuple(after)]
        inner[tuple(before)] &= ~changes
        inner[tuple(after)] &= ~changes
    bands = len(EDGE_DISTANCES_PX) + 1
    band = np.full(truth.shape, bands - 1)
    if not inner.all():
        # Pixels at the edge have a distance of 1.
        band = np.searchsorted(EDGE_DISTANCES_PX, distance_transform_edt(inner) + 1)
    valid = truth != VOID
    index = (band[valid] * num_classes + truth[valid]) * num_classes + labels[valid]
    counts = np.bincount(index, minlength=bands * num_classes**2)
    return np.cumsum(counts.reshape(bands, num_classes, num_classes), axis=0)


def edge_ious(confusions):
    """The mean IU of each of the matrices that `edge_confusions` gives, NaN where undefined."""
    return [
        float(scores_from_confusion(matrix.astype(np.float64))["mean_iou"]) for matrix in confusions
    ]


def calibration_counts(truth, labels, confidence):
    """How often pixels are right, by how sure the network was.

    Args:
        truth: uint8 (H, W), class indices and VOID.
        labels: uint8 (H, W).
        confidence: float (H, W), the score of the label, 0 to 1.

    Returns:
        float64 (B, 3): pixels, sum of their confidence, and those that are right, in
        `CALIBRATION_BINS` bins of equal width.
    """
    valid = truth != VOID
    sure, right = confidence[valid].astype(np.float64), (truth == labels)[valid]
    bins = np.minimum((sure * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return np.stack(
        [
            np.bincount(bins, weights, CALIBRATION_BINS)
            for weights in (np.ones_like(sure), sure, right.astype(np.float64))
        ],
        axis=-1,
    )


def calibration_error(counts):
    """The expected calibration error (Guo et al. 2017, equation 3) of `calibration_counts`."""
    pixels = counts[:, 0].sum()
    return float(np.abs(counts[:, 1] - counts[:, 2]).sum() / pixels) if pixels else float("nan")
