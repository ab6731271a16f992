"""`fcn-tf check-data`: the findings in a data set printed, and samples of it drawn."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_tf.commands.options import NamesData, command
from fcn_tf.config.schema import Config
from fcn_tf.counted import counted
from fcn_tf.errors import RunError
from fcn_tf.quiet import import_quietly, library_messages_dropped

SHOWN_OF_A_KIND = 5  # findings; --json lists all


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
        RunError: there are errors, which training would refuse; they have been printed.

    Example:
        >>> check_data(CheckDataOptions(data=DataConfig(data_dir="street")))
    """
    data = options.named_data() or Config().data
    import_quietly("tensorflow")
    from fcn_tf.data.check import as_json, check_data_set
    from fcn_tf.images.figures import sample_sheet, write_figure

    # TFDS shows how far a download is on standard error.
    of_folder = data.name == "folder"
    with library_messages_dropped() if of_folder else contextlib.nullcontext(sys.stderr) as stderr:
        with contextlib.redirect_stdout(stderr if options.json else sys.stdout):
            checked = check_data_set(data)
            if checked.samples:
                sheet = Path(options.out) / "sample_sheet.png"
                samples = sample_sheet(checked.samples, checked.class_names, checked.colors)
                write_figure(sheet, samples)
                print(f"Written: {sheet}")
        report = as_json(checked)
    print(_json_text(report) if options.json else _table(report))
    if checked.errors:
        raise RunError(f"{counted(len(checked.errors), 'error{}')}: training would refuse this.")


def _json_text(report: dict[str, Any]) -> str:
    """The report as JSON that the terminal, or the file behind it, can take."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(report, indent=2)
    return text


def _table(report: dict[str, Any]) -> str:
    """The report for the terminal."""
    errors, warnings = report["errors"], report["warnings"]
    lines = [f"{counted(len(errors), 'error{}')}, {counted(len(warnings), 'warning{}')}."]
    for title, problems in (("error", errors), ("warning", warnings)):
        lines += [f"  {title}: {text}" for text in _shortened(problems)]
    lines += [f"  {note}" for note in report["notes"]]
    lines += [
        f"{100 * share:.2f} % of the pixels of {split} are not labelled."
        for split, share in report["not_labelled"].items()
        if share
    ]
    if any(entry["pixels"] for entry in report["classes"].values()):
        lines += _class_rows(report["classes"])
    return "\n".join(lines)


def _class_rows(classes: dict[str, Any]) -> Iterator[str]:
    width = max(map(len, ["class in train", *classes]))
    yield f"{'class in train':<{width}}  images    share  median_frequency  sqrt_median_frequency"
    for name, c in classes.items():
        yield (
            f"{name:<{width}}  {c['images']:>6} {100 * c['share']:>6.2f} % "
            f"{c['median_frequency_weight']:>16.3f} {c['sqrt_median_frequency_weight']:>22.3f}"
        )


def _shortened(problems: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of problems, a few of each kind, and the number of the others."""
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        path, text = problem["file"], problem["problem"]
        # Many messages begin with the file already.
        line = text if path is None or text.startswith(path) else f"{path}: {text}"
        kinds.setdefault(_kind(path, line), []).append(line)
    for lines in kinds.values():
        yield from lines[:SHOWN_OF_A_KIND]
        if len(lines) > SHOWN_OF_A_KIND:
            more = len(lines) - SHOWN_OF_A_KIND
            yield f"… and {more} more of this kind (--json lists all)"


def _kind(path: str | None, line: str) -> str:
    """A message without what differs from file to file."""
    if path is not None:
        line = line.replace(path, "").replace(Path(path).stem, "")
    # What to do differs with the values that a mask holds, and so does their number.
    line = re.sub(r"\d+", "#", re.split("[;.]", line)[0])
    return re.sub(r"(\w+ # in # pixel)s?(, \w+ # in # pixels?)*", r"\1s", line)


COMMAND = command(CheckDataOptions, check_data)
