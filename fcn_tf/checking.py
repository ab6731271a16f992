"""`check-data`: the findings printed and the samples drawn."""

import contextlib
import json
import sys
from pathlib import Path

from fcn_tf.data.check import check_data, plain
from fcn_tf.drawing import sample_sheet, write_figure
from fcn_tf.errors import RunError


def check_and_report(config, out, as_json=False):
    """Reads all of a data set, says what is wrong with it, and draws a sheet of samples.

    Args:
        config: a `DataConfig`, resolved.
        out: folder for sample_sheet.png.
        as_json: bool, print nothing on standard output but JSON.

    Raises:
        InputError: there is nothing that could be read.
        RunError: there are findings; they have been printed.
    """
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        checked = check_data(config)
        if checked.samples:
            sheet = Path(out) / "sample_sheet.png"
            samples = sample_sheet(checked.samples, checked.class_names, checked.colors)
            write_figure(sheet, samples)
            print(f"Written: {sheet}")
    report = plain(checked)
    print(json.dumps(report, indent=2, ensure_ascii=False) if as_json else _table(report))
    if checked.problems:
        raise RunError(f"{len(checked.problems)} findings.")


def _table(report):
    """The report for the terminal."""
    lines = [f"{len(report['problems'])} findings."]
    for problem in report["problems"]:
        path, text = problem["file"], problem["problem"]
        # Many messages begin with the file already.
        lines.append(f"  {text}" if path is None or text.startswith(path) else f"  {path}: {text}")
    width = max(map(len, ["class in train", *report["classes"]]))
    lines.append(f"{'class in train':<{width}}  images    share  median-frequency weight")
    lines += [
        f"{name:<{width}}  {c['images']:>6} {100 * c['share']:>6.2f} % "
        f"{c['median_frequency_weight']:>8.3f}"
        for name, c in report["classes"].items()
    ]
    return "\n".join(lines)
