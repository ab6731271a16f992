"""What is sent of an image file to a server, and the labels that come back.

An image that the model takes at once is sent whole. A larger one is sent in tiles, whose labels are
those of the whole image, or smaller, where the model cannot be cut into tiles.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.config.networks import GRID_PX
from fcn_tf.errors import InputError, RunError
from fcn_tf.images import MAX_PIXELS
from fcn_tf.images.depth import Bands, Clipped, ValueRange
from fcn_tf.images.formats import open_in_process
from fcn_tf.images.orientation import orientation_of
from fcn_tf.images.read import UNREADABLE, is_deep, read_header, read_rgb, resize
from fcn_tf.inference.tiles import cut_into_tiles, inside, tile_px_within

SERVED = (b"\xff\xd8\xff", b"\x89PNG")  # how files begin that a server decodes
NAMED_LARGE = 5


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Has a server label image files; threads may share it.

    Args:
        label_png: from an encoded image, JPEG or PNG, to the PNG of its labels.
        num_classes: labels are below it.
        max_pixels: the most pixels that the model takes at once; None where it is not known.
        margin_px: what a tile needs around it; None where the model cannot be cut into tiles, or
            does not say so.
        value_range: of images of more than 8 bits a channel, the values that become 0 and 255;
            None where they are refused.
        bands: as in `read_rgb`.
        clipped: takes the images with values outside of `value_range`.
        large: takes the paths of images that were not sent whole.
    """

    label_png: Callable[[bytes], bytes]
    num_classes: int
    max_pixels: int | None = None
    margin_px: int | None = None
    value_range: ValueRange | None = None
    bands: Bands | None = None
    clipped: list[Clipped] = field(default_factory=list)
    large: list[Path] = field(default_factory=list)

    def __call__(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pixels of an image file, uint8 (H, W, 3) RGB, and its labels, uint8 (H, W).

        Raises:
            InputError: the file cannot be read.
            RunError: the server does not answer, or refuses the image; the message has the reason.
        """
        if self._is_large(path):
            self.large.append(path)
            pixels = read_rgb(
                path, value_range=self.value_range, clipped=self.clipped, bands=self.bands
            )
            return pixels, self._in_tiles(pixels) if self._can_tile else self._smaller(pixels)
        sent = encoded(path, self.value_range, self.clipped, self.bands)
        labels = labels_of_answer(self.label_png(sent), self.num_classes)
        pixels = read_rgb(path, value_range=self.value_range, bands=self.bands)
        return pixels, _of_size(labels, pixels)

    def said_of_large(self) -> str | None:
        """One line on the images that were not sent whole; None where there are none."""
        if not self.large:
            return None
        names = sorted(path.name for path in self.large)
        more = [f"{len(names) - NAMED_LARGE} more"] if len(names) > NAMED_LARGE else []
        how = (
            f"in tiles with a margin of {self.margin_px} px, whose labels are those of the whole "
            "image."
            if self._can_tile
            else "smaller, and their labels were enlarged: this model cannot be cut into tiles. "
            "Export it with a larger --saved_model.max_pixels for labels in full."
        )
        listed = ", ".join([*names[:NAMED_LARGE], *more])
        return (
            f"Above the {self.max_pixels} pixels that the model takes at once: {listed}; sent {how}"
        )

    def _is_large(self, path: Path) -> bool:
        """Whether an image has more pixels than the model takes, by its header."""
        if self.max_pixels is None:
            return False
        try:
            stored_px = read_header(path, max_pixels=MAX_PIXELS).stored_px
        except InputError:
            return False  # it is sent as it is, and the server says what is wrong with it
        return math.prod(stored_px) > self.max_pixels

    @property
    def _can_tile(self) -> bool:
        """Whether the model takes the smallest tile with its margin."""
        if self.margin_px is None or self.max_pixels is None:
            return False
        return (GRID_PX + 2 * self.margin_px) ** 2 <= self.max_pixels

    def _in_tiles(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        margin_px, most_pixels = self.margin_px or 0, self.max_pixels or 0
        tile_px = tile_px_within(margin_px, most_pixels)
        labels = np.empty(pixels.shape[:2], np.uint8)
        for tile in cut_into_tiles(pixels.shape, tile_px, margin_px):
            kept, fed = tile
            labels[kept] = self._labels(pixels[fed])[inside(tile)]
        return labels

    def _smaller(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size_px = pixels.shape[:2]
        sent = resize(pixels, _size_within(size_px, self.max_pixels or 1))
        return resize(self._labels(sent), size_px, Image.Resampling.NEAREST)

    def _labels(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The labels of pixels that are sent as a PNG."""
        return _of_size(labels_of_answer(self.label_png(_png(pixels)), self.num_classes), pixels)


def encoded(
    path: Path,
    value_range: ValueRange | None = None,
    clipped: list[Clipped] | None = None,
    bands: Bands | None = None,
) -> bytes:
    """An image file as a server takes it: its bytes, or a PNG of the pixels that viewers show.

    Sent as they are: JPEG in grey or RGB and PNG of 8 bits, without an EXIF orientation.

    Args:
        path: of the file.
        value_range, clipped, bands: as in `read_rgb`.

    Raises:
        InputError: it cannot be read, or has more than 8 bits a channel and there is no range.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        with open_in_process(io.BytesIO(contents)) as image:
            is_plain = not is_deep(image) and image.mode != "CMYK"
            is_known = contents.startswith(SERVED)
            is_sent_as_it_is = is_plain and is_known and orientation_of(image) == 1
    except InputError as error:  # HEIC, without the extra that reads it
        raise InputError(f"{path}: {error}.") from error
    except UNREADABLE:
        is_sent_as_it_is = True  # the server says what is wrong with it
    if is_sent_as_it_is and bands is None:
        return contents
    return _png(
        read_rgb(path, contents=contents, value_range=value_range, clipped=clipped, bands=bands)
    )


def labels_of_answer(png: bytes, num_classes: int) -> NDArray[np.uint8]:
    """The labels (H, W) in a server's answer.

    Raises:
        RunError: it is no 8-bit PNG of labels below `num_classes`.
    """
    try:
        with Image.open(io.BytesIO(png)) as image:
            labels = np.asarray(image)
    except UNREADABLE as error:
        raise RunError(f"the answer is no PNG ({error}).") from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise RunError("the answer is no 8-bit PNG of labels.")
    if labels.max() >= num_classes:
        raise RunError(f"the answer has label {labels.max()}, but {num_classes} classes are named.")
    return labels


def _size_within(size_px: Sequence[int], most_pixels: int) -> tuple[int, int]:
    """The largest size of the same shape that has no more pixels."""
    height_px, width_px = size_px
    scale = math.sqrt(most_pixels / (height_px * width_px))
    height_sent_px = min(max(1, int(height_px * scale)), most_pixels)
    return height_sent_px, max(1, min(int(width_px * scale), most_pixels // height_sent_px))


def _of_size(labels: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The labels, which have to have the size of the pixels that were sent."""
    if labels.shape != pixels.shape[:2]:
        raise RunError("the answer has another size than the image.")
    return labels


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()
