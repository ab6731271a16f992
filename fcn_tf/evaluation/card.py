"""The card of a model: README.md in a run and in an export, with what model hubs read on top."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fcn_tf.config.files import METRICS_FILE, RUN_CONFIG_FILE, load_config
from fcn_tf.config.networks import TRUNK_HEADS, WHOLE_NETWORKS
from fcn_tf.config.schema import Config
from fcn_tf.errors import InputError
from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.evaluation.tables import CLASS_SCORES, percent, shown_score
from fcn_tf.files import write_text
from fcn_tf.models.fcn import FCN
from fcn_tf.models.saving import MODEL_FILE

CARD_FILE = "README.md"
OF_FCN = ("variant", "trunk", "width", "head_units", "fc6_kernel", "geometry", "upsampling")
# Arguments of the networks that are built as a whole.
OF_WHOLE = ("width", "output_stride", "geometry", "multi_grid")
# Those of other heads on a trunk.
OF_TRUNK_HEAD = ("trunk", "width", "output_stride")
NO_LICENSE = "unknown"  # a name that model hubs know
RUN_USAGE = f"""```python
import fcn_tf
predict = fcn_tf.Predictor("{MODEL_FILE}")
labels = predict(image)  # uint8 (H, W)
```"""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of how a model came to be.

    Args:
        config: what it was trained with, or None.
        scores: the line of its log with its scores on val, or None.
        license: of the card that the run has.
        unknown: why `config` is None.
    """

    config: Config | None = None
    scores: Mapping[str, Any] | None = None
    license: str = NO_LICENSE
    unknown: str = "the model is none of a run folder"


def origin_of(model: str | Path | None) -> Origin:
    """The origin of a run's model.

    Args:
        model: path of a run folder or of its `model.keras`. Of any other file it is not known
            what it was trained with, also beside a run.
    """
    path = Path(model or "").expanduser()
    folder = path.parent if path.name == MODEL_FILE else path
    if model is None or not (folder / MODEL_FILE).is_file():
        return Origin()
    scores, license = _best_scores(folder), _license_in(folder)
    try:
        config = load_config(folder / RUN_CONFIG_FILE)
    except InputError:  # of another version
        unknown = f"this version does not understand the {RUN_CONFIG_FILE} of its run"
        return Origin(scores=scores, license=license, unknown=unknown)
    return Origin(config=config, scores=scores, license=license)


def write_card(path: Path, model: FCN) -> None:
    """Writes the card of a run's folder; the licence that stands in one that is there is kept."""
    how = f"Run this in the folder of this file, with fcn_tf installed.\n\n{RUN_USAGE}"
    text = card(path.resolve().name, model, origin_of(path), form="Keras", how=how)
    write_text(path / CARD_FILE, text)


def card(
    name: str,
    model: FCN,
    origin: Origin,
    *,
    form: str,
    how: str,
    measured: Sequence[str] = (),
) -> str:
    """The text of a card.

    Args:
        name: of the model.
        model: the network.
        origin: where it comes from.
        form: "Keras", or the title of a format.
        how: how to run it, in Markdown.
        measured: paragraphs about the files beside.
    """
    network = model.build_arguments
    head = {
        "license": origin.license,
        "library_name": "fcn_tf",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", network["variant"], form],
        **_index(name, origin),
    }
    names = model.class_names or [str(label) for label in range(model.num_classes)]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---",
        f"# {escaped(name)}",
        f"A network for semantic segmentation, `{network['variant']}`, as {form}: it gives each "
        f"pixel of a photo one of {model.num_classes} classes.",
        _about_license(origin.license),
        *([f"## Run it\n\n`image` is your image, uint8 (H, W, 3) in RGB. {how}"] if how else ()),
        "## Trained on",
        *_trained_on(network, origin.config, origin.unknown),
        "## Scores",
        *_scores(origin.scores, names),
        *measured,
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table in Markdown; the first is its head, and cells are written as they are."""
    head, *others = rows
    line = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, line, *others))


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also in a cell of a table."""
    text = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]|~#!$])", r"\\\1", text)


