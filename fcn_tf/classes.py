"""Class names, colours, and what stands for "no class"."""

from pathlib import Path

import numpy as np

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


def read_class_names(path):
    """The names of the classes in a text file, one a line, in the order of their labels.

    Returns:
        tuple of strings.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as names of classes: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def voc_palette(num_classes=256):
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
