"""The labels of georeferenced images: GeoTIFF and GeoJSON; needs the extra `maps`.

An image that is larger than memory is labelled window by window.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from fcn_tf.classes import Classes
from fcn_tf.errors import InputError
from fcn_tf.images.georeference import Place
from fcn_tf.images.tiff import limited_cache, opened_without_place
from fcn_tf.inference.polygons import write_polygons

BLOCK_PX = 256  # side of the tiles of the files; tiles of 1024 px hold whole ones

# The rows and columns of a part of an image, and its labels, uint8.
LabelWindow = tuple[tuple[slice, slice], NDArray[np.uint8]]


def write_label_tiff(
    path: Path,
    windows: Iterable[LabelWindow],
    *,
    size_px: tuple[int, int],
    place: Place,
    classes: Classes,
) -> None:
    """Writes a GeoTIFF of labels, tiled and compressed, with the colours of the classes.

    Args:
        path: of the file.
        windows: the parts of the image, which cover it, and their labels.
        size_px: height and width of the image.
        place: where it lies; the file says the same.
        classes: their palette.
    """
    height_px, width_px = size_px
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": height_px,
        "width": width_px,
        "count": 1,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "deflate",
        "BIGTIFF": "IF_SAFER",
    }
    if place.transform is not None:
        options |= {"crs": place.crs, "transform": place.transform}
    elif place.control_points is not None:
        options |= dict(zip(("gcps", "crs"), place.control_points, strict=True))
    if place.rpcs is not None:
        options["rpcs"] = place.rpcs
    # A system without a transform is written without a warning: the image says no more.
    with limited_cache(), opened_without_place(path, "w", **options) as file:
        file.write_colormap(
            1, {label: (*color, 255) for label, color in enumerate(classes.palette)}
        )
        for (rows, columns), labels in windows:
            file.write(labels, 1, window=Window.from_slices(rows, columns))


def write_map_polygons(
    path: Path, labels: object, *, place: Place, classes: Classes, simplify_px: float
) -> None:
    """Writes GeoJSON in the coordinates of a map.

    Args:
        path: of the file.
        labels: as in `write_polygons`.
        place, classes: as in `write_label_tiff`.
        simplify_px: as in `write_polygons`.

    Raises:
        InputError: control points alone say where the image lies.
    """
    if place.transform is None:
        raise InputError(
            "control points alone say where it lies, and polygons need a transform: bring it onto "
            "a grid with gdalwarp, or leave out --format geojson."
        )
    with limited_cache():
        write_polygons(
            *(path, labels, classes, simplify_px),
            transform=place.transform,
            crs=place.crs_name,
        )


def write_large_map(
    paths: Mapping[str, Path],
    windows: Iterable[LabelWindow],
    *,
    size_px: tuple[int, int],
    place: Place,
    classes: Classes,
    simplify_px: float,
) -> None:
    """Writes the files of a map whose labels do not lie in memory.

    Args:
        paths: the files that are wanted, by format: "png" for the GeoTIFF, "geojson".
        windows, size_px, place, classes, simplify_px: as in the functions above.
    """
    folder = next(iter(paths.values())).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:
        written = {kind: Path(beside, path.name) for kind, path in paths.items()}
        tiff = written.get("png", Path(beside, "labels.tif"))
        write_label_tiff(tiff, windows, size_px=size_px, place=place, classes=classes)
        if "geojson" in written:
            with rasterio.open(tiff) as file:
                # All polygons are simplified together, in memory.
                labels = file.read(1) if simplify_px else rasterio.band(file, 1)
                write_map_polygons(
                    *(written["geojson"], labels),
                    place=place,
                    classes=classes,
                    simplify_px=simplify_px,
                )
        for kind, path in paths.items():
            os.replace(written[kind], path)
