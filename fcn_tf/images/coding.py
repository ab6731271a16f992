"""What the values and the colours of masks mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import VOID, VOID_COLOR, palette_or_voc
from fcn_tf.config.mask_values import IGNORE, Color, MaskValue, MaskValues
from fcn_tf.errors import InputError

UNKNOWN = -1  # in tables of labels: a value of no class


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean.

    Without `mask_values` a value is the number of its class.

    Args:
        num_classes: the number of classes; the labels are 0 to num_classes - 1.
        colors: the RGB triple of each class, 0..255, for masks in colour.
        ignore_label: the value, besides 255, that means "not labelled", or None.
        class_names: the classes; needed with mask_values.
        mask_values: the class of each value and colour, or None.
        has_own_colors: whether the data set gives the colours. PASCAL VOC's stand in otherwise.
        drawn: draws the labels of a mask whose file holds outlines, uint8 (H, W) with VOID; None
            where masks are images.
    """

    num_classes: int
    colors: tuple[Color, ...]
    ignore_label: int | None = None
    class_names: tuple[str, ...] = ()
    mask_values: MaskValues | None = None
    has_own_colors: bool = True
    drawn: Callable[[Path], NDArray[np.uint8]] | None = None

    @classmethod
    def of(
        cls,
        class_names: Sequence[str],
        colors: Sequence[Color] | None = None,
        mask_values: MaskValues | None = None,
        ignore_label: int | None = None,
    ) -> Coding:
        """The coding of a data set.

        Args:
            class_names: the classes, in the order of their labels.
            colors: an RGB triple for each, 0..255, or None.
            mask_values: as in `data.mask_values`.
            ignore_label: as in `data.ignore_label`.

        Raises:
            InputError: mask_values names a class that is not there, or a class is called `ignore`.

        Example:
            >>> coding = Coding.of(["background", "vessel"], mask_values=config.mask_values)
            >>> coding.value_labels
            {0: 0, 255: 1}
        """
        names = tuple(class_names)
        if mask_values is not None:
            mask_values = mask_values.for_classes(names)
            _check_classes(mask_values, names)
        voc = tuple((red, green, blue) for red, green, blue in palette_or_voc(None, len(names)))
        return cls(
            num_classes=len(names),
            colors=voc if colors is None else tuple(colors),
            ignore_label=ignore_label,
            class_names=names,
            mask_values=mask_values,
            has_own_colors=colors is not None,
        )

    @cached_property
    def named(self) -> Mapping[MaskValue, int]:
        """The label, or VOID, of each value and colour in `mask_values`."""
        labels = {name: label for label, name in enumerate(self.class_names)}
        return {value: labels.get(name, VOID) for value, name in self.mask_values or ()}

    @cached_property
    def class_values(self) -> Mapping[int, int]:
        """The label of each value that a class or `mask_values` has, and no other."""
        if self.mask_values is None:
            return {label: label for label in range(self.num_classes)}
        values = {value: label for value, label in self.named.items() if isinstance(value, int)}
        if values:
            return values
        # Grey is a colour: where colours alone are named, a grey value is that of its channels.
        return {color[0]: label for color, label in self.named_colors.items() if is_grey(color)}

    @cached_property
    def value_labels(self) -> Mapping[int, int]:
        """The label, or VOID, of each value that a mask may hold."""
        not_labelled = {VOID: VOID}
        if self.mask_values is None and self.ignore_label is not None:
            return {**not_labelled, **self.class_values, self.ignore_label: VOID}
        if self.ignore_label is not None:
            not_labelled[self.ignore_label] = VOID
        return {**not_labelled, **self.class_values}

    @cached_property
    def named_colors(self) -> Mapping[Color, int]:
        """The label, or VOID, of each colour in `mask_values`."""
        return {value: label for value, label in self.named.items() if not isinstance(value, int)}

    @cached_property
    def color_labels(self) -> Mapping[Color, int]:
        """The label, or VOID, of each colour that a mask may hold."""
        if self.named_colors:
            return {VOID_COLOR: VOID, **self.named_colors}
        if self.mask_values is not None and not self.has_own_colors:
            return {VOID_COLOR: VOID}
        labels = {color: label for label, color in enumerate(self.colors)}
        if self.mask_values is None and self.ignore_label is not None:
            labels |= {c: VOID for c, label in labels.items() if label == self.ignore_label}
        return {VOID_COLOR: VOID, **labels}

    @cached_property
    def names_colors_only(self) -> bool:
        """Whether `mask_values` says what colours mean, and nothing of values."""
        return bool(self.named) and len(self.named_colors) == len(self.named)

    @cached_property
    def grey_is_ambiguous(self) -> bool:
        """Whether a grey colour has one label as a colour and another one as a value."""
        return any(
            self.value_labels.get(color[0], label) != label
            for color, label in self.color_labels.items()
            if is_grey(color)
        )

    @cached_property
    def table(self) -> NDArray[np.int16]:
        """The label of each value of 8 bits, VOID or UNKNOWN, (256,)."""
        return np.array([self.value_labels.get(v, UNKNOWN) for v in range(256)], np.int16)


def is_grey(color: Color) -> bool:
    """Whether the three channels of a colour are equal."""
    return color[0] == color[1] == color[2]


def _check_classes(mask_values: MaskValues, names: tuple[str, ...]) -> None:
    if IGNORE in names:
        raise InputError(
            f"A class is called {IGNORE}, which means not labelled in data.mask_values: give the "
            "class another name."
        )
    strange = [name for name in mask_values.class_names if name not in names]
    if strange:
        shown = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
        raise InputError(
            f"data.mask_values names {', '.join(strange[:5])}; the classes are {shown}: write "
            f"names as they are there, or {IGNORE}."
        )
