"""What lies beside an exported model: export.json, labels.txt; in folders MODEL/1, MODEL/2, …"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXPORT_FILE, LABELS_FILE = "export.json", "labels.txt"
# Fields that only some formats have; the others are written as null where they are not known.
OF_SOME_FORMATS = (
    *("max_pixels", "size", "step_px", "input", "output", "opset", "value_range", "bands"),
)
# What a client of a server has to know: no path of the machine that exported is among it.
FOR_CLIENTS = ("classes", "palette", "max_pixels", "margin_px", "value_range", "bands")


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """What export.json says of a version: what it is, of which model, and what was measured.

    Every field has a default, and keys that are not known are left out when a file is read: files
    of older and of newer versions can be read.

    Args:
        model: full path of the model that was exported; None for a model in memory.
        fcn_tf: the version of this package.
        verified_on: the images that the artefacts were compared on, in words.
        margin_px: what a tile needs around it, or None where it is not known.
        max_pixels: of a SavedModel: pixels of an image above which it is refused.
        size: of TFLite and ONNX files: HEIGHTxWIDTH, or "any".
        step_px: of TFLite files of any size: what both sides of an image have to be multiples of.
        input: of TFLite files: what an image is, "uint8" or "float32" of 0..255, or "int8", which
            is uint8 less 128.
        output: of TFLite files: "scores" or "labels".
        opset: of ONNX files: the version of their operators.
        classes: names of the classes, in the order of their labels.
        palette: their colours, RGB triples in 0..255.
        value_range: of images of more than 8 bits a channel, the values that become 0 and 255; None
            for a model that takes 8 bits alone.
        bands: of image files, the numbers of the bands that are red, green and blue; None for what
            each file says.
        artefacts: what was measured, by kind (float32, int8, …).
    """

    model: str | None = None
    fcn_tf: str | None = None
    verified_on: str | None = None
    margin_px: int | None = None
    max_pixels: int | None = None
    size: str | None = None
    step_px: int | None = None
    input: str | None = None
    output: str | None = None
    opset: int | None = None
    classes: tuple[str, ...] | None = None
    palette: list[list[int]] | None = None
    value_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    artefacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> ExportRecord:
        """Reads the text of an export.json.

        Raises:
            ValueError: it is no JSON, or no object, the classes are no list, or the range or the
                bands are none.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it holds no object")
        known = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        if not isinstance(known.get("classes"), (list, type(None))):
            raise ValueError("classes is no list")
        if known.get("classes") is not None:
            known["classes"] = tuple(known["classes"])
        if (value_range := known.get("value_range")) is not None:
            if not isinstance(value_range, list) or len(value_range) != 2:
                raise ValueError("value_range is no list of two")
            known["value_range"] = (float(value_range[0]), float(value_range[1]))
        if (bands := known.get("bands")) is not None:
            if not isinstance(bands, list) or len(bands) != 3:
                raise ValueError("bands is no list of three")
            known["bands"] = tuple(map(int, bands))
        return cls(**known)

    def to_json(self) -> str:
        """The text of export.json."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in OF_SOME_FORMATS:
            if values[name] is None:
                del values[name]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def for_clients(self) -> str:
        """What a client of a server has to know, as JSON in ASCII, which `from_json` reads."""
        return json.dumps({name: getattr(self, name) for name in FOR_CLIENTS})


def lines_of(names: Iterable[str]) -> str:
    """A line for each name, also for one that has line breaks, which become spaces."""
    return "".join(f"{' '.join(name.splitlines())}\n" for name in names)


def newest_version(folder: str | Path, holding: str = "") -> Path | None:
    """The newest of the versions MODEL/1, MODEL/2, … in the folder MODEL, or None.

    Args:
        folder: MODEL.
        holding: name of a file; only versions that hold it count. By default all do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    versions = [path for path in folder.iterdir() if is_version(path)]
    versions = [path for path in versions if (path / holding).exists()]
    return max(versions, key=lambda path: int(path.name), default=None)


def is_version(path: Path) -> bool:
    """Whether a path has the name of a version, which is a number."""
    return path.name.isascii() and path.name.isdigit()


def read_record(folder: Path) -> ExportRecord | None:
    """The record in the folder of a version, or None where there is none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    file = folder / EXPORT_FILE
    return ExportRecord.from_json(file.read_text(encoding="utf-8")) if file.is_file() else None
