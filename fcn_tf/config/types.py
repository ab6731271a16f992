"""What is written as one word in YAML and on the command line: sizes, lists, shards.

Each type has one spelling, `of` reads it, and `str` writes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jsonargparse.typing import register_type

from fcn_tf.errors import InputError


class Size(tuple[int, int]):
    """A height and a width in px, written HEIGHTxWIDTH, or one number for a square.

    Example:
        >>> Size.of("240x320")
        Size(240, 320)
        >>> Size.of(321) == (321, 321)
        True
    """

    def __new__(cls, sides: Iterable[int]) -> Size:
        height_px, width_px = sides
        return super().__new__(cls, (int(height_px), int(width_px)))

    @classmethod
    def of(cls, value: Any) -> Size:
        """A size from 321, "321", "240x320" or [240, 320].

        Raises:
            InputError: it is none of these.
        """
        if isinstance(value, int) and not isinstance(value, bool):
            return cls((value, value))
        if isinstance(value, str) and (match := re.fullmatch(r"(\d+)(?:x(\d+))?", value)):
            return cls((int(match[1]), int(match[2] or match[1])))
        if isinstance(value, (list, tuple)) and [type(side) for side in value] == [int, int]:
            return cls(value)
        raise InputError(f"{value!r}: a size is HEIGHTxWIDTH, 240x320 for example")

    def __str__(self) -> str:
        return f"{self[0]}x{self[1]}"

    def __repr__(self) -> str:
        return f"Size({self[0]}, {self[1]})"


class Names(tuple[str, ...]):
    """Names, written with commas: png,overlay."""

    @classmethod
    def of(cls, value: Any) -> Names:
        """Names from "png,overlay" or from an iterable of them."""
        names = value.split(",") if isinstance(value, str) else value
        return cls(name.strip() for name in names if name.strip())

    def __str__(self) -> str:
        return ",".join(self)


class Scales(tuple[float, ...]):
    """Factors, written with commas: 0.75,1,1.25."""

    @classmethod
    def of(cls, value: Any) -> Scales:
        """Factors from "0.75,1,1.25", from one number, or from an iterable of numbers.

        Raises:
            InputError: they are no numbers.
        """
        if isinstance(value, (int, float)):
            value = [value]
        try:
            return cls(map(float, value.split(",") if isinstance(value, str) else value))
        except ValueError as error:
            raise InputError(f"{value!r}: scales are numbers, 0.75,1,1.25 for example") from error

    def __str__(self) -> str:
        return ",".join(f"{scale:g}" for scale in self)


class Shard(tuple[int, int]):
    """Every count-th of some files, written INDEX/COUNT: 0/4 to 3/4 are all of them."""

    @classmethod
    def of(cls, value: Any) -> Shard:
        """A shard from "0/4".

        Raises:
            InputError: it is none.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", value) if isinstance(value, str) else None
        if not match or int(match[1]) >= int(match[2]):
            raise InputError(f"{value!r}: a shard is 0/N to N-1/N, 0/4 for example")
        return cls((int(match[1]), int(match[2])))

    def __str__(self) -> str:
        return f"{self[0]}/{self[1]}"


for _type in (Size, Names, Scales, Shard):
    register_type(_type, str, _type.of)
