"""How a large image is cut into tiles, and what of each tile's answer is kept."""

from __future__ import annotations

from collections.abc import Sequence

from fcn_tf.config.networks import GRID_PX

DEFAULT_TILE_PX = 1024

# Rows and columns.
Part = tuple[slice, slice]
# The rows and columns that are kept of a tile, and those that are fed to the network for it.
Tile = tuple[Part, Part]


def cut_into_tiles(shape: Sequence[int], tile_px: int, margin_px: int) -> list[Tile]:
    """Cuts an image.

    Args:
        shape: of the image, (H, W, …).
        tile_px: side of the tiles, a multiple of `GRID_PX`.
        margin_px: what is fed around each tile, as far as the image goes.

    Returns:
        A list of `(kept, fed)` pairs.
    """
    height_px, width_px = shape[:2]
    return [
        ((rows[0], columns[0]), (rows[1], columns[1]))
        for rows in _cuts(height_px, tile_px, margin_px)
        for columns in _cuts(width_px, tile_px, margin_px)
    ]


def tile_px_within(margin_px: int, most_pixels: float) -> int:
    """The side of a tile that is no larger, with its margin, than so many pixels, if one is."""
    tile_px = DEFAULT_TILE_PX
    while (tile_px + 2 * margin_px) ** 2 > most_pixels and tile_px > GRID_PX:
        tile_px -= GRID_PX
    return tile_px


def inside(tile: Tile) -> Part:
    """What is kept of a tile, counted from where its answer begins."""
    rows, columns = (
        slice(kept.start - fed.start, kept.stop - fed.start)
        for kept, fed in zip(*tile, strict=True)
    )
    return rows, columns


def _cuts(length_px: int, tile_px: int, margin_px: int) -> list[tuple[slice, slice]]:
    """Slices of one axis: what is kept of each tile, and what is fed for it."""
    return [
        (
            slice(start, min(start + tile_px, length_px)),
            slice(max(0, start - margin_px), min(start + tile_px + margin_px, length_px)),
        )
        for start in range(0, length_px, tile_px)
    ]
