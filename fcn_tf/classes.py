"""Class names, colours, and what stands for "no class"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import InputError

# The label that takes no part in the loss or the scores, everywhere inside (PASCAL VOC's).
VOID = 255
VOID_COLOR = (224, 224, 192)  # PASCAL VOC's

# Fills what lies outside an image: ImageNet's mean (keras.applications.vgg16), rounded,
# which the network's preprocessing turns to nearly 0.
MEAN_RGB = (124, 117, 104)

# PASCAL VOC's 20 classes and the background, in the order of their labels.
VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def check_num_classes(num_classes: int, key: str = "num_classes") -> None:
    """Refuses a number of classes that 8-bit labels cannot tell apart.

    Args:
        num_classes: C.
        key: what messages call it.

    Raises:
        InputError: it is below 2, or above 255.
    """
    if not 2 <= num_classes <= VOID:
        raise InputError(
            f"{key}={num_classes}: it must be between 2 and {VOID}. Labels are 8-bit numbers, and "
            f"{VOID} means not labelled."
        )


def voc_palette(num_classes: int = 256) -> NDArray[np.uint8]:
    """PASCAL VOC's colours: bit j of a label, three at a time, becomes bit 7 - j // 3 of a channel.

    Source: VOClabelcolormap.m of the VOC development kit.

    Returns:
        uint8 array (num_classes, 3), RGB. Label 255 is (224, 224, 192).
    """
    labels = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette


def palette_or_voc(palette: Sequence[Sequence[int]] | None, num_classes: int) -> list[list[int]]:
    """A palette as RGB triples in 0..255; PASCAL VOC's colours where there is none."""
    if palette is None:
        return voc_palette(num_classes).tolist()
    return [[int(value) for value in color] for color in palette]


def class_names_or_numbers(names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """The names of classes; "0", "1", … where they have none."""
    return tuple(map(str, range(num_classes)) if names is None else names)


@dataclass(frozen=True)
class Classes:
    """What the classes are called, and an RGB triple in 0..255 for each."""

    names: tuple[str, ...]
    palette: list[list[int]]

    @classmethod
    def of(
        cls,
        names: Sequence[str] | None,
        palette: Sequence[Sequence[int]] | None,
        num_classes: int,
    ) -> Classes:
        """Names and palette, with numbers and PASCAL VOC's colours where there are none."""
        return cls(class_names_or_numbers(names, num_classes), palette_or_voc(palette, num_classes))
