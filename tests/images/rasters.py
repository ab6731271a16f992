"""Raster files as map programs write them; needs the extra `maps`."""

import numpy as np

SYSTEM = "EPSG:32633"
TRANSFORM = (0.5, 0.0, 400_000.0, 0.0, -0.5, 5_800_000.0)


def write_raster(path, values, crs=SYSTEM, transform=TRANSFORM, **options):
    """Writes values (H, W, bands) as a GeoTIFF, with further options of rasterio."""
    import rasterio

    height, width, count = values.shape
    fields = {"height": height, "width": width, "count": count, "dtype": values.dtype.name}
    place = {"transform": rasterio.Affine(*transform)} if transform else {}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, **place, **fields, **options) as file:
        file.write(np.moveaxis(values, -1, 0))
    return path
