"""`fcn-tf check-data`: the findings in a data set printed, and samples of it drawn."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_tf.commands.options import NamesData, command
from fcn_tf.config.schema import Config
from fcn_tf.errors import RunError
from fcn_tf.quiet import import_quietly


@dataclass(frozen=True, kw_only=True)
class CheckDataOptions(NamesData):
    """Which data set is read, and where its findings go.

    Args:
        config: a recipe that names the data.
        out: folder for the sheet of samples.
        json: print the findings as JSON.
    """

    out: str = "check-data"
    json: bool = False


def check_data(options: CheckDataOptions) -> None:
    """Read all of a data set and say what is wrong with which file.

    Raises:
        InputError: there is nothing that could be read.
        RunError: there are findings; they have been printed.

    Example:
        >>> check_data(CheckDataOptions(data=DataConfig(data_dir="street")))
    """
    data = options.named_data() or Config().data
    import_quietly("tensorflow")
    from fcn_tf.data.check import as_json, check_data_set
    from fcn_tf.images.figures import sample_sheet, write_figure

    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        checked = check_data_set(data)
        if checked.samples:
            sheet = Path(options.out) / "sample_sheet.png"
            samples = sample_sheet(checked.samples, checked.class_names, checked.colors)
            write_figure(sheet, samples)
            print(f"Written: {sheet}")
    report = as_json(checked)
    text = json.dumps(report, indent=2, ensure_ascii=False) if options.json else _table(report)
    print(text)
    if checked.problems:
        raise RunError(f"{len(checked.problems)} findings.")


def _table(report: dict[str, Any]) -> str:
    """The report for the terminal."""
    lines = [f"{len(report['problems'])} findings."]
    for problem in report["problems"]:
        path, text = problem["file"], problem["problem"]
        # Many messages begin with the file already.
        lines.append(f"  {text}" if path is None or text.startswith(path) else f"  {path}: {text}")
    width = max(map(len, ["class in train", *report["classes"]]))
    lines.append(
        f"{'class in train':<{width}}  images    share  median_frequency  sqrt_median_frequency"
    )
    lines += [
        f"{name:<{width}}  {c['images']:>6} {100 * c['share']:>6.2f} % "
        f"{c['median_frequency_weight']:>16.3f} {c['sqrt_median_frequency_weight']:>22.3f}"
        for name, c in report["classes"].items()
    ]
    return "\n".join(lines)


COMMAND = command(CheckDataOptions, check_data)
