"""The EXIF orientation of an image file: how viewers turn the pixels that are stored.

An orientation is a number from 1 to 8. Viewers first exchange rows and columns (5 to 8), then
reverse the order of the rows (3, 4, 7, 8) and that of the columns (2, 3, 6, 7).
"""

from __future__ import annotations

import struct

from PIL import ExifTags, Image

ORIENTATION = "exif_orientation"  # the key of `Image.info`, once an image is decoded
TRANSPOSED = (5, 6, 7, 8)
ROWS_REVERSED = (3, 4, 7, 8)
COLUMNS_REVERSED = (2, 3, 6, 7)
# The same, by Pillow's names. 6 and 8 undo each other; the others undo themselves.
METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNDONE_BY = {6: 8, 8: 6}
# What Pillow raises for EXIF that it cannot read.
BROKEN = (ArithmeticError, AssertionError, LookupError, OSError, SyntaxError, TypeError, ValueError)

SizePx = tuple[int, int]  # height and width


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an open image, 1 to 8; 1 where there is none, or one without sense.

    Args:
        image: as Pillow opens it. Decoding a TIFF removes its orientation.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (*BROKEN, struct.error):
        return 1
    is_known = isinstance(orientation, int) and 1 <= orientation <= 8
    return int(orientation) if is_known else 1


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Turns stored pixels as viewers show them."""
    method = METHODS.get(orientation)
    return image if method is None else image.transpose(method)


def turn_back(image: Image.Image, orientation: int) -> Image.Image:
    """Turns shown pixels as they were stored."""
    return turn(image, UNDONE_BY.get(orientation, orientation))


def shown_size(stored_px: SizePx, orientation: int) -> SizePx:
    """The size of an image as viewers show it, from that of its stored pixels."""
    height_px, width_px = stored_px
    return (width_px, height_px) if orientation in TRANSPOSED else stored_px


def chosen_orientation(exif: str, orientation: int, stored_px: SizePx, mask_px: SizePx) -> int:
    """How a labelled image is turned.

    Args:
        exif: what `data.exif` says: "auto", "apply" or "ignore".
        orientation: that of the image's file.
        stored_px: the size of its stored pixels.
        mask_px: the size of its mask.

    Returns:
        `orientation`, or 1 for the pixels as they are stored. "auto" takes these where the mask
        has their size, and not the size of the turned image.
    """
    if exif == "ignore":
        return 1
    fits_stored = mask_px == stored_px and mask_px != shown_size(stored_px, orientation)
    return 1 if exif == "auto" and fits_stored else orientation