def _best_scores(folder: Path) -> Mapping[str, Any] | None:
    """The first line of a run's log with the highest mean IU on val: that of its model."""
    file = folder / METRICS_FILE
    on_val = []
    for text in file.read_text("utf-8", "replace").splitlines() if file.is_file() else ():
        with contextlib.suppress(ValueError):  # a line that was not written to its end
            line = json.loads(text)
            on_val += [line] if line["split"] == "val" and line.get("class_iou") else []
    return max(on_val, key=lambda line: line["mean_iou"] or 0.0, default=None)


def _license_in(folder: Path) -> str:
    """The licence that stands in the card of a folder."""
    file = folder / CARD_FILE
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    head = re.match(r"---\n(.*?)^---$", text, re.DOTALL | re.MULTILINE)
    try:
        values = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        print(f"{file} begins with lines that are no YAML: its licence is left out.", flush=True)
        values = None
    found = values.get("license") if isinstance(values, dict) else None
    return found if isinstance(found, str) else NO_LICENSE


def _about_license(license: str) -> str:
    if license != NO_LICENSE:
        return f"Licence: {escaped(license)}."
    return (
        "Licence: not stated. Whoever publishes the model decides it, and looks at the terms of "
        "the images that it was trained on. It stands in `license` at the top of this file; an "
        "export takes over what stands there in the file of its run."
    )


def _index(name: str, origin: Origin) -> dict[str, Any]:
    """The scores as model hubs read them; nothing where they are not known."""
    if origin.scores is None:
        return {}
    data = _data_name(origin.config)
    metrics = [
        {"type": score, "name": shown_score(score), "value": origin.scores[score]}
        for score in SCORES
        if origin.scores.get(score) is not None
    ]
    result = {
        "task": {"type": "image-segmentation"},
        "dataset": {"name": data, "type": data, "split": "val"},
        "metrics": metrics,
    }
    return {"model-index": [{"name": name, "results": [result]}]}


def _data_name(config: Config | None) -> str:
    """What the data are called: no path of the machine is shown."""
    if config is None:
        return "unknown"
    data = config.data
    return Path(data.data_dir or data.tfds_name or data.tfds_config or data.name or "shapes").name


def _trained_on(network: Mapping[str, Any], config: Config | None, unknown: str) -> list[str]:
    keys = _shown_arguments(network["variant"])
    rows = [["", ""], *([key, f"`{network[key]}`"] for key in keys if network[key] != ())]
    if config is None:
        return [f"What it was trained on is not known: {unknown}.", markdown_table(rows)]
    data, training = config.data, config.training
    batch = data.batch_size * training.accumulate_steps
    rows += [
        ["weights at the start", escaped(Path(config.init_from or config.model.weights).name)],
        ["steps, at most", f"{training.max_steps:,}"],
        ["images of a step", str(batch)],
        ["crops, px", str(data.crop_px or "whole images")],
        ["optimizer", f"{config.optimizer.name}, learning rate {config.optimizer.learning_rate:g}"],
        ["loss", config.loss.name],
        ["precision", training.precision],
        ["seed", str(config.seed)],
    ]
    what = f"Data: {escaped(_data_name(config))} (`data.name: {data.name}`), the split `train`."
    return [what, markdown_table(rows)]


def _shown_arguments(variant: str) -> tuple[str, ...]:
    if variant in WHOLE_NETWORKS:
        return ("variant", *OF_WHOLE)
    return ("variant", *OF_TRUNK_HEAD) if variant in TRUNK_HEADS else OF_FCN


def _scores(scores: Mapping[str, Any] | None, names: Sequence[str]) -> list[str]:
    """The scores of the float32 network on val."""
    if scores is None:
        return ["They are not known: there is no log of a run beside the model."]
    overall = [[shown_score(name), percent(scores.get(name))] for name in SCORES]
    of_classes = [scores.get(score, {}) for score in CLASS_SCORES]  # older logs have no Dice
    classes = [[escaped(name), *(percent(of.get(name)) for of in of_classes)] for name in names]
    return [
        f"Of the Keras model on the split `val`, after step {scores['step']:,}:",
        markdown_table([["score", "%"], *overall]),
        markdown_table([["class", *(f"{shown}, %" for shown in CLASS_SCORES.values())], *classes]),
    ]
