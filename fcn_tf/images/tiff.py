"""Large TIFF files, read only where they are looked at; needs the extra `geo`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from fcn_tf.errors import InputError


def tiff_windows(path: Path) -> TiffWindows | None:
    """Opens a TIFF that can be read slice by slice.

    Args:
        path: of the file.

    Returns:
        The file as an array, if its pixels are grey or RGB of 8 bits, with further channels or
        without. None for a palette, CMYK, another depth or a broken file: Pillow reads or
        refuses these.
    """
    try:
        with warnings.catch_warnings():
            # The place on earth does not matter here.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            file = rasterio.open(path)
    except rasterio.errors.RasterioError:
        return None
    bands = _rgb_bands(file)
    return TiffWindows(file, bands) if bands else None


def _rgb_bands(file: Any) -> list[int] | None:
    """The numbers of the bands that are red, green and blue; None where Pillow is to decide."""
    kinds = tuple(kind.name for kind in file.colorinterp)
    deep = set(file.dtypes) != {"uint8"} or file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    inverted = file.photometric is not None and file.photometric.name == "white"
    if deep or inverted:
        return None
    if kinds[:3] == ("red", "green", "blue"):
        return [1, 2, 3]
    return [1, 1, 1] if kinds in (("gray",), ("gray", "alpha")) else None


class TiffWindows:
    """An array of uint8 (H, W, 3), RGB, whose slices are read from an open file.

    Args:
        file: an open `rasterio` data set.
        bands: the numbers of the bands that are red, green and blue.
    """

    def __init__(self, file: Any, bands: list[int]) -> None:
        self._file = file
        self._bands = bands
        self.dtype = np.dtype(np.uint8)
        self.shape: tuple[int, ...] = (file.height, file.width, 3)

    def __getitem__(self, slices: tuple[slice, ...]) -> NDArray[np.uint8]:
        rows, columns = (
            slice(*part.indices(side)) for part, side in zip(slices, self.shape, strict=False)
        )
        try:
            window = Window.from_slices(rows, columns)
            return np.moveaxis(self._file.read(self._bands, window=window), 0, -1)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{self._file.name}: cannot be read ({error}).") from error
