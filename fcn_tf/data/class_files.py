"""The classes of a folder: their names, colours and values, from the text files in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fcn_tf.classes import VOID
from fcn_tf.config.mask_values import IGNORE, Color, MaskValues
from fcn_tf.data.class_lines import (
    ClassLine,
    read_lines_without_head,
    read_table,
    without_comment,
)
from fcn_tf.errors import InputError
from fcn_tf.files import read_text
from fcn_tf.images.coding import Coding, is_grey

ADE20K_FILE = "objectInfo150.txt"
CLASS_FILES = (
    *("classes.txt", "labelmap.txt", "class_names.txt", "class_dict.csv", "_classes.csv"),
    *("classes.csv", "label_colors.txt", "labels.txt", ADE20K_FILE),
)
UNNAMED = "__ignore__"  # labelme's, which is no class
# What class files call the value 255 where it is no class.
UNLABELLED = (UNNAMED, "ignore", "ignored", "void", "unlabelled", "unlabeled", "not labelled")

Names = tuple[str, ...]
Colors = tuple[Color, ...]


@dataclass(frozen=True)
class ClassFile:
    """What a class file says.

    Args:
        names: the classes, in the order of their labels.
        colors: an RGB triple for each, 0..255, or None.
        values: the value that masks hold for each; None where these are 0, 1, 2 and so on.
    """

    names: Names
    colors: Colors | None = None
    values: tuple[int, ...] | None = None


def find_coding(
    data_dir: Path,
    class_names: Sequence[str] | None = None,
    mask_values: MaskValues | str | None = None,
    ignore_label: int | None = None,
) -> Coding:
    """What the classes of a folder are, and what its masks' values mean.

    What the class file says of values counts where `mask_values` is None, and is printed.

    Args:
        data_dir: the folder.
        class_names, mask_values, ignore_label: as in `data.class_names` and so on, or as the layout
            of the folder implies them.

    Returns:
        the coding, with the names of the classes.

    Raises:
        InputError: no names, names that contradict the file, double names, fewer than two classes
            or more than 255, class files that contradict each other, or as in `Coding.of`.
    """
    if mask_values is not None:
        mask_values = MaskValues.of(mask_values)
    path, read = find_class_file(data_dir)
    names = tuple(class_names) if class_names else None
    if path is not None and read is not None:
        names = _names_of_file(path, read, names)
    elif names is None and mask_values is not None:
        names = mask_values.class_names
    if not names:
        raise InputError(
            f"{data_dir} has no class file: write classes.txt with a class a line, in the order of "
            "the masks' values, or name the classes with --data.class_names. Class files are "
            f"{', '.join(CLASS_FILES)}."
        )
    _check_names(path or data_dir, names)
    colors = read.colors if read else None
    if mask_values is None and path is not None and read is not None:
        mask_values = _values_of_file(path, read)
    return Coding.of(names, colors, mask_values, ignore_label)


def find_class_file(data_dir: Path) -> tuple[Path, ClassFile] | tuple[None, None]:
    """The class file of a folder, or else of a folder in it, read.

    Raises:
        InputError: there are several, and they contradict each other; or as in `read_class_file`.
    """
    folders = sorted(path for path in data_dir.iterdir() if path.is_dir())
    own = [data_dir / name for name in CLASS_FILES if (data_dir / name).is_file()]
    below = [folder / name for folder in folders for name in CLASS_FILES]
    paths = own or [path for path in below if path.is_file()]
    if not paths:
        return None, None
    best, *others = sorted(
        ((path, read_class_file(path)) for path in paths),
        key=lambda one: (one[1].colors is None, one[1].values is None),
    )
    for path, other in others:
        if not _agree(best[1], other):
            raise InputError(
                f"{best[0]} and {path} name different classes ({_shown(best[1].names)} and "
                f"{_shown(other.names)}): correct one of them, or take it out of the folder."
            )
    return best


def read_class_file(path: Path) -> ClassFile:
    """Reads a class file: a class a line, with a colour and a value or without.

    A line is `road`, `road 128 64 128`, `128 64 128 road`, `road #804080`, `7 road` or
    `road:128,64,128::`, CVAT's form. A table has a head that names its columns. A line that begins
    with # is a comment, and so is what stands behind a # with spaces around it. labelme's
    `__ignore__` is no class.

    Raises:
        InputError: the file cannot be read, a colour is wrong, missing or double, a value is
            missing or double, or a line between the names is empty.
    """
    raw = list(enumerate(read_text(path).splitlines(), 1))
    found = _read_lines(path, raw)
    values, colors = [line.value for line in found], [line.color for line in found]
    if all(value is None for value in [*values, *colors]):
        _refuse_gaps(path, raw, found)
    _refuse_missing_or_double(path, "colour", colors)
    _refuse_missing_or_double(path, "value", values)
    found = [line for line in found if not _is_void(line)]
    return _class_file(sorted(found, key=lambda line: line.value or 0))


def _read_lines(path: Path, raw: Sequence[tuple[int, str]]) -> list[ClassLine]:
    """The classes of a file's lines, each with its number; in the order of the file."""
    lines = [(number, text) for number, line in raw if (text := without_comment(line))]
    lines = [(number, text) for number, text in lines if text.strip("\"'") != UNNAMED]
    if not lines:
        raise InputError(f"{path} names no class: write one a line.")
    try:
        found = read_table(lines) or read_lines_without_head(lines)
    except InputError as error:
        raise InputError(f"{path}: {error}.") from error
    if path.name == "labelmap.txt":
        found = [_without_parts(line) for line in found]
    return found


