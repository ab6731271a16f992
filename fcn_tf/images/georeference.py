"""Where an image lies on the earth: GeoTIFF, GeoJP2, and the files beside that map programs write.

Whether an image says so is read without the extra `maps`; what it says is read by rasterio.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_tf.errors import InputError
from fcn_tf.images.raster import has_rasterio, orientation, tiff_tags

# The fields of a TIFF: pixel scale, tie points, transformation, keys of the system, and RPCs.
GEO_TAGS = {33550, 33922, 34264, 34735, 50844}
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
GEO_JP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")  # the UUID of its box
HEAD_BYTES = 1 << 16  # the boxes of a JPEG 2000 lie before its pixels
IN_AUX_XML = (b"<SRS", b"<GeoTransform", b"<GCPList", b'domain="RPC"')


@dataclass(frozen=True)
class Place:
    """Where an image lies, as rasterio gives it.

    Args:
        crs: the coordinate reference system, or None.
        transform: from (column, row) to coordinates; None where only control points say it.
        control_points: those, and their system; None without any.
        rpcs: rational polynomial coefficients, or None.
    """

    crs: Any
    transform: Any
    control_points: tuple[Any, Any] | None = None
    rpcs: Any = None

    @property
    def crs_name(self) -> str | None:
        """The name of the system for GeoJSON: an OGC URN, or else its definition (WKT)."""
        if self.crs is None:
            return None
        known = self.crs.to_authority()
        return f"urn:ogc:def:crs:{known[0]}::{known[1]}" if known else self.crs.to_wkt()


def says_its_place(path: str | os.PathLike[str]) -> bool:
    """Whether an image file, or a file beside it, says where it lies on the earth."""
    path = Path(path)
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            head = file.read(len(JP2))
            if head == JP2 and GEO_JP2 in file.read(HEAD_BYTES):
                return True
        tags = tiff_tags(path)
        if tags is not None and GEO_TAGS & set(tags):
            return True
        return any(map(Path.is_file, _world_files(path))) or _is_placed_by_aux_xml(path)
    return False


def place_of(path: str | os.PathLike[str]) -> Place | None:
    """Where an image lies on the earth; None where it does not say, or without the extra `maps`.

    Raises:
        InputError: its EXIF orientation turns it, and nobody knows whether its place is turned.
    """
    if not has_rasterio() or not says_its_place(path):
        return None
    from rasterio import Affine

    from fcn_tf.images.tiff import opened_raster

    file = opened_raster(path)
    if file is None:
        return None
    with file:
        points, points_crs = file.gcps
        has_transform = file.transform != Affine.identity()
        if not (file.crs or has_transform or points or file.rpcs):
            return None
        if (turned := orientation(path)) != 1:
            raise InputError(
                f"{path}: it says where it lies on the earth, and has an EXIF orientation "
                f"({turned}), which map programs leave aside; save it without one of the two."
            )
        return Place(
            file.crs,
            file.transform if has_transform or not (points or file.rpcs) else None,
            (points, points_crs) if points else None,
            file.rpcs,
        )


def _world_files(path: Path) -> list[Path]:
    """The files of six numbers that may lie beside an image."""
    suffix = path.suffix.removeprefix(".")
    if not suffix:
        return []
    names = {f"{suffix[0]}{suffix[-1]}w", f"{suffix}w", "wld"}
    return [path.with_suffix(f".{name}") for name in names]


def _is_placed_by_aux_xml(path: Path) -> bool:
    beside = path.with_name(f"{path.name}.aux.xml")
    return beside.is_file() and any(word in beside.read_bytes() for word in IN_AUX_XML)
