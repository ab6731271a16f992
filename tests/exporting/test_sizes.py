"""The size of TFLite files where none is given, worked out by hand."""

import numpy as np
import pytest

from fcn_tf.exporting.options import ExportOptions, TFLiteOptions
from fcn_tf.exporting.sizes import rounded_up, with_fixed_size
from tests.sources import source_of


def source(val=(), train=()):
    """Images of these sizes."""

    def pairs(sizes):
        return [(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)) for size in sizes]

    return source_of(("a", "b"), train=pairs(train), val=pairs(val))


@pytest.mark.parametrize(
    ("of", "size_px", "because"),
    [
        (None, (512, 512), "512x512, as there are no data;"),
        (
            source(val=[(9, 7), (4, 6), (9, 7)], train=[(4, 6)] * 9),
            (9, 7),
            "9x7, the size of 2 of 3 images of val;",
        ),
        (source(train=[(4, 6)]), (4, 6), "4x6, the size of 1 of 1 images of train;"),
        (
            source(val=[(10 + n, 40 - n) for n in range(11)]),
            (15, 35),
            "15x35, the median height and width of 11 images of val;",
        ),
        (
            source(val=[(2000, 3001)]),
            (1000, 1500),
            "1000x1500, 1/2 of 2000x3001, the size of 1 of 1 images of val;",
        ),
    ],
)
def test_the_commonest_size_of_val_is_taken_and_said(of, size_px, because, capsys):
    found = with_fixed_size(ExportOptions(), of).tflite
    assert found.size == found.size_px == size_px
    said = capsys.readouterr().out
    assert said.startswith(f"The TFLite files take images of {because}")
    assert "--tflite.size HEIGHTxWIDTH or any" in said


@pytest.mark.parametrize("size", ["any", (4, 6)])
def test_a_size_that_is_given_stays(size, capsys):
    options = ExportOptions(tflite=TFLiteOptions(size=size))
    assert with_fixed_size(options, source(val=[(9, 7)])) is options
    saved_model = ExportOptions(formats="saved_model")
    assert with_fixed_size(saved_model, source(val=[(9, 7)])) is saved_model
    assert capsys.readouterr().out == ""


def test_sides_are_rounded_up():
    assert rounded_up((33, 64), 32) == (64, 64)
    assert rounded_up((33, 64), 1) == (33, 64)
