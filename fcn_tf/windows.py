"""Large TIFF files, of which no more is read than is looked at; needs the extra `geo`."""

import warnings

import numpy as np
import rasterio
from rasterio.windows import Window

from fcn_tf.errors import InputError


class TiffWindows:
    """A TIFF as an array of uint8 (H, W, 3), read slice by slice.

    Args:
        path: of the file: 8 bits a channel, grey, RGB, or more channels, of which the first
            three are taken.

    Raises:
        InputError: it cannot be read, or has another type.
    """

    def __init__(self, path):
        try:
            with warnings.catch_warnings():
                # Where on earth it lies does not matter here.
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                self._file = rasterio.open(path)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{path}: cannot be read as a TIFF ({error}).") from error
        kinds = set(self._file.dtypes)
        if kinds != {"uint8"}:
            raise InputError(f"{path}: its channels are {', '.join(sorted(kinds))}, not 8 bits.")
        self.dtype = np.dtype(np.uint8)
        self.shape = (self._file.height, self._file.width, 3)

    def __getitem__(self, slices):
        rows, columns = (
            slice(*part.indices(side)) for part, side in zip(slices, self.shape, strict=False)
        )
        bands = [1, 2, 3] if self._file.count >= 3 else [1, 1, 1]
        try:
            window = Window.from_slices(rows, columns)
            return np.moveaxis(self._file.read(bands, window=window), 0, -1)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{self._file.name}: cannot be read ({error}).") from error
