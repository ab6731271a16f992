"""Large TIFF files, read only where they are looked at; needs the extra `maps`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from fcn_tf.errors import InputError

# Makes pixels of values of more than 8 bits, both (h, w, 3).
OfDeep = Callable[[NDArray[Any]], NDArray[Any]]


def tiff_windows(
    source: str | os.PathLike[str] | IO[bytes], of_deep: OfDeep | None = None
) -> TiffWindows | None:
    """Opens a TIFF that can be read slice by slice.

    Args:
        source: its path, or its bytes as a file.
        of_deep: what slices give for values of more than 8 bits, (h, w, 3); None where such files
            are not wanted.

    Returns:
        The file as an array, if its pixels are grey or RGB, with further channels or without. None
        for a palette, CMYK or a broken file: Pillow reads or refuses these. Colours that are
        multiplied by alpha stay so.
    """
    try:
        with warnings.catch_warnings():
            # The place on earth does not matter here.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            file = rasterio.open(source)
    except rasterio.errors.RasterioError:
        return None
    is_deep = set(file.dtypes) != {"uint8"}
    bands = _rgb_bands(file, is_deep)
    if bands is None or (is_deep and of_deep is None):
        return None
    return TiffWindows(file, bands, of_deep if is_deep else None)


def _rgb_bands(file: Any, is_deep: bool) -> list[int] | None:
    """The numbers of the bands that are red, green and blue; None where Pillow is to decide."""
    kinds = tuple(kind.name for kind in file.colorinterp)
    stretched = not is_deep and file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    inverted = file.photometric is not None and file.photometric.name == "white"
    if stretched or inverted or len(set(file.dtypes)) > 1:
        return None
    if kinds[:3] == ("red", "green", "blue"):
        return [1, 2, 3]
    return [1, 1, 1] if kinds in (("gray",), ("gray", "alpha")) else None


class TiffWindows:
    """An array of uint8 (H, W, 3), RGB, whose slices are read from an open file.

    Args:
        file: an open `rasterio` data set.
        bands: the numbers of the bands that are red, green and blue.
        convert: what a slice gives for the file's values, (h, w, 3); None for the values.
    """

    def __init__(self, file: Any, bands: list[int], convert: OfDeep | None = None) -> None:
        self._file = file
        self._bands = bands
        self._convert = convert
        self.dtype = np.dtype(np.uint8)
        self.shape: tuple[int, ...] = (file.height, file.width, 3)

    def __getitem__(self, slices: tuple[slice, ...]) -> NDArray[Any]:
        rows, columns = (
            slice(*part.indices(side)) for part, side in zip(slices, self.shape, strict=False)
        )
        try:
            window = Window.from_slices(rows, columns)
            values = np.moveaxis(self._file.read(self._bands, window=window), 0, -1)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{self._file.name}: cannot be read ({error}).") from error
        return values if self._convert is None else self._convert(values)
