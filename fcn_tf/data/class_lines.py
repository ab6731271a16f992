"""The lines of class files: a class each, with a colour, with a number, or with both."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fcn_tf.config.mask_values import LARGEST_VALUE, Color, checked_color, read_color
from fcn_tf.errors import InputError

GAP = r"[\s:,;]+"
RGB = rf"(\d+){GAP}(\d+){GAP}(\d+)"
NAME_RGB = re.compile(rf"(.+?){GAP}{RGB}(?::.*)?")
RGB_NAME = re.compile(rf"{RGB}{GAP}(\D.*|\"[^\"]+\")")
NUMBER_RGB_NAME = re.compile(rf"(\d+){GAP}{RGB}{GAP}(\D.*)")
HEX = r"(#[0-9a-fA-F]{6})"
NAME_HEX = re.compile(rf"(.+?){GAP}{HEX}")
HEX_NAME = re.compile(rf"{HEX}{GAP}(.+)")
NUMBER_NAME = re.compile(r"(-?\d+)(?:\s*[:,;.)=]\s*|\s+)(.+)")
NAME_NUMBER = re.compile(r"(.+?)\s*[:,;=\t]\s*(\d+)")
QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'")
TRAILING_COMMENT = re.compile(r"\s#(\s.*)?$")

# What the columns of tables are called.
NAME_COLUMNS = ("name", "class", "class name", "classname", "label", "label name", "category")
VALUE_COLUMNS = ("pixel value", "value", "id", "index", "idx", "class id", "label id", "number")
RED_GREEN_BLUE = (("r", "red"), ("g", "green"), ("b", "blue"))
COLOR_COLUMNS = ("color", "colour", "rgb", "hex")
SEPARATORS = ("\t", ";", ",")


@dataclass(frozen=True)
class ClassLine:
    """A class as a line gives it.

    Args:
        name: of the class.
        color: its colour, or None.
        value: the value that masks hold for it, or None.
        number: of the line in the file, from 1.
    """

    name: str
    color: Color | None = None
    value: int | None = None
    number: int = 0


def read_table(lines: Sequence[tuple[int, str]]) -> list[ClassLine] | None:
    """The classes of a table, whose first line names its columns.

    Args:
        lines: each with its number, without comments and empty lines.

    Returns:
        the classes; None where the first line is no head.

    Raises:
        InputError: a line has fewer columns than the head, or its colour or its value is none.
    """
    separator = next((s for s in SEPARATORS if s in lines[0][1]), None)
    if separator is None:
        return None
    head, *rows = (_cells(text, separator) for _, text in lines)
    columns = {re.sub(r"[\s_]+", " ", cell.lower()): place for place, cell in enumerate(head)}
    if any(cell.isdecimal() for cell in head) or not columns.keys() & {*NAME_COLUMNS}:
        return None
    _refuse_short_rows(lines[1:], rows, len(head))
    name_at, value_at = _columns_of_names_and_values(columns, rows)
    colors_at = _columns_of_colors(columns)
    return [
        ClassLine(
            name=row[name_at],
            color=_color_in(row, colors_at, text),
            value=None if value_at is None else _value(row[value_at], text),
            number=number,
        )
        for (number, text), row in zip(lines[1:], rows, strict=True)
    ]


def read_lines_without_head(lines: Sequence[tuple[int, str]]) -> list[ClassLine]:
    """The classes of lines that have no head.

    A line is a name; a name and a colour, in either order; and with a number before it. Names that
    begin with a number count as numbered only if all lines do, or end with one behind a comma.

    Raises:
        InputError: a colour is none.
    """
    found = [_colored(text, number) for number, text in lines]
    for pattern, places in ((NUMBER_NAME, (1, 2)), (NAME_NUMBER, (2, 1))):
        if any(line.value is not None for line in found):
            break
        matches = [pattern.fullmatch(line.name) for line in found]
        if all(matches):
            found = [
                replace(line, name=match[places[1]], value=_value(match[places[0]], line.name))
                for line, match in zip(found, matches, strict=True)
                if match and not match[places[0]].startswith("-")  # -1 is no value in a mask
            ]
    return [replace(line, name=_unquoted(line.name)) for line in found]


def without_comment(text: str) -> str:
    """A line without the comment that begins with #, and without the spaces around.

    A # in a name stays, "C#" for instance, and so does a colour, "#fa3253".
    """
    text = text.strip()
    if text.startswith("#") and not HEX_NAME.fullmatch(text):
        return ""
    return TRAILING_COMMENT.sub("", text).strip()


def _refuse_short_rows(
    lines: Sequence[tuple[int, str]], rows: Sequence[Sequence[str]], count: int
) -> None:
    """Refuses a row of a table with fewer than `count` columns."""
    for (number, text), row in zip(lines, rows, strict=True):
        if len(row) < count:
            raise InputError(f"line {number}, {text!r}, has {len(row)} columns of {count}")


def _columns_of_names_and_values(
    columns: Mapping[str, int], rows: Sequence[Sequence[str]]
) -> tuple[int, int | None]:
    """The column of a table that holds the names, and the one of the values or None."""

    def is_of_numbers(place: int) -> bool:
        return all(row[place].isdecimal() for row in rows)

    # "label" and "class" head names in some tables, and numbers in others.
    named = sorted(_columns_called(NAME_COLUMNS, columns), key=is_of_numbers)
    numbers = [place for place in named[1:] if is_of_numbers(place)]
    values = _columns_called(VALUE_COLUMNS, columns) + numbers
    return named[0], values[0] if values else None


def _columns_of_colors(columns: Mapping[str, int]) -> list[int]:
    """The three columns of the channels, or else the one of the colours, or else none."""
    channels = [_columns_called(names, columns)[:1] for names in RED_GREEN_BLUE]
    if all(channels):
        return [place for (place,) in channels]
    return _columns_called(COLOR_COLUMNS, columns)[:1]


def _columns_called(names: Sequence[str], columns: Mapping[str, int]) -> list[int]:
    return [columns[name] for name in names if name in columns]


def _color_in(row: Sequence[str], places: Sequence[int], text: str) -> Color | None:
    """The colour in a row of a table, whose columns `_columns_of_colors` finds."""
    cells = [row[place] for place in places]
    if len(cells) == 1:
        return read_color(cells[0])
    return _color(cells, text) if cells else None


def _colored(text: str, number: int) -> ClassLine:
    if match := NUMBER_RGB_NAME.fullmatch(text):
        color = _color(match.groups()[1:4], text)
        return ClassLine(match[5], color, _value(match[1], text), number)
    if match := RGB_NAME.fullmatch(text):
        return ClassLine(match[4], _color(match.groups()[:3], text), number=number)
    if match := NAME_RGB.fullmatch(text):
        return ClassLine(match[1], _color(match.groups()[1:], text), number=number)
    if match := HEX_NAME.fullmatch(text):
        return ClassLine(match[2], read_color(match[1]), number=number)
    if match := NAME_HEX.fullmatch(text):
        return ClassLine(match[1], read_color(match[2]), number=number)
    return ClassLine(text, number=number)


def _color(channels: Sequence[str], text: str) -> Color:
    if not all(channel.isdecimal() for channel in channels):
        raise InputError(f"{text!r}: a colour is three numbers from 0 to 255")
    return checked_color(map(int, channels), text)


def _value(cell: str, text: str) -> int:
    if not cell.isdecimal() or int(cell) > LARGEST_VALUE:
        raise InputError(f"{text!r}: the value of a class is a number from 0 to {LARGEST_VALUE}")
    return int(cell)


def _cells(text: str, separator: str) -> list[str]:
    cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True))
    return [cell.strip() for cell in cells]


def _unquoted(name: str) -> str:
    match = QUOTED.fullmatch(name.strip())
    return (match[1] or match[2]) if match else name.strip()
