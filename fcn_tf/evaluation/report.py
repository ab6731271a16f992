"""Scores as rows of a table and as JSON."""

import json
import math

from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.files import write_text


def scores_json(scores, class_names):
    """The scores as plain Python for JSON: fractions, None where undefined.

    Args:
        scores: what `evaluate_predictions` returns.
        class_names: C strings.

    Returns:
        dict of the four scores, `class_iou` by name and `confusion_matrix`, rows by true class.
    """

    def number(value):
        return None if math.isnan(value) else float(value)

    return {
        **{name: number(scores[name]) for name in SCORES},
        "class_iou": dict(zip(class_names, map(number, scores["class_iou"]), strict=True)),
        "confusion_matrix": scores["confusion_matrix"].tolist(),
    }


def scores_rows(plain):
    """(name, percent) rows of strings: the four scores, then the IU of each class.

    Args:
        plain: what `scores_json` returns.
    """
    return [[name, percent(value)] for name, value in _values(plain)]


def compared_rows(plain, other):
    """(name, percent, percent of the other, difference) rows of two models' scores."""
    rows = []
    for (name, ours), (_, theirs) in zip(_values(plain), _values(other), strict=True):
        both = ours is not None and theirs is not None
        difference = f"{100 * (theirs - ours):+.1f}" if both else "–"
        rows.append([name, percent(ours), percent(theirs), difference])
    return rows


def table(rows):
    """Rows of strings as text for the terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append(f"{name:<{widths[0]}}  " + "  ".join(padded) + " %")
    return "\n".join(lines)


def _values(plain):
    for name in SCORES:
        yield name.replace("_", " ").replace("iou", "IU"), plain[name]
    yield from ((f"  IU {name}", value) for name, value in plain["class_iou"].items())


def percent(value):
    """A fraction as a string in percent, a dash where it is None."""
    return "–" if value is None else f"{100 * value:.1f}"


def write_json(path, plain):
    """Writes scores.json and the like."""
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
