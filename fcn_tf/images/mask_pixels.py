"""The pixels of mask files as small numbers, before it is known what they mean.

Large masks in colour are read in bands of rows, so that they take little more memory than grey
ones: a band's neighbours are mostly equal, and only where they differ is a colour looked up.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.config.mask_values import LARGEST_VALUE, Color, MaskValue
from fcn_tf.errors import InputError
from fcn_tf.images.read import ImagePath, file_mode

# Kinds of files by their suffixes. JPEG is among them so that it is refused with the reason.
MASK_SUFFIXES = (
    *(".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
)
# Pillow's names of the formats that keep values as they are; a picture in memory has none.
FORMATS = ("", "PNG", "TIFF", "BMP", "DIB", "GIF", "WEBP")
LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")
LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
# How much larger Pillow makes the grey values of few bits, by the mode of the file.
GREY_STEPS = {"1": 255, "L;2": 85, "L;4": 17}
PAGES = "pages"  # the key of `Image.info` for the number of pages and frames
MORE_THAN_8_BITS = re.compile(r";\d\d")  # in the mode of a file
RIFF_HEADER_BYTES = 12
BAND_PIXELS = 1 << 20
MOST_COLORS = 1 << 16
ANOTHER = (
    "a mask holds class indices (grey or with a palette, 8 or 16 bits) or the classes' colours "
    "(RGB, 8 bits): save it as such a PNG."
)


@dataclass(frozen=True)
class MaskPixels:
    """A mask as numbers, and what its file says of each number.

    Args:
        numbers: uint8 or uint16 (H, W), below K.
        counts: the pixels of each number, int64 (K,).
        values: the value that the file holds for each number; none where it holds colours.
        colors: what viewers show for each number; none where that is the value as a grey.
        has_palette: whether the file gives the colours in a palette.
    """

    numbers: NDArray[np.uint8] | NDArray[np.uint16]
    counts: NDArray[np.int64]
    values: Sequence[int] = ()
    colors: Sequence[Color] = ()
    has_palette: bool = False

    @property
    def used(self) -> list[int]:
        """The numbers that occur, in ascending order."""
        return np.flatnonzero(self.counts).tolist()

    def key(self, number: int) -> MaskValue:
        """What the file holds for a number: a value, or a colour where it holds colours."""
        return self.values[number] if self.values else self.colors[number]


def mask_pixels(mask_file: Image.Image, path: ImagePath) -> MaskPixels:
    """Reads the pixels of a decoded mask.

    Args:
        mask_file: as `open_image` gives it.
        path: of the mask, for messages.

    Raises:
        InputError: the file may have changed the values, has a kind of pixels that masks do not
            have, or a transparency that matters.
    """
    refuse_format(mask_file, path)
    if mask_file.info.get(PAGES, 1) > 1:
        raise InputError(
            f"{path}: it has several pages or frames, and a mask is one picture: save the one that "
            "fits its image alone."
        )
    mode = mask_file.mode
    if mode in ("RGB", "RGBA", "LA") and not MORE_THAN_8_BITS.search(file_mode(mask_file)):
        return _of_channels(mask_file, path)
    if mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        return _of_16_bits(np.asarray(mask_file), path)
    values = indices_of(mask_file, path)
    step = GREY_STEPS.get("1" if mode == "1" else _grey_mode(mask_file), 1)
    counts = np.array(mask_file.histogram()[::step], np.int64)
    pixels = MaskPixels(values, counts, values=range(len(counts)))
    if mode == "P":
        return _of_palette(pixels, mask_file)
    shown = [(step * value,) * 3 for value in range(len(counts))]
    return replace(pixels, colors=shown) if step > 1 else pixels


def indices_of(mask_file: Image.Image, path: ImagePath) -> NDArray[np.uint8]:
    """The values of a decoded mask as they are in its file, uint8 (H, W); palettes do not matter.

    Grey values of 1, 2 and 4 bits are 0 to 1, 3 and 15, although viewers show them larger.

    Raises:
        InputError: the mask has more than one channel or more than 8 bits.
    """
    in_file = file_mode(mask_file)
    inverted = in_file.endswith(("I", "IR")) and ";" in in_file
    is_deep = MORE_THAN_8_BITS.search(in_file)
    if mask_file.mode not in ("L", "P", "1") or inverted or is_deep:
        what = "white is 0 in it" if inverted else f"mode {in_file}"
        raise InputError(f"{path}: {what}; {ANOTHER}")
    values = np.array(mask_file, np.uint8)
    few_bits = _grey_mode(mask_file)
    return values // GREY_STEPS[few_bits] if few_bits in ("L;2", "L;4") else values


def _grey_mode(mask_file: Image.Image) -> str:
    """The mode of the file, whatever the order of its bits."""
    return file_mode(mask_file).removesuffix("R")


def refuse_format(mask_file: Image.Image, path: ImagePath) -> None:
    """Refuses a mask whose file may hold other values than were drawn.

    Raises:
        InputError: its format is lossy, or may scale values.
    """
    kind = mask_file.format or ""
    if kind not in (*FORMATS, *LOSSY_FORMATS):
        raise InputError(
            f"{path}: masks are read from PNG, TIFF, BMP, GIF and lossless WebP, not from {kind}, "
            "whose values may be scaled: save it as PNG."
        )
    if kind == "TIFF" and mask_file.info.get("compression") in LOSSY_TIFF:
        kind = f"TIFF with {mask_file.info['compression']} compression"
    elif kind == "WEBP" and not _is_lossless_webp(path):
        kind = "lossy WebP"
    elif kind not in LOSSY_FORMATS:
        return
    raise InputError(
        f"{path}: a mask in a lossy format ({kind}): its values are no longer those that were "
        "drawn. Make it again from its source, as PNG."
    )


def alpha_that_is_dropped(mask_file: Image.Image) -> str | None:
    """What to say of an alpha channel that `mask_pixels` drops although it varies, or None."""
    if mask_file.mode not in ("RGBA", "LA"):
        return None
    low, high = mask_file.getchannel("A").getextrema()
    if low == high:
        return None
    return "an alpha channel, which is dropped: transparent pixels have the class of their colour"


def _is_lossless_webp(path: ImagePath) -> bool:
    """Whether the picture in a WebP file is a chunk of the lossless kind, VP8L."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        file.seek(RIFF_HEADER_BYTES)
        while len(header := file.read(8)) == 8:
            kind, size = header[:4], int.from_bytes(header[4:], "little")
            if kind in (b"VP8 ", b"VP8L"):
                return kind == b"VP8L"
            file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _of_palette(pixels: MaskPixels, mask_file: Image.Image) -> MaskPixels:
    channels = mask_file.getpalette("RGB") or []
    palette = list(zip(*[iter(channels)] * 3, strict=False))
    # A number behind the palette has no colour; black is what Pillow shows.
    palette += [(0, 0, 0)] * (len(pixels.counts) - len(palette))
    # Programs number the palette of a GIF anew, so that its colours alone count.
    values = () if mask_file.format == "GIF" else pixels.values
    return replace(pixels, values=values, colors=palette, has_palette=True)


