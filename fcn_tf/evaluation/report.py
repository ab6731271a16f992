"""A run's report: scores as a table and as JSON, the learning curve, the sample sheet."""

import json
import math

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

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


def scores_table(plain):
    """The scores as text for the terminal.

    Args:
        plain: what `scores_json` returns.
    """

    def percent(value):
        return "–" if value is None else f"{100 * value:.1f}"

    rows = [(name.replace("_", " "), percent(plain[name])) for name in SCORES]
    rows += [(f"  IU {name}", percent(value)) for name, value in plain["class_iou"].items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value:>5} %" for name, value in rows)


def write_scores(path, plain):
    """Writes scores.json."""
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def learning_curve(lines):
    """Loss and mean IU over the steps, of training and of validation.

    Args:
        lines: dicts as in metrics.jsonl.

    Returns:
        A matplotlib Figure.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, key, label in zip(
        figure.subplots(1, 2), ("loss", "mean_iou"), ("loss", "mean IU"), strict=True
    ):
        for split, style in (("train", {"alpha": 0.6}), ("val", {"marker": "o", "markersize": 3})):
            points = [
                (line["step"], line[key])
                for line in lines
                if line["split"] == split and line[key] is not None
            ]
            axis.plot(*zip(*points, strict=True) if points else ([], []), label=split, **style)
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.set_ylim(bottom=0)
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend()
    return figure
