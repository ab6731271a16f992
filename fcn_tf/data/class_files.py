"""The classes of a folder: their names and colours, from a text file in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fcn_tf.classes import check_num_classes
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines

CLASS_FILES = ("classes.txt", "labelmap.txt", "class_names.txt")
COLORED_LINE = re.compile(r"(.+?)[\s:,]+(\d+)[\s,]+(\d+)[\s,]+(\d+)(?::.*)?")

Names = tuple[str, ...]
Colors = tuple[tuple[int, int, int], ...]


def find_classes(data_dir: Path, given: Sequence[str] | None) -> tuple[Names, Colors | None]:
    """The classes of a folder, from its class file or as they are given.

    Args:
        data_dir: the folder.
        given: names of the classes, or None.

    Returns:
        the names, and the colours of the class file or None.

    Raises:
        InputError: no names, names that contradict the file, double names, fewer than two
            classes or more than 255.
    """
    names, colors = (tuple(given) if given else None), None
    path = next((data_dir / n for n in CLASS_FILES if (data_dir / n).is_file()), None)
    if path is not None:
        read, colors = read_class_file(path)
        if names not in (None, read):
            raise InputError(
                f"{path} names {', '.join(read)}, but data.class_names is "
                f"{', '.join(names or ())}: leave data.class_names out (null), or correct one "
                "of them."
            )
        names = read
    if not names:
        raise InputError(
            f"{data_dir} has no classes.txt: write one with a class a line, in the order of "
            "the masks' values, or name them with --data.class_names."
        )
    if len(set(names)) < len(names):
        raise InputError(
            f"{data_dir} has the classes {', '.join(names)}: each must have a name of its own."
        )
    check_num_classes(len(names), f"number of classes of {data_dir}")
    return names, colors


def read_class_file(path: Path) -> tuple[Names, Colors | None]:
    """Reads a class file: a class a line, with a colour or without.

    A line is `road`, `road 128 64 128` or `road:128,64,128::`. The last is the form of CVAT's
    labelmap.txt, in which # starts a comment. labelme's `__ignore__` is not a class.

    Returns:
        the names, and an RGB triple for each, or None if no line has a colour.

    Raises:
        InputError: the file cannot be read, or a colour is wrong, missing or double.
    """
    names, colors = [], []
    for line in read_lines(path):
        if line.startswith("#") or line == "__ignore__":
            continue
        colored = COLORED_LINE.fullmatch(line)
        if colored:
            names.append(colored[1])
            colors.append(_color(colored, path))
        else:
            names.append(line.split(":")[0] if path.name == "labelmap.txt" else line)
    if colors and (len(colors) < len(names) or len(set(colors)) < len(colors)):
        raise InputError(f"{path}: give every class a colour of its own, or none of them.")
    return tuple(names), tuple(colors) or None


def _color(line: re.Match[str], path: Path) -> tuple[int, int, int]:
    color = int(line[2]), int(line[3]), int(line[4])
    if max(color) > 255:
        raise InputError(f"{path}: {line[0]!r}: a colour is three numbers from 0 to 255.")
    return color
