"""Label maps as GeoJSON: polygons with holes; needs the extra `maps`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from rasterio import Affine

from fcn_tf.classes import Classes

# A polygon as GeoJSON has it, and its label.
Polygon = tuple[dict[str, Any], int]


def write_polygons(
    path: Path,
    labels: Any,
    classes: Classes,
    simplify_px: float = 0.0,
    transform: Affine | None = None,
    crs: str | None = None,
) -> None:
    """Writes a GeoJSON file with a polygon for each connected region of one class.

    Pixels are connected over their four sides. Every pixel of the label map lies in one polygon,
    so that the polygons drawn without simplification are the label map.

    Args:
        path: of the file.
        labels: uint8 (H, W); or, where nothing is simplified, a band of an open `rasterio` data set
            that has this transform.
        classes: their names.
        simplify_px: corners that cut off less than its square, in px, are left out; 0 keeps all.
            Neighbours keep their common edge, and no polygon disappears.
        transform: from (column, row) to the coordinates of the file; by default these are pixels
            from the top left corner, x to the right and y down.
        crs: name of the coordinate reference system, for the member `crs`; None for no member.
    """
    transform = transform or Affine.identity()
    if simplify_px:
        whole = rasterio.features.shapes(labels, connectivity=4)
        polygons: Iterable[Polygon] = _simplified(whole, simplify_px, transform)
    else:
        polygons = rasterio.features.shapes(labels, connectivity=4, transform=transform)
    head: dict[str, Any] = {"type": "FeatureCollection"}
    if crs is not None:
        head["crs"] = {"type": "name", "properties": {"name": crs}}
    opening = json.dumps(head, ensure_ascii=False).removesuffix("}")
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{opening}, "features": [')
        for number, (geometry, label) in enumerate(polygons):
            feature = {
                "type": "Feature",
                "properties": {"label": int(label), "class": classes.names[int(label)]},
                "geometry": geometry,
            }
            file.write(",\n" if number else "\n")
            json.dump(feature, file, ensure_ascii=False)
        file.write("\n]}\n")


def _simplified(
    polygons: Iterable[Polygon], simplify_px: float, transform: Affine
) -> Iterator[Polygon]:
    """The polygons of a whole label map with fewer corners, in the coordinates of `transform`."""
    geometries, labels = zip(*polygons, strict=True)
    exact = shapely.from_geojson([json.dumps(geometry) for geometry in geometries])
    # Neighbours must have the same corners along their common edge: one at each pixel.
    with_corners = shapely.transform(shapely.segmentize(exact, 1), np.rint)
    rough = shapely.coverage_simplify(with_corners, simplify_px, simplify_boundary=False)
    straight = shapely.simplify(rough, 0)  # without the corners on straight lines

    def placed(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = corners.T
        x = transform.a * columns + transform.b * rows + transform.c
        y = transform.d * columns + transform.e * rows + transform.f
        return np.column_stack([x, y])

    for geometry, label in zip(shapely.transform(straight, placed), labels, strict=True):
        yield shapely.geometry.mapping(geometry), int(label)
