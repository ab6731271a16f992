"""Figures: the numbers that their own artists show, worked out by hand."""

import numpy as np
import pytest

from fcn_tf.evaluation.details import CALIBRATION_BINS, EDGE_DISTANCES_PX
from fcn_tf.evaluation.figures import (
    MOST_NUMBERED_CLASSES,
    calibration_figure,
    class_iou_bars,
    confusion_figure,
    edges_figure,
    learning_curve,
)


def said(labels):
    return [label.get_text() for label in labels]


def as_drawn(axis, value):
    """A number as an axis of percent writes it."""
    return axis.get_major_formatter()(value)


def points(line):
    return [tuple(point) for point in line.get_xydata().tolist()]


def test_a_learning_curve():
    lines = [
        {"split": "train", "step": 1, "loss": 3.0, "mean_iou": 0.1},
        {"split": "val", "step": 1, "loss": 2.5, "mean_iou": None},
        {"split": "train", "step": 2, "loss": 2.0, "mean_iou": 0.3},
        {"split": "val", "step": 2, "loss": 1.5, "mean_iou": 0.0},
        {"split": "val", "step": 5, "loss": 0.0, "mean_iou": 0.4},
    ]
    loss, iou = learning_curve(lines).axes
    assert [axis.get_ylabel() for axis in (loss, iou)] == ["loss", "mean IU"]
    assert loss.get_xlabel() == iou.get_xlabel() == "step"
    drawn = {
        (axis.get_ylabel(), line.get_label()): points(line)
        for axis in (loss, iou)
        for line in axis.lines
    }
    assert drawn == {
        ("loss", "train"): [(1, 3.0), (2, 2.0)],
        ("loss", "val"): [(1, 2.5), (2, 1.5), (5, 0.0)],
        ("mean IU", "train"): [(1, 0.1), (2, 0.3)],
        ("mean IU", "val"): [(2, 0.0), (5, 0.4)],
    }
    assert said(iou.get_legend().get_texts()) == ["train", "val"]
    assert loss.get_ylim()[0] == 0
    assert iou.get_ylim() == (0, 1)
    assert as_drawn(iou.yaxis, 0.4) == "40%"
    assert "%" not in as_drawn(loss.yaxis, 0.4)


def test_a_learning_curve_before_the_first_evaluation():
    loss, iou = learning_curve([]).axes
    assert [points(line) for line in (*loss.lines, *iou.lines)] == [[]] * 4


PALETTE = [(10, 20, 30), (40, 50, 60), (70, 80, 90), (255, 0, 0)]


def test_bars_of_each_class():
    (axis,) = class_iou_bars({"sky": 0.25, "$road": None, "car": 1.0}, PALETTE).axes
    assert [bar.get_width() for bar in axis.patches] == [0.25, 0, 1]
    assert [bar.get_y() + bar.get_height() / 2 for bar in axis.patches] == [0, 1, 2]
    for bar, color in zip(axis.patches, PALETTE[:3], strict=True):
        np.testing.assert_allclose(bar.get_facecolor()[:3], np.array(color) / 255)
    assert axis.get_yticks().tolist() == [0, 1, 2]
    assert said(axis.get_yticklabels()) == ["sky", r"\$road", "car"]
    assert [(*text.get_position(), text.get_text()) for text in axis.texts] == [
        (0.25, 0, " 25.0"),
        (0, 1, " –"),
        (1, 2, " 100.0"),
    ]
    assert axis.yaxis_inverted()  # the first class is above
    assert as_drawn(axis.xaxis, 0.25) == "25%"
    assert axis.get_legend() is None
    assert not axis.lines


def test_marks_of_another_model():
    other = {"sky": 0.75, "road": 0.5, "car": None}
    (axis,) = class_iou_bars({"sky": 0.25, "road": None, "car": 1.0}, PALETTE, other, "B").axes
    assert [bar.get_width() for bar in axis.patches] == [0.25, 0, 1]
    (marks,) = axis.lines
    np.testing.assert_array_equal(marks.get_xydata(), [(0.75, 0), (0.5, 1), (np.nan, 2)])
    assert said(axis.get_legend().get_texts()) == ["B"]


