"""What stands in a TFLite file, read from and written to its flatbuffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

FLOATS = (
    schema.TensorType.FLOAT16,
    schema.TensorType.BFLOAT16,
    schema.TensorType.FLOAT32,
    schema.TensorType.FLOAT64,
)


def operators(content: bytes) -> set[str]:
    """The names of the operators that a file uses: CONV_2D, …"""
    numbers = vars(schema.BuiltinOperator).items()
    names = {number: name for name, number in numbers if not name.startswith("_")}
    model = schema.Model.GetRootAs(content)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    # Old files have the number in a byte of its own.
    return {names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes}


def float_tensors(content: bytes) -> list[str]:
    """The names of the tensors that hold floating-point numbers."""
    return [tensor.Name().decode() for tensor in _tensors(content) if tensor.Type() in FLOATS]


def with_default_size(content: bytes, size_px: tuple[int, int]) -> bytes:
    """The same file, whose input and output have this size until somebody resizes the input.

    Args:
        content: a file whose sides are free: one image (1, H, W, 3), one answer (1, H, W, …).
        size_px: (height, width).
    """
    changed = bytearray(content)
    graph = schema.Model.GetRootAs(changed).Subgraphs(0)
    for index in (*graph.InputsAsNumpy(), *graph.OutputsAsNumpy()):
        shape = graph.Tensors(index).ShapeAsNumpy()  # a view of `changed`
        shape[1:3] = size_px
    return bytes(changed)


def _tensors(content: bytes) -> Iterator[Any]:
    model = schema.Model.GetRootAs(content)
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        yield from (graph.Tensors(index) for index in range(graph.TensorsLength()))
