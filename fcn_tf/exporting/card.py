"""The card of a version: that of the model, with what was measured of the files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.evaluation.card import CARD_FILE, card, escaped, markdown_table, origin_of
from fcn_tf.evaluation.tables import percent
from fcn_tf.exporting.formats import Format
from fcn_tf.models.fcn import FCN

HEAD = (
    "numbers",
    "file",
    "size, kB",
    "largest difference of a score",
    "same label, % of decided pixels",
    "mean IU, %",
    "mean IU of the Keras model, %",
)


def write_export_card(
    folder: Path, name: str, model: FCN, *, format: Format, record: ExportRecord
) -> None:
    """Writes the card into the folder of a version.

    Args:
        folder: of the version; `record.artefacts` lie in it.
        name: of the model.
        model: the network.
        format: what it was exported to.
        record: the export.json of the version.
    """
    file = str(next(iter(record.artefacts.values())).get("file", "."))
    usage = format.usage.replace("FILE", file)
    how = f"Run this in the folder of this file.\n\n{usage}" if usage else ""
    images = next(iter(record.artefacts.values()))["images"]
    rows = [_row(kind, found, folder) for kind, found in record.artefacts.items()]
    measured = (
        "## Files",
        "Each was loaded in a process without fcn_tf and compared with the float32 Keras model: "
        f"{images} images, {record.verified_on}. `export.json` has these figures, what they are "
        "held to, and what a decided pixel is.",
        markdown_table([HEAD, *rows]),
    )
    origin = origin_of(record.model)
    text = card(name, model, origin, form=format.title, how=how, measured=measured)
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def _row(kind: str, found: Mapping[str, Any], folder: Path) -> list[str]:
    size = found.get("bytes") or sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    difference = found["largest_difference"]
    return [
        kind,
        escaped(found.get("file", "this folder")),
        f"{size / 1000:,.0f}",
        "–" if difference is None else f"{difference:.2g}",
        f"{100 * found['same_label']:.3f}",
        percent(found["mean_iou"]),
        percent(found["reference_mean_iou"]),
    ]
