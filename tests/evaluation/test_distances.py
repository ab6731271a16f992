import numpy as np
from scipy.ndimage import distance_transform_edt

from fcn_tf.evaluation.distances import squares_to_edge


def test_distances_to_an_edge_are_those_of_scipy_up_to_32_px():
    """Of images higher than what is computed at once, with a far edge and with many."""
    random = np.random.default_rng(0)
    for height, width, share in ((2, 40_000, 1e-4), (300, 500, 1e-3), (90, 70, 0.1), (1, 1, 1.0)):
        is_edge = random.random((height, width)) < share
        is_edge[-1, 0] = True
        expected = np.minimum(np.round(distance_transform_edt(~is_edge) ** 2), 1024)
        np.testing.assert_array_equal(squares_to_edge(is_edge), expected)
