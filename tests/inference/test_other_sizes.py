"""What a run says of images that a file does not take as they are."""

import numpy as np
import pytest

from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.predictor import Predictor
from tests.networks import random_images


def model(**sizes):
    """It answers red above 127."""

    def labels(images):
        return (images[..., 0] > 127).astype(np.uint8)

    return LoadedModel(
        scores=None,
        labels=labels,
        num_classes=2,
        class_names=None,
        palette=[[0, 0, 0], [1, 1, 1]],
        margin_px=None,
        **sizes,
    )


@pytest.mark.parametrize(
    ("sizes", "shown", "line"),
    [
        ({}, [(5, 7)], None),
        ({"size_px": (4, 6)}, [(4, 6)], None),
        (
            {"size_px": (4, 6)},
            [(9, 7), (4, 6), (5, 7), (9, 7), (6, 4)],
            "Images of 5x7 and 2 other sizes were scaled to 4x6, which is all that the file takes, "
            "and what it found was scaled back.",
        ),
        ({"step_px": 4}, [(4, 8)], None),
        (
            {"step_px": 4},
            [(4, 8), (4, 9)],
            "Images of 4x9 were filled up at the bottom and at the right to multiples of 4 px, as "
            "the file takes no others: labels near these two borders can differ from the model's.",
        ),
        (
            {"step_px": 4},
            [(4, 9), (5, 8)],
            "Images of 4x9 and 1 other size were filled up at the bottom and at the right to "
            "multiples of 4 px, as the file takes no others: labels near these two borders can "
            "differ from the model's.",
        ),
    ],
)
def test_a_line_says_what_was_scaled_or_filled_up(sizes, shown, line):
    predictor = Predictor(model(**sizes))
    for size in shown:
        assert predictor(random_images(*size, 3)).shape == size
    assert predictor.other_sizes_line() == line