def test_a_confusion_matrix_is_rows_of_shares():
    """Of 1000 pixels of sky 400 are taken for road and 4 for cars; there is no road."""
    matrix = [[596, 400, 4], [0, 0, 0], [10, 0, 990]]
    (axis,) = confusion_figure(matrix, ("sky", "$road", "car")).axes
    (shown,) = axis.images
    shares = [[0.596, 0.4, 0.004], [np.nan] * 3, [0.01, 0, 0.99]]
    np.testing.assert_allclose(shown.get_array().filled(np.nan), shares)
    assert shown.origin == "upper"  # row 0 is above
    assert shown.get_clim() == (0, 1)
    # (column, row): what was predicted goes to the right, what is true goes down.
    numbers = {text.get_position(): (text.get_text(), text.get_color()) for text in axis.texts}
    assert numbers == {
        (0, 0): ("60", "white"),
        (1, 0): ("40", "black"),
        (0, 2): ("1", "black"),
        (2, 2): ("99", "white"),
    }
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true")
    for ticks, labels in (
        (axis.get_xticks(), axis.get_xticklabels()),
        (axis.get_yticks(), axis.get_yticklabels()),
    ):
        assert list(ticks) == [0, 1, 2]
        assert said(labels) == ["sky", r"\$road", "car"]


@pytest.mark.parametrize(("more", "numbered"), [(0, True), (1, False)])
def test_small_cells_have_no_numbers(more, numbered):
    classes = MOST_NUMBERED_CLASSES + more
    figure = confusion_figure(np.eye(classes), [str(n) for n in range(classes)])
    (axis,) = figure.axes
    assert len(axis.texts) == (classes if numbered else 0)
    assert figure.get_size_inches() == pytest.approx(1.6 + (0.36 if numbered else 0.16) * classes)


def test_scores_near_the_edges():
    """Of 10 pixels of each of two classes, k of the first are wrong at the k-th distance."""
    wrong = range(1, len(EDGE_DISTANCES_PX) + 2)
    confusions = np.array([[[10 - k, k], [0, 10]] for k in wrong])
    ious = [((10 - k) / 10 + 10 / (10 + k)) / 2 for k in wrong]
    (axis,) = edges_figure(confusions).axes
    near, whole = axis.lines
    assert near.get_xdata().tolist() == [1, 2, 4, 8, 16, 32]
    np.testing.assert_allclose(near.get_ydata(), ious[:-1])
    np.testing.assert_allclose(whole.get_ydata(), ious[-1])
    assert said(axis.get_legend().get_texts()) == ["near the edges", "all pixels"]
    assert said(axis.get_xticklabels()) == ["1", "2", "4", "8", "16", "32"]
    assert axis.get_ylim() == (0, 1)
    assert as_drawn(axis.yaxis, 0.4) == "40%"


def test_calibration_as_a_curve_over_bars():
    """Six pixels in the fourth bin, of which one is right; two in the last, both right."""
    counts = np.zeros((CALIBRATION_BINS, 3))
    counts[3] = 6, 1.5, 1
    counts[-1] = 2, 1.96, 2
    curve, below = calibration_figure(counts).axes
    diagonal, line = curve.lines
    assert points(diagonal) == [(0, 0), (1, 1)]
    np.testing.assert_allclose(line.get_xydata(), [(1.5 / 6, 1 / 6), (1.96 / 2, 2 / 2)])
    assert curve.get_ylabel() == "share that is right"
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in below.patches]
    expected = np.zeros((CALIBRATION_BINS, 2))
    expected[:, 0] = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS  # the bins' middles
    expected[3, 1], expected[-1, 1] = 6 / 8, 2 / 8
    np.testing.assert_allclose(bars, expected)
    assert below.get_ylabel() == "pixels"
    assert below.get_xlabel() == "score of the label"
    assert below.get_xlim() == (0, 1)
    assert as_drawn(curve.yaxis, 0.4) == as_drawn(below.yaxis, 0.4) == "40%"


def test_long_names_have_room_beside_the_bars_and_the_matrix():
    """Of 60 characters: on the figure, and what they name is as large as beside short ones."""
    long = {f"{letter} {'name ' * 12}": 0.5 for letter in "abc"}
    for draw, least_in in (
        (lambda names: class_iou_bars(dict.fromkeys(names, 0.5), PALETTE), 4),
        (lambda names: confusion_figure(np.eye(3), list(names)), 2),
    ):
        figure = draw(long)
        figure.draw_without_rendering()
        (axis,) = figure.axes
        assert min(label.get_window_extent().x0 for label in axis.get_yticklabels()) >= 0
        assert axis.get_window_extent().width > least_in * figure.dpi
