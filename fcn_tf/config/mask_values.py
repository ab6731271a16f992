"""`data.mask_values`: the class that each value or colour of masks means."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from jsonargparse.typing import register_type

from fcn_tf.config.yaml_text import DoubleKey, read_yaml
from fcn_tf.errors import InputError

Color = tuple[int, int, int]  # RGB, 0..255
MaskValue = int | Color

IGNORE = "ignore"  # in place of a class: not labelled
LARGEST_VALUE = 65535  # masks have 8 or 16 bits
NUMBERS = re.compile(r"[\[(]?\s*(\d+)[\s,;]+(\d+)[\s,;]+(\d+)\s*[\])]?")
HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
PLAIN_NAME = re.compile(r"\w[\w .()/+-]*")

# The 19 classes that Cityscapes scores, with their ids in *_labelIds.png. Ids 0 to 33 are in use.
# Source: cityscapesscripts/helpers/labels.py of the Cityscapes dataset, Cordts et al. 2016.
CITYSCAPES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
CITYSCAPES_IDS = 34
# The masks of ADE20K's scene parsing benchmark: 0 is not labelled, 1 to 150 are the classes.
# Source: Zhou et al., "Scene parsing through ADE20K dataset", 2017.
ADE20K_CLASSES = 150


class MaskValues(tuple[tuple[MaskValue, str], ...]):
    """Pairs of a value or a colour, and the class that it means or `ignore`.

    It is written as a mapping, "{0: background, 255: vessel, 7: ignore}", or by the name of one of
    `CODINGS`.

    Example:
        >>> MaskValues.of("{0: background, 255: vessel}")
        MaskValues({0: background, 255: vessel})
        >>> MaskValues.of({(250, 50, 83): "disc", "#000000": "ignore"})
        MaskValues({"250,50,83": disc, "0,0,0": ignore})
    """

    @classmethod
    def of(cls, given: Any) -> MaskValues:
        """Reads a mapping, its YAML text or the name of a coding.

        Raises:
            InputError: it is none of these, a key is no value and no colour or is there twice, or
                a class has no name.
        """
        if isinstance(given, MaskValues):
            return given
        if isinstance(given, str):
            if given in CODINGS:
                return CODINGS[given]
            given = _read_text(given)
        if isinstance(given, tuple) and all(map(_is_pair, given)):
            given = dict(given)  # jsonargparse and dataclasses turn our tuple into a plain one
        if not isinstance(given, Mapping) or not given:
            raise InputError(
                f"{given!r}: mask values are a mapping, '{{0: background, 255: vessel}}' for "
                f"example, or one of {', '.join(CODINGS)}"
            )
        pairs = [(_value(key), _name(key, name)) for key, name in given.items()]
        seen: dict[MaskValue, str] = {}
        for value, name in pairs:
            if value in seen:
                raise InputError(f"{spelled(value)} is given twice, as {seen[value]} and as {name}")
            seen[value] = name
        return cls(pairs)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order in which the mapping names them first."""
        return tuple(dict.fromkeys(name for _, name in self if name != IGNORE))

    def for_classes(self, names: Sequence[str]) -> MaskValues:
        """The same coding with the names of a data set, where the coding itself has numbers only.

        ADE20K's values are 1 for the first class, 2 for the second and so on.
        """
        if self == CODINGS["ade20k"] and len(names) <= ADE20K_CLASSES:
            return MaskValues(((0, IGNORE), *enumerate(names, 1)))
        return self

    def option(self) -> str:
        """The option that gives it, to paste on a command line."""
        return f"--data.mask_values {shlex.quote(str(self))}"

    def __str__(self) -> str:
        for name, coding in CODINGS.items():
            if self == coding:
                return name
        return "{" + ", ".join(f"{spelled(value)}: {_quoted(name)}" for value, name in self) + "}"

    def __repr__(self) -> str:
        return f"MaskValues({self})"


def spelled(value: MaskValue) -> str:
    """A value or a colour, as a mapping in YAML has it."""
    return str(value) if isinstance(value, int) else f'"{",".join(map(str, value))}"'


def read_color(text: str) -> Color | None:
    """A colour from "250,50,83", "[250, 50, 83]" or "#fa3253"; None where it is neither.

    Raises:
        InputError: a channel is above 255.
    """
    if match := HEX.fullmatch(text.strip()):
        return int(match[1], 16), int(match[2], 16), int(match[3], 16)
    if match := NUMBERS.fullmatch(text.strip()):
        return checked_color(map(int, match.groups()), text)
    return None


def checked_color(channels: Iterable[int], text: object) -> Color:
    """Three channels as a colour.

    Args:
        channels: three numbers.
        text: how it was written, for the message.

    Raises:
        InputError: a channel is outside 0..255.
    """
    red, green, blue = channels
    if min(red, green, blue) < 0 or max(red, green, blue) > 255:
        raise InputError(f"{text!r}: a colour is three numbers from 0 to 255")
    return red, green, blue


def _read_text(text: str) -> Any:
    try:
        return read_yaml(text)
    except DoubleKey as error:
        raise InputError(f"{error.key} is given twice") from error
    except yaml.YAMLError as error:
        raise InputError(
            f"{text!r} is no mapping in YAML: write '{{0: background, 255: vessel}}', with a space "
            'behind each colon, and colours in quotes, "250,50,83" or "#fa3253"'
        ) from error


def _is_pair(item: object) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2


def _value(key: object) -> MaskValue:
    if isinstance(key, (tuple, list)) and [type(channel) for channel in key] == [int] * 3:
        return checked_color(key, key)
    if isinstance(key, str) and (color := read_color(key)):
        return color
    if isinstance(key, str) and re.fullmatch(r"\d+", key):
        key = int(key)
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key <= LARGEST_VALUE:
        return key
    raise InputError(
        f"{key!r}: what masks hold is a whole number from 0 to {LARGEST_VALUE} or a colour, "
        '"250,50,83" or "#fa3253" in quotes'
    )


def _name(key: object, name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            f"{key!r}: {name!r}: behind each value stands the name of a class, or {IGNORE} for "
            "what is not labelled; write numbers, yes and no in quotes, and colours too"
        )
    name = " ".join(name.split())
    return IGNORE if name.lower() == IGNORE else name


def _quoted(name: str) -> str:
    """A name as YAML has it within a mapping."""
    plain = PLAIN_NAME.fullmatch(name) and read_yaml(name) == name
    return name if plain else json.dumps(name, ensure_ascii=False)


CODINGS = {
    "cityscapes": MaskValues(
        (number, CITYSCAPES.get(number, IGNORE)) for number in range(CITYSCAPES_IDS)
    ),
    "cityscapes_train_ids": MaskValues(enumerate(CITYSCAPES.values())),
    "ade20k": MaskValues(
        ((0, IGNORE), *((number, str(number)) for number in range(1, ADE20K_CLASSES + 1)))
    ),
}
register_type(MaskValues, str, MaskValues.of)
