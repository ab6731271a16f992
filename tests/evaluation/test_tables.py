"""Scores as rows, as text and as JSON."""

import json

import numpy as np
import pytest

from fcn_tf.evaluation.metrics import SCORES, scores_from_confusion
from fcn_tf.evaluation.score import Counts, evaluate_split
from fcn_tf.evaluation.tables import (
    compared_rows,
    overall_scores,
    percent,
    score_rows,
    score_summary,
    table,
    write_json,
)

NAMES = ("sky", "Straße", "car")
# Of ten pixels of sky two are taken for street; of two of street none is. There is no car.
CONFUSION = [[8, 2, 0], [0, 2, 0], [0, 0, 0]]
ROWS = [
    ["pixel accuracy", "83.3"],  # 10/12
    ["mean accuracy", "90.0"],  # (8/10 + 2/2) / 2
    ["mean IU", "65.0"],  # (8/10 + 2/4) / 2
    ["frequency weighted IU", "75.0"],  # (10 x 8/10 + 2 x 2/4) / 12
    ["mean Dice", "77.8"],  # (16/18 + 4/6) / 2
    ["  IU sky", "80.0"],
    ["  IU Straße", "50.0"],
    ["  IU car", "–"],
    ["  Dice sky", "88.9"],
    ["  Dice Straße", "66.7"],
    ["  Dice car", "–"],
]


def summary_of(confusion):
    return score_summary(evaluate_split([Counts(np.array(confusion))], 3), NAMES)


def test_a_summary_and_its_rows():
    summary = summary_of(CONFUSION)
    assert summary["confusion_matrix"] == CONFUSION
    assert summary["class_iou"] == {"sky": 0.8, "Straße": 0.5, "car": None}
    assert summary["class_dice"] == {"sky": 16 / 18, "Straße": 4 / 6, "car": None}
    assert summary["mean_iou"] == pytest.approx(0.65)
    assert score_rows(summary) == ROWS


def test_scores_of_nothing_are_none():
    scores = scores_from_confusion(np.zeros((3, 3)))
    assert overall_scores(scores) == dict.fromkeys(SCORES)
    assert {value for _, value in score_rows(summary_of(np.zeros((3, 3), int)))} == {"–"}


def test_two_models_and_their_difference():
    """The other takes half of the sky for cars, so that all have a score of cars but one."""
    other = summary_of([[5, 0, 5], [0, 2, 0], [0, 0, 0]])
    assert compared_rows(summary_of(CONFUSION), other) == [
        ["pixel accuracy", "83.3", "58.3", "-25.0"],  # 7/12
        ["mean accuracy", "90.0", "75.0", "-15.0"],  # (5/10 + 1) / 2
        ["mean IU", "65.0", "50.0", "-15.0"],  # (5/10 + 1 + 0) / 3
        ["frequency weighted IU", "75.0", "58.3", "-16.7"],  # (10 x 5/10 + 2) / 12
        ["mean Dice", "77.8", "55.6", "-22.2"],  # (10/15 + 1 + 0) / 3
        ["  IU sky", "80.0", "50.0", "-30.0"],
        ["  IU Straße", "50.0", "100.0", "+50.0"],
        ["  IU car", "–", "0.0", "–"],
        ["  Dice sky", "88.9", "66.7", "-22.2"],
        ["  Dice Straße", "66.7", "100.0", "+33.3"],
        ["  Dice car", "–", "0.0", "–"],
    ]
    assert compared_rows(other, summary_of(CONFUSION))[-1] == ["  Dice car", "0.0", "–", "–"]


def test_the_table_of_the_terminal():
    text = table([["mean IU", "65.0", "100.0", "+35.0"], ["  IU car", "–", "0.0", "–"]])
    assert text == "mean IU   65.0  100.0  +35.0 %\n  IU car     –    0.0      – %"


def test_what_does_not_fit_together_is_refused():
    """Names that are not as many as the classes, two sets of classes, and a row without its end."""
    found = evaluate_split([Counts(np.array(CONFUSION))], 3)
    with pytest.raises(ValueError, match="zip"):
        score_summary(found, NAMES[:2])
    fewer = score_summary(evaluate_split([Counts(np.eye(2, dtype=int))], 2), NAMES[:2])
    with pytest.raises(ValueError, match="zip"):
        compared_rows(summary_of(CONFUSION), fewer)
    with pytest.raises(ValueError, match="zip"):
        table([["mean IU", "65.0", "100.0"], ["  IU car", "–"]])


def test_percent():
    assert [percent(value) for value in (0.12345, 1.0, 0.0, None)] == ["12.3", "100.0", "0.0", "–"]


def test_json_is_read_again(tmp_path):
    summary = summary_of(CONFUSION)
    write_json(tmp_path / "scores.json", summary)
    text = (tmp_path / "scores.json").read_text(encoding="utf-8")
    assert json.loads(text) == summary
    assert '"Straße": 0.5' in text
    assert '"car": null' in text
    assert text.startswith('{\n  "pixel_accuracy": 0.8333')
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"mean_iou": float("nan")})
