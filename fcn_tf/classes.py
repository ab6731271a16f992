"""Class names, colours, and what stands for "no class"."""

import numpy as np

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
