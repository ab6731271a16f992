"""Figures of trainings that take many sessions: a JSON file that is committed, and its tables.

A file holds the rows of one way to train. Other settings need another file, so that no table mixes
them.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
from rows import MEAN_IU, ROOT, SCORES, is_met, score_cells

from fcn_tf.files import read_text, write_text


class Recorded:
    """The rows in a file; an empty list where there is no file.

    Args:
        path: the file.

    Attributes:
        settings: what all rows were trained with, by name; None where there is no file.
        rows: dicts with the keys row, seed, steps and others.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.settings, self.rows = None, []
        self.read()

    def read(self):
        """Reads the file again, which another process may have written to."""
        if self.path.exists():
            held = json.loads(read_text(self.path))
            self.settings, self.rows = held["settings"], held["rows"]

    def refusal(self, settings):
        """Why rows with these settings cannot join those of the file; None where they can."""
        held = settings if self.settings is None else self.settings
        for key in sorted({*held, *settings}):
            if held.get(key) != settings.get(key):
                return (
                    f"{self.path} holds rows of {key}={held.get(key)}, and this command has "
                    f"{key}={settings.get(key)}: give another --results, or remove the file."
                )
        return None

    def find(self, name, seed, steps):
        """The row of a name, a seed and a number of steps, or None."""
        wanted = (name, seed, steps)
        found = (one for one in self.rows if (one["row"], one["seed"], one["steps"]) == wanted)
        return next(found, None)

    def add(self, row, settings):
        """Writes the file with one row more: beside, and renamed."""
        self.read()
        self.settings, self.rows = settings, [*self.rows, row]
        lines = ",\n".join(json.dumps(one) for one in self.rows)
        head = json.dumps(settings, indent=1)
        write_text(self.path, f'{{"settings": {head},\n"rows": [\n{lines}\n]}}\n')


def commit_of_code():
    """The commit that the code is of, with + where files differ from it; None without git."""

    def git(*command):
        return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)

    head = git("rev-parse", "--short", "HEAD")
    if head.returncode:
        return None
    changes = git("status", "--porcelain", "--", "fcn_tf", "configs", "benchmarks/*.py", "train.py")
    return head.stdout.strip() + ("+" if changes.stdout else "")


def show(recorded, steps, rows, claims):
    """Prints what is recorded for a number of steps: scores, IU of each class, and the claims.

    Args:
        recorded: a `Recorded`.
        steps: the number.
        rows: each `Row` by its name, in the order of the table.
        claims: each `Claim` by its text.
    """
    found, left = {name: [] for name in rows}, []
    for row in sorted(recorded.rows, key=lambda row: row["seed"]):
        fits = row["steps"] == steps and row["row"] in found
        (found[row["row"]] if fits else left).append(row)
    found = {name: of for name, of in found.items() if of}
    if found:
        tables = (score_table(found, rows), class_table(found), claim_table(found, claims))
        print("\n\n".join("\n".join(lines) for lines in tables))
    else:
        print(f"No row of {steps} steps is recorded.")
    for row in left:
        print(f"Not shown: {row['row']}, seed {row['seed']}, {row['steps']} steps.")


def score_table(found, rows):
    """The four scores, means over the seeds, and the published mean IU beside them."""
    header = (
        "| row | pixel acc., % | mean acc., % | mean IU, % | f.w. IU, % | mean IU of each seed "
    )
    header += "| spread | published mean IU, on other data, % | minutes × cores of each seed |"
    lines = [header, "|---" * 9 + "|"]
    for name, seeds in found.items():
        scores = np.array([[100 * seed[score] for score in SCORES] for seed in seeds])
        spread = f"{np.ptp(scores[:, MEAN_IU]):.1f}" if len(seeds) > 1 else "–"
        minutes = " / ".join(f"{seed['minutes']:.3g} × {seed['cores']}" for seed in seeds)
        cells = [name, *score_cells(scores), spread, rows[name].published, minutes]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def class_table(found):
    """The IU of each class, mean over the seeds, in %."""
    classes = list(next(iter(found.values()))[0]["class_iou"])
    lines = [f"| row | {' | '.join(classes)} |", "|---" * (1 + len(classes)) + "|"]
    for name, seeds in found.items():
        of_seeds = [[seed["class_iou"][one] for seed in seeds] for one in classes]
        cells = ["–" if None in of else f"{100 * np.mean(of):.1f}" for of in of_seeds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def claim_table(found, claims):
    """Whether each claim holds: for the means over all seeds, and within each seed."""
    lines = [
        "| claim | mean IU of its rows, % | holds | seeds in which it holds |",
        "|---" * 4 + "|",
    ]
    left = []
    for text, claim in claims.items():
        if missing := [name for name in claim.rows if name not in found]:
            left.append(f"Not measured: {text} ({'; '.join(missing)}).")
            continue
        iou = {
            name: {seed["seed"]: 100 * seed["mean_iou"] for seed in found[name]}
            for name in claim.rows
        }
        means = {name: np.mean(list(of.values())) for name, of in iou.items()}
        seeds = set.intersection(*map(set, iou.values()))
        met = [is_met(claim, {name: of[seed] for name, of in iou.items()}) for seed in seeds]
        cells = [text, " / ".join(f"{mean:.1f}" for mean in means.values())]
        cells += ["yes" if is_met(claim, means) else "no", f"{sum(met)} of {len(met)}"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *left] if lines[2:] else left