def _of_16_bits(values: NDArray[np.integer], path: ImagePath) -> MaskPixels:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > LARGEST_VALUE:
        outside = low if low < 0 else high
        raise InputError(f"{path}: value {outside}; masks hold values from 0 to {LARGEST_VALUE}.")
    counts = np.zeros(high + 1, np.int64)
    rows = max(1, BAND_PIXELS // values.shape[1])
    for top in range(0, len(values), rows):
        counts += np.bincount(values[top : top + rows].ravel(), minlength=high + 1)
    return MaskPixels(values.astype(np.uint16), counts, values=range(high + 1))


def _of_channels(mask_file: Image.Image, path: ImagePath) -> MaskPixels:
    """The pixels of an RGB, RGBA or grey and alpha picture, numbered by colour."""
    is_grey = mask_file.mode == "LA"
    numbers, counts, codes = _numbered(mask_file.convert("RGBA") if is_grey else mask_file, path)
    if mask_file.mode != "RGB" and len(np.unique(codes & 0xFFFFFF)) < len(codes):
        raise InputError(
            f"{path}: pixels of one colour differ in their transparency, so that the alpha channel "
            "is a mask of its own: save that channel alone as the mask, or the mask without it."
        )
    colors = [(code & 255, code >> 8 & 255, code >> 16 & 255) for code in codes.tolist()]
    if is_grey:
        return MaskPixels(numbers, counts, values=[color[0] for color in colors])
    return MaskPixels(numbers, counts, colors=colors)


def _numbered(
    picture: Image.Image, path: ImagePath
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.uint32]]:
    """The numbers of a picture's colours (H, W), their pixels, and the colours as codes ABGR."""
    width, height = picture.size
    numbers: NDArray[Any] = np.empty((height, width), np.uint8)
    codes, counts = np.empty(0, np.uint32), np.empty(0, np.int64)
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = picture.crop((0, top, width, min(top + rows, height)))
        here = np.frombuffer(band.tobytes("raw", "RGBX" if band.mode == "RGB" else "RGBA"), "<u4")
        if band.mode == "RGB":
            here = here & np.uint32(0xFFFFFF)
        starts = np.flatnonzero(np.concatenate(([True], here[1:] != here[:-1])))
        lengths = np.diff(starts, append=len(here))
        runs = here[starts]
        codes = np.concatenate((codes, np.setdiff1d(runs, codes)))
        if len(codes) > MOST_COLORS:
            raise InputError(f"{path}: more than {MOST_COLORS} colours, as photographs have them.")
        order = np.argsort(codes)
        found = order[np.searchsorted(codes, runs, sorter=order)]
        counts = np.concatenate((counts, np.zeros(len(codes) - len(counts), np.int64)))
        np.add.at(counts, found, lengths)
        if len(codes) > 256 and numbers.dtype == np.uint8:
            numbers = numbers.astype(np.uint16)
        numbers[top : top + rows] = np.repeat(found.astype(numbers.dtype), lengths).reshape(
            -1, width
        )
    return numbers, counts, codes
