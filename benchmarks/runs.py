"""Trainings on `shapes` that the benchmarks compare, each done once."""

import json
import subprocess


def mean_iou(workdir, options):
    """The mean IU on val of a run, trained with these options of `fcn-tf train` if not there yet.

    Args:
        workdir: path of its folder.
        options: list of strings.
    """
    scores = workdir / "report/scores.json"
    if not scores.exists():
        command = ["fcn-tf", "train", "--config", "shapes", "--workdir", str(workdir), *options]
        subprocess.run(command, check=True)
    return json.loads(scores.read_text())["mean_iou"]


def cells(scores):
    """The scores of each seed and their mean, in %, as two cells of a table."""
    each = " / ".join(f"{100 * score:.1f}" for score in scores)
    return f"{each} | {100 * scores.mean():.1f}"
