"""Scores as rows of a table and as JSON.

A summary is what scores.json holds: the scores as fractions, None where they are undefined.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.evaluation.score import Evaluation
from fcn_tf.files import write_text

Summary = Mapping[str, Any]
# The scores of each class, and what tables call them.
CLASS_SCORES = {"class_iou": "IU", "class_dice": "Dice"}
Rows = list[list[str]]  # each begins with a name; the others are numbers as they are shown


def none_if_nan(value: float) -> float | None:
    """A number as JSON and tables have it: None where it is undefined."""
    return None if math.isnan(value) else float(value)


def overall_scores(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores of all classes together: those in `SCORES`, None where they are undefined.

    Args:
        scores: what `scores_from_confusion` returns.
    """
    return {name: none_if_nan(scores[name]) for name in SCORES}


def score_summary(found: Evaluation, class_names: Sequence[str]) -> dict[str, Any]:
    """The summary of an evaluation.

    Returns:
        dict of each of `SCORES`, of `class_iou` and `class_dice` by name, and of
        `confusion_matrix`, rows by true class.
    """
    of_classes = {
        score: dict(zip(class_names, map(none_if_nan, found.scores[score]), strict=True))
        for score in CLASS_SCORES
    }
    return {
        **overall_scores(found.scores),
        **of_classes,
        "confusion_matrix": found.confusion.tolist(),
    }


def score_rows(summary: Summary) -> Rows:
    """Rows (name, percent): each of `SCORES`, then the IU and the Dice of each class."""
    return [[name, percent(value)] for name, value in _values(summary)]


def compared_rows(summary: Summary, other: Summary) -> Rows:
    """Rows (name, percent, percent of the other, difference) of two models' scores."""
    rows = []
    for (name, ours), (_, theirs) in zip(_values(summary), _values(other), strict=True):
        defined = ours is not None and theirs is not None
        difference = f"{100 * (theirs - ours):+.1f}" if defined else "–"
        rows.append([name, percent(ours), percent(theirs), difference])
    return rows


def table(rows: Rows) -> str:
    """Rows as text for the terminal, the numbers in percent."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append(f"{name:<{widths[0]}}  " + "  ".join(padded) + " %")
    return "\n".join(lines)


def _values(summary: Summary) -> Iterator[tuple[str, Any]]:
    """Names as a table shows them, and their fractions."""
    for name in SCORES:
        yield shown_score(name), summary[name]
    for score, shown in CLASS_SCORES.items():
        yield from ((f"  {shown} {name}", value) for name, value in summary[score].items())


def shown_score(name: str) -> str:
    """The name of one of `SCORES` as people read it."""
    return name.replace("_", " ").replace("iou", "IU").replace("dice", "Dice")


def percent(value: float | None) -> str:
    """A fraction as a string in percent, a dash where it is None."""
    return "–" if value is None else f"{100 * value:.1f}"


def write_json(path: Path, summary: Summary) -> None:
    """Writes scores.json, or compared.json with summaries by the models' names."""
    write_text(path, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
