import numpy as np
import pytest

from fcn_tf.evaluation.counting import best_labels


@pytest.mark.parametrize("channels", [2, 3, 40, 41])
def test_the_best_label_is_the_first_of_the_highest(channels):
    """As NumPy's argmax, of more pixels than are compared at once; some scores are equal."""
    scores = np.random.default_rng(0).integers(0, 9, (150, 60, channels)).astype(np.float32)
    labels, best = best_labels(scores)
    np.testing.assert_array_equal(labels, scores.argmax(axis=-1))
    np.testing.assert_array_equal(best, scores.max(axis=-1))
    assert (labels.dtype, best.dtype) == (np.uint8, np.float32)


def test_a_pixel_without_scores_is_of_the_first_class():
    labels, best = best_labels(np.full((1, 2, 3), np.nan, np.float32))
    assert labels.tolist() == [[0, 0]]
    assert np.isnan(best).all()
