"""What is said of a mask whose values belong to no class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from fcn_tf.classes import VOID
from fcn_tf.config.mask_values import IGNORE, MaskValue, MaskValues
from fcn_tf.counted import counted
from fcn_tf.errors import InputError
from fcn_tf.images.coding import Coding
from fcn_tf.images.mask_pixels import MaskPixels
from fcn_tf.images.mask_proposals import as_option, proposed_mask_values
from fcn_tf.images.read import ImagePath

MOST_SHOWN = 10  # values in a message
# Above these a mapping to paste would be too long to read.
MOST_PROPOSED, MOST_CLASSES = 5, 30
# A mask is taken for a smeared one where it has this many values of no class, and most of their
# pixels differ from the pixel above or from the one at the left.
MIN_SMEARED_VALUES, MAX_SOLID = 3, 0.5


def refuse_unknown(
    path: ImagePath, coding: Coding, pixels: MaskPixels, unknown: Sequence[int]
) -> NoReturn:
    """Refuses a mask with values or colours of no class.

    Args:
        path: of the mask.
        coding: what its values mean.
        pixels: of the mask.
        unknown: the numbers whose values belong to no class.

    Raises:
        InputError: always.
    """
    most_first = sorted(unknown, key=lambda number: -pixels.counts[number])
    keys = [pixels.key(number) for number in most_first]
    parts = [
        f"{'value' if isinstance(key, int) else 'colour'} {key} in "
        + counted(pixels.counts[number], "pixel{}")
        for key, number in zip(keys, most_first[:MOST_SHOWN], strict=False)
    ]
    if len(unknown) > MOST_SHOWN:
        parts.append(f"{len(unknown) - MOST_SHOWN} more")
    of_values = isinstance(keys[0], int)
    allowed = _allowed_values(coding) if of_values else _allowed_colors(coding)
    seen = {pixels.key(number): int(pixels.counts[number]) for number in pixels.used}
    remedy = SMEARED if _is_smeared(pixels, unknown) else _remedy(coding, keys, seen)
    raise InputError(f"{path}: {', '.join(parts)}; {allowed}.{remedy}")


def refuse_palette(
    path: ImagePath,
    coding: Coding,
    pixels: MaskPixels,
    readings: tuple[Mapping[int, int], Mapping[int, int]],
) -> NoReturn:
    """Refuses a mask with a palette whose indices say one class, and whose colours another.

    Args:
        path: of the mask.
        coding: what its values mean.
        pixels: of the mask.
        readings: the label of each number by its index, and by its colour.

    Raises:
        InputError: always.
    """
    by_index, by_color = readings
    number = next(n for n in pixels.used if by_index[n] != by_color[n])
    one, other = (_class_name(coding, reading[number]) for reading in readings)
    raise InputError(
        f"{path}: index {number} of its palette means {one}, but its colour there, "
        f"{pixels.colors[number]}, means {other}; programs that shrink PNGs number a palette anew. "
        "Save the mask without a palette: grey with the classes' values, or RGB with their colours."
    )


SMEARED = (
    " Most of these pixels lie along borders: the mask was saved as JPEG, or resized with "
    "interpolation, at some time. Make it again from its source, as PNG."
)


def _class_name(coding: Coding, label: int) -> str:
    if label == VOID:
        return "not labelled"
    return coding.class_names[label] if coding.class_names else f"class {label}"


def _allowed_values(coding: Coding) -> str:
    if coding.mask_values is None:
        ignored = f", {coding.ignore_label}" if coding.ignore_label is not None else ""
        return (
            f"allowed are 0..{coding.num_classes - 1} ({coding.num_classes} classes) and "
            f"{VOID}{ignored} for what is not labelled (--data.ignore_label)"
        )
    values = sorted(coding.value_labels)
    shown = ", ".join(map(str, values[:MOST_CLASSES])) + (", …" * (len(values) > MOST_CLASSES))
    return f"the mask values that mean something are {shown}"


def _allowed_colors(coding: Coding) -> str:
    if coding.named_colors:
        return "data.mask_values has no such colour"
    if coding.mask_values is not None and not coding.has_own_colors:
        return "data.mask_values names values, and no colours"
    return (
        "it belongs to no class; the colours of the classes are those in the class file, otherwise "
        "PASCAL VOC's"
    )


def _remedy(coding: Coding, unknown: Sequence[MaskValue], seen: Mapping[MaskValue, int]) -> str:
    """The option that says what the values mean, where it is short enough to paste."""
    short = len(unknown) <= MOST_PROPOSED and coding.num_classes <= MOST_CLASSES
    if coding.mask_values is None and (likely := proposed_mask_values(seen, coding.class_names)):
        return (
            f" Perhaps they mean {as_option(likely)}; fcn-tf check-data reads all masks and says "
            "more."
        )
    known = _known(coding, isinstance(unknown[0], int))
    if not short or not known or len(known) > MOST_CLASSES:
        return " data.mask_values can say what each value means; check-data counts them."
    proposed = MaskValues((*known, *((value, IGNORE) for value in unknown)))
    return f" If they are not labelled: {proposed.option()}"


def _known(coding: Coding, of_values: bool) -> Sequence[tuple[MaskValue, str]]:
    """What is known of values or of colours, for a mapping; nothing where classes have no names."""
    if coding.mask_values is not None:
        return coding.mask_values
    if of_values:
        return list(enumerate(coding.class_names))
    return list(zip(coding.colors, coding.class_names, strict=False)) * coding.has_own_colors


def _is_smeared(pixels: MaskPixels, unknown: Sequence[int]) -> bool:
    """Whether the pixels of no class lie along borders rather than in regions of their own."""
    if len(unknown) < MIN_SMEARED_VALUES or min(pixels.numbers.shape) < 2:
        return False
    strange = np.zeros(len(pixels.counts), bool)
    strange[list(unknown)] = True
    inner = pixels.numbers[1:, 1:]
    solid = (inner == pixels.numbers[:-1, 1:]) & (inner == pixels.numbers[1:, :-1])
    here = strange[inner]
    return bool(here.any() and solid[here].mean() < MAX_SOLID)
