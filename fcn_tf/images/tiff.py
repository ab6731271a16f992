"""Raster files by the library rasterio, read only where they are looked at; needs the extra `maps`.

It reads the kinds of TIFF that Pillow does not: any number of bands, LERC and other compressions.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from fcn_tf.errors import InputError

# Makes pixels of values of more than 8 bits, both (h, w, 3).
OfDeep = Callable[[NDArray[Any]], NDArray[Any]]
RasterSource = str | os.PathLike[str] | IO[bytes]
CACHE_MB = 64
_FILTERS = threading.Lock()
# The values that Pillow has a mode for, and the type that takes those of other types.
PILLOWS_TYPES = {"uint8": "uint8", "uint16": "uint16", "int16": "int32", "int32": "int32"}


def tiff_windows(
    source: RasterSource,
    of_deep: OfDeep | None = None,
    bands: Sequence[int] | None = None,
    name: Any = None,
    is_header: bool = False,
) -> TiffWindows | None:
    """Opens a raster file that can be read slice by slice.

    Args:
        source: its path, or its bytes as a file.
        of_deep: what slices give for values of more than 8 bits, (h, w, 3); None where such files
            are not wanted.
        bands: the numbers of the bands that are red, green and blue, from 1; by default they are
            those that the file names so, those of a file of three, or its one grey band.
        name: of the file, for messages; by default the source.
        is_header: whether nothing but the size is asked for, so that any bands will do.

    Returns:
        The file as an array. None for a palette, CMYK or a broken file: Pillow reads or refuses
        these. Colours that are multiplied by alpha stay so.

    Raises:
        InputError: it has not so many bands, or several and none is named red, green and blue.
    """
    file = opened_raster(source)
    if file is None:
        return None
    name = source if name is None else name
    if is_header:
        bands = [1, min(2, file.count), min(3, file.count)]
    chosen = _rgb_bands(file, name) if bands is None else _checked(file, bands, name)
    if chosen is None or len({file.dtypes[band - 1] for band in chosen}) > 1:
        return None
    is_deep = file.dtypes[chosen[0] - 1] != "uint8"
    if is_deep and of_deep is None:
        return None
    return TiffWindows(file, name, chosen, of_deep if is_deep else None)


def limited_cache() -> rasterio.Env:
    """Within it GDAL keeps few pixels; by default it keeps as many as a twentieth of all memory."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE_MB)


def opened_raster(source: RasterSource) -> Any:
    """A `rasterio` data set, open for reading; None where GDAL does not read the file."""
    try:
        return opened_without_place(source)
    except rasterio.errors.RasterioError:
        return None


def opened_without_place(source: RasterSource, mode: str = "r", **options: Any) -> Any:
    """`rasterio.open`, without its warning of an image that lies nowhere on the earth."""
    # Python has one list of filters for all threads, and threads that leave out of turn restore
    # one that another has changed.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(source, mode, **options)


def _rgb_bands(file: Any, name: Any) -> list[int] | None:
    """The numbers of the bands that are red, green and blue; None where Pillow is to decide."""
    kinds = [kind.name for kind in file.colorinterp]
    is_8_bit = set(file.dtypes) == {"uint8"}
    stretched = is_8_bit and file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    inverted = file.photometric is not None and file.photometric.name == "white"
    if stretched or inverted:
        return None
    if kinds[:3] == ["red", "green", "blue"]:
        return [1, 2, 3]
    if kinds in (["gray"], ["gray", "alpha"]):
        return [1, 1, 1]
    if kinds[0] != "gray":
        return None
    colors = [number for number, kind in enumerate(kinds, 1) if kind != "alpha"]
    if len(colors) == 3:
        return colors
    if len(colors) == 2 and is_8_bit:
        return None
    raise InputError(
        f"{name}: it has {file.count} bands and does not say which are red, green and "
        "blue; train with --data.bands [4, 3, 2] for example, their numbers from 1."
    )


def _checked(file: Any, bands: Sequence[int], name: Any) -> list[int]:
    if max(bands) > file.count:
        raise InputError(
            f"{name}: it has {file.count} bands, and data.bands is {list(bands)}; give another "
            "file, or other bands."
        )
    return list(bands)


class TiffWindows:
    """An array of uint8 (H, W, 3), RGB, whose slices are read from an open file.

    Args:
        file: an open `rasterio` data set.
        name: of the file, for messages.
        bands: the numbers of the bands that are red, green and blue.
        convert: what a slice gives for the file's values, (h, w, 3); None for the values.
    """

    def __init__(
        self, file: Any, name: Any, bands: list[int], convert: OfDeep | None = None
    ) -> None:
        self.file = file
        self._name = name
        self._bands = bands
        self._convert = convert
        self.dtype = np.dtype(np.uint8)
        self.shape: tuple[int, ...] = (file.height, file.width, 3)

    def __getitem__(self, slices: tuple[slice, ...]) -> NDArray[Any]:
        values = self._values(slices, self._bands)
        return values if self._convert is None else self._convert(values)

    @property
    def mode(self) -> str:
        """How the file holds its pixels, as `read.file_mode` says it."""
        dtype = np.dtype(self.file.dtypes[self._bands[0] - 1])
        bits = 8 * dtype.itemsize
        if self._is_grey:
            letter, sign = "F" if dtype.kind == "f" else "I", "S" if dtype.kind == "i" else ""
            return "L" if bits == 8 else f"{letter};{bits}N{sign}"
        return "RGB" if bits == 8 else f"RGB;{bits}N"

    def as_pillow(self) -> Image.Image:
        """The whole image for Pillow.

        Of colours of more than 8 bits it has the size alone: Pillow has no mode for them.
        """
        if self._is_grey:
            values = self._values((slice(None), slice(None)), self._bands[:1])[..., 0]
            if values.dtype == np.uint32:  # as Pillow holds them
                return Image.fromarray(values.view(np.int32))
            return Image.fromarray(values.astype(PILLOWS_TYPES.get(values.dtype.name, "float32")))
        if self._convert is not None:
            return Image.new("RGB", (self.file.width, self.file.height))
        return Image.fromarray(self[:, :])

    @property
    def _is_grey(self) -> bool:
        return len(set(self._bands)) == 1

    def _values(self, slices: tuple[slice, ...], bands: list[int]) -> NDArray[Any]:
        """The file's values, (h, w, bands)."""
        rows, columns = (
            slice(*part.indices(side)) for part, side in zip(slices, self.shape, strict=False)
        )
        try:
            window = Window.from_slices(rows, columns)
            with limited_cache():
                return np.moveaxis(self.file.read(bands, window=window), 0, -1)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{self._name}: cannot be read ({error}).") from error
