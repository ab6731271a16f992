"""What a TFLite file says of itself: its name, its input, the names and the colours of its classes.

The format is TensorFlow's "TFLite metadata": a flatbuffer `ModelMetadata` (metadata_schema.fbs,
identifier M001) in the model's metadata, under the name TFLITE_METADATA, and the files that it
names in a zip archive behind the model. Android Studio, MediaPipe and the Task Library read it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fcn_tf.config.export_record import LABELS_FILE, ExportRecord, lines_of

ENTRY, IDENTIFIER, MODEL_IDENTIFIER = "TFLITE_METADATA", b"M001", b"TFL3"
COLORS_FILE = "colors.txt"
PARSER_VERSION = "1.0.0"  # of the oldest reader that knows all that is written here


# The fields that are written, with their numbers in metadata_schema.fbs.
class Model(IntEnum):
    NAME, DESCRIPTION, GRAPHS, FILES, PARSER = 0, 1, 3, 6, 7


class Graph(IntEnum):
    INPUTS, OUTPUTS = 2, 3


class Tensor(IntEnum):
    NAME, DESCRIPTION, CONTENT, STEPS, STATS, FILES = 0, 1, 3, 4, 5, 6


class Union(IntEnum):
    """`Content` and `ProcessUnit` are tables of a union alone: of which kind, and the table."""

    KIND, TABLE = 0, 1


class Stats(IntEnum):
    MAX, MIN = 0, 1


class Normalization(IntEnum):
    MEAN, STD = 0, 1


class File(IntEnum):
    NAME, DESCRIPTION, KIND = 0, 1, 2


# The values of enumerations, and which member of a union is meant.
DESCRIPTIONS, AXIS_LABELS, VALUE_LABELS = 1, 2, 3  # of a file
COLOR_SPACE, RGB = 0, 1  # the field of an image, and its value
FEATURE, IMAGE = 1, 2  # of `Content`
NORMALIZATION = 1  # of `ProcessUnit`

WEIGHTS_ALIGNED_TO = 16  # bytes

# A table by the numbers of its fields: an int, which is one byte, or what `_put` takes.
Table: TypeAlias = Mapping[int, Any]


class AlignedBuilder(flatbuffers.Builder):
    """A builder whose vectors of bytes begin at multiples of 16.

    The schema of TFLite asks that of weights (`force_align: 16`). The Python modules that are
    generated from it do not.
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        least = WEIGHTS_ALIGNED_TO if elemSize == 1 else alignment
        return super().StartVector(elemSize, numElems, max(alignment, least))


def with_metadata(content: bytes, name: str, record: ExportRecord, step_px: int = 1) -> bytes:
    """A TFLite file with metadata; what it computes stays the same.

    Args:
        content: of a file with one input, an image in 0..255, and one output, scores or labels.
        name: of the model.
        record: its classes and its palette are written.
        step_px: of a file of any size, what the sides of an image have to be multiples of.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph = model.subgraphs[0]
    image, answer = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    sizes = _sizes(image.shape if image.shapeSignature is None else image.shapeSignature, step_px)
    gives_scores = len(answer.shape) == 4  # (N, H, W, C)
    described = _described(name, record, sizes=sizes, gives_scores=gives_scores)
    builder = flatbuffers.Builder()
    builder.Finish(_put(builder, described), IDENTIFIER)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(builder.Output(), np.uint8)
    entry.name, entry.buffer = ENTRY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]
    builder = AlignedBuilder(len(content) + len(buffer.data))  # it grows by copies
    builder.Finish(model.Pack(builder), MODEL_IDENTIFIER)
    file = io.BytesIO(builder.Output())
    with zipfile.ZipFile(file, "a") as archive:  # behind what is there
        for associated, text in _files(record).items():
            # Of no date: the file is the same each time. MediaPipe reads no compressed ones.
            archive.writestr(zipfile.ZipInfo(associated), text, zipfile.ZIP_STORED)
    return file.getvalue()


def _files(record: ExportRecord) -> dict[str, str]:
    colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in record.palette or ()]
    return {LABELS_FILE: lines_of(record.classes or ()), COLORS_FILE: lines_of(colors)}


def _sizes(shape: Sequence[int], step_px: int) -> str:
    """The sizes of an image, by the shape (N, H, W, 3) of the input, in which -1 is free."""
    height_px, width_px = shape[1:3]
    if -1 not in (height_px, width_px):
        return f"{height_px} px high and {width_px} px wide"
    return "of any size" + (f" whose sides are multiples of {step_px} px" if step_px > 1 else "")


def _described(name: str, record: ExportRecord, *, sizes: str, gives_scores: bool) -> Table:
    """The table `ModelMetadata`."""
    classes = f"{len(record.classes or ())} classes"
    what = f"the scores of {classes}" if gives_scores else f"the label, of {classes},"
    image: Table = {
        Tensor.NAME: "image",
        Tensor.DESCRIPTION: f"An RGB image {sizes}, values 0..255; the model does its own "
        "preprocessing.",
        Tensor.CONTENT: {Union.KIND: IMAGE, Union.TABLE: {COLOR_SPACE: RGB}},
        Tensor.STEPS: [
            {
                Union.KIND: NORMALIZATION,
                Union.TABLE: {Normalization.MEAN: [0.0], Normalization.STD: [1.0]},
            }
        ],
        Tensor.STATS: {Stats.MAX: [255.0], Stats.MIN: [0.0]},
    }
    answer: Table = {
        Tensor.NAME: "scores" if gives_scores else "labels",
        Tensor.DESCRIPTION: f"{what[0].upper()}{what[1:]} at each pixel.",
        Tensor.CONTENT: {Union.KIND: FEATURE, Union.TABLE: {}},
        Tensor.FILES: [
            {
                File.NAME: LABELS_FILE,
                File.DESCRIPTION: "The names of the classes, in the order of their labels.",
                File.KIND: AXIS_LABELS if gives_scores else VALUE_LABELS,
            }
        ],
    }
    return {
        Model.NAME: name,
        Model.DESCRIPTION: f"Semantic segmentation by fcn_tf {record.fcn_tf}: an RGB image in, "
        f"{what} at each pixel out.",
        Model.GRAPHS: [{Graph.INPUTS: [image], Graph.OUTPUTS: [answer]}],
        Model.FILES: [
            {
                File.NAME: COLORS_FILE,
                File.DESCRIPTION: "The colours of the classes as #rrggbb, in the same order.",
                File.KIND: DESCRIPTIONS,
            }
        ],
        Model.PARSER: PARSER_VERSION,
    }


def _put(builder: flatbuffers.Builder, value: str | Table | Sequence[Any]) -> int:
    """Writes a string, a table, or a vector of floats or of tables; returns where it lies."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        fields = {n: v if isinstance(v, int) else _put(builder, v) for n, v in value.items()}
        builder.StartObject(1 + max(fields, default=-1))
        for number, field in fields.items():
            if isinstance(value[number], int):
                builder.PrependInt8Slot(number, field, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(number, field, 0)
        return builder.EndObject()
    if isinstance(value[0], float):
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    tables = [_put(builder, table) for table in value]
    builder.StartVector(4, len(tables), 4)  # offsets of four bytes
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()
