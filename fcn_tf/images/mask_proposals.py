"""What the values of a data set's masks may mean: a mapping to paste as `data.mask_values`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from fcn_tf.classes import VOID
from fcn_tf.config.mask_values import (
    CITYSCAPES,
    CITYSCAPES_IDS,
    CODINGS,
    IGNORE,
    MaskValue,
    MaskValues,
)

GUESS = "  # a guess: the values in ascending order"
GUESS_OF_0 = "  # a guess: 0 is not labelled"
GUESS_OF_COLORS = "  # a guess: the colours of most pixels first"


def proposed_mask_values(
    values_seen: Mapping[MaskValue, int], class_names: Sequence[str]
) -> str | None:
    """The mapping that the values in masks suggest, where they are not what they should be.

    Args:
        values_seen: the pixels of each value or colour in all masks, as `values_in` counts them.
        class_names: the classes, in the order in which they are named.

    Returns:
        YAML text for `data.mask_values`, with a comment where it is a guess. None where the values
        are the numbers of the classes already, or suggest nothing.

    Example:
        >>> proposed_mask_values({0: 5000, 255: 80}, ["background", "vessel"])
        '{0: background, 255: vessel}'
    """
    if not values_seen or not class_names:
        return None
    values = sorted(value for value in values_seen if isinstance(value, int))
    if len(values) < len(values_seen):
        return _of_colors(values_seen, class_names)
    return _of_numbers(values, class_names)


def as_option(text: str) -> str:
    """A proposal of `proposed_mask_values` as an option of the command line, the guess behind it.

    Example:
        >>> as_option("{0: ignore, 1: wall}  # a guess: 0 is not labelled")
        "--data.mask_values '{0: ignore, 1: wall}' (a guess: 0 is not labelled)"
    """
    values, _, guess = text.partition("  # ")
    return f"--data.mask_values {shlex.quote(values)}" + (f" ({guess})" if guess else "")


def _of_numbers(values: Sequence[int], class_names: Sequence[str]) -> str | None:
    """The mapping that values suggest where none is a colour; the values ascend."""
    labelled = [value for value in values if value != VOID]
    count = len(class_names)
    if _are_cityscapes(labelled, class_names):
        return "cityscapes"
    if values == [0, VOID] and count == 2:
        return str(_in_order(values, class_names))
    if len(labelled) > 1 and labelled[-1] < count:
        return None
    if labelled and labelled[-1] == count:
        return _from_1(labelled, class_names)
    for found in (labelled, values):
        if len(found) == count:
            return str(_in_order(found, class_names)) + GUESS
    return None


def _from_1(labelled: Sequence[int], class_names: Sequence[str]) -> str:
    """The mapping where the values end at the number of classes, so that the first has 1."""
    if labelled[0] >= 1:
        return str(MaskValues(enumerate(class_names, 1)))
    return str(MaskValues(((0, IGNORE), *enumerate(class_names, 1)))) + GUESS_OF_0


def _are_cityscapes(labelled: Sequence[int], class_names: Sequence[str]) -> bool:
    """Whether values are Cityscapes' ids: beyond the 19 classes, and named as they are."""
    named = tuple(class_names) == CODINGS["cityscapes"].class_names
    return named and bool(labelled) and len(CITYSCAPES) <= labelled[-1] < CITYSCAPES_IDS


def _of_colors(values_seen: Mapping[MaskValue, int], class_names: Sequence[str]) -> str | None:
    if len(values_seen) != len(class_names):
        return None
    most_first = sorted(values_seen, key=lambda value: -values_seen[value])
    colors = [(v, v, v) if isinstance(v, int) else v for v in most_first]
    return str(MaskValues(zip(colors, class_names, strict=True))) + GUESS_OF_COLORS


def _in_order(values: Sequence[int], class_names: Sequence[str]) -> MaskValues:
    return MaskValues(zip(values, class_names, strict=True))