def _class_file(lines: Sequence[ClassLine]) -> ClassFile:
    names = tuple(line.name for line in lines)
    colors = tuple(line.color for line in lines if line.color is not None)
    values = tuple(line.value for line in lines if line.value is not None)
    in_order = values == tuple(range(len(names)))
    return ClassFile(names, colors or None, None if in_order or not values else values)


def _is_void(line: ClassLine) -> bool:
    return line.value == VOID and line.name.lower() in UNLABELLED


def _without_parts(line: ClassLine) -> ClassLine:
    """The name alone, where CVAT's parts and actions follow."""
    return ClassLine(line.name.split(":")[0], line.color, line.value, line.number)


def _refuse_missing_or_double(path: Path, what: str, given: Sequence[object]) -> None:
    """Refuses the colours or values of classes if some, but not all, are None, or two are equal."""
    some = any(one is not None for one in given)
    if some and (None in given or len(set(given)) < len(given)):
        raise InputError(f"{path}: give every class a {what} of its own, or none of them.")


def _refuse_gaps(path: Path, raw: Sequence[tuple[int, str]], found: Sequence[ClassLine]) -> None:
    """Refuses an empty line before a class: nobody can tell whether it stands for a value."""
    for number, text in raw:
        if not text.strip() and number < found[-1].number:
            raise InputError(
                f"{path}: line {number} is empty, and the order of the lines gives the values of "
                "the classes: name a class there, or take the line out."
            )


def _values_of_file(path: Path, read: ClassFile) -> MaskValues | None:
    """What the class file says of the values in masks, or None where they are in order."""
    if read.values is not None:
        pairs = list(zip(read.values, read.names, strict=True))
        if path.name == ADE20K_FILE:
            pairs.insert(0, (0, IGNORE))
        said = "the numbers in it are the values in masks"
    elif read.colors is not None and all(map(is_grey, read.colors)):
        pairs = [(color[0], name) for color, name in zip(read.colors, read.names, strict=True)]
        if [value for value, _ in pairs] == list(range(len(pairs))):
            return None
        said = "all colours in it are grey, so they are the values of grey masks"
    else:
        return None
    mask_values = MaskValues(pairs)
    shown = f"{mask_values}" if len(pairs) <= 12 else f"{pairs[0][0]} to {pairs[-1][0]}"
    print(f"{path}: {said}: {shown}.", flush=True)
    return mask_values


def _names_of_file(path: Path, read: ClassFile, given: Names | None) -> Names:
    if given not in (None, read.names):
        raise InputError(
            f"{path} names {_shown(read.names)}, but data.class_names is {_shown(given or ())}: "
            "leave data.class_names out (null), or correct one of them."
        )
    return read.names


def _check_names(where: Path, names: Names) -> None:
    if len(names) == 1:
        raise InputError(
            f"{where} names one class, {names[0]}: there must be between 2 and {VOID}, as what is "
            f"no {names[0]} is a class too. Name background and {names[0]}, in the order of their "
            "values 0 and 1; for other values add "
            f"--data.mask_values '{{0: background, 255: {names[0]}}}'."
        )
    double = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if len(names) > VOID or double:
        what = f"{', '.join(double)} twice" if double else f"{len(names)} classes"
        raise InputError(
            f"{where} has {what}: there must be between 2 and {VOID} classes, each with a name of "
            "its own."
        )


def _agree(one: ClassFile, other: ClassFile) -> bool:
    """Whether two files have the same classes, and no different colours or values."""
    return (
        one.names == other.names
        and (other.colors is None or one.colors == other.colors)
        and (other.values is None or one.values == other.values)
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
