"""Large TIFF files, of which no more is read than is looked at; needs the extra `geo`."""

import warnings

import numpy as np
import rasterio
from rasterio.windows import Window

from fcn_tf.errors import InputError


def tiff_windows(path):
    """A TIFF as an array that is read slice by slice, or None where Pillow has to read it.

    Args:
        path: of the file. Grey and RGB of 8 bits, with further channels or without, are
            read; a palette, CMYK, other depths and what is broken are not.
    """
    try:
        with warnings.catch_warnings():
            # Where on earth it lies does not matter here.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            file = rasterio.open(path)
    except rasterio.errors.RasterioError:
        return None
    kinds = tuple(kind.name for kind in file.colorinterp)
    is_rgb, is_grey = kinds[:3] == ("red", "green", "blue"), kinds in (("gray",), ("gray", "alpha"))
    deep = set(file.dtypes) != {"uint8"} or file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    inverted = file.photometric is not None and file.photometric.name == "white"
    if deep or inverted or not (is_rgb or is_grey):
        return None
    return TiffWindows(file, [1, 2, 3] if is_rgb else [1, 1, 1])


class TiffWindows:
    """An array of uint8 (H, W, 3), read slice by slice from an open file's bands."""

    def __init__(self, file, bands):
        self._file = file
        self._bands = bands
        self.dtype = np.dtype(np.uint8)
        self.shape = (file.height, file.width, 3)

    def __getitem__(self, slices):
        rows, columns = (
            slice(*part.indices(side)) for part, side in zip(slices, self.shape, strict=False)
        )
        try:
            window = Window.from_slices(rows, columns)
            return np.moveaxis(self._file.read(self._bands, window=window), 0, -1)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{self._file.name}: cannot be read ({error}).") from error
