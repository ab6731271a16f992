"""A large image whose tiles are labelled by several workers, and joined again by one of them.

The tiles, and those that run at once, are those of `Predictor`; so are the labels.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcn_tf.beam.images import OnImages, Opened, count, dead_letter, reason_of
from fcn_tf.errors import RunError
from fcn_tf.images.depth import Clipped
from fcn_tf.inference.labelling import Labeller
from fcn_tf.inference.written import Prediction

if TYPE_CHECKING:
    from fcn_tf.inference.maps import LabelWindow

PARTS = "parts"  # the tag of the parts of large images
# Each part opens the image anew: it is worth that for a few tiles at least.
TILES_A_PART = 4
MOST_PARTS = 64

Part = tuple[int, int]  # the number of the first group of tiles, and of the one behind the last


class LabelledTile(NamedTuple):
    """A tile of an image.

    Args:
        number: among all tiles of the image, in the order in which they run.
        rows, columns: where it lies, from and to.
        labels: uint8 (h, w), compressed.
        clipped: of the image, as in `Opened`.
    """

    number: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    labels: bytes
    clipped: tuple[Clipped, ...]

    def window(self) -> LabelWindow:
        """Where it lies, and its labels."""
        rows, columns = slice(*self.rows), slice(*self.columns)
        shape = rows.stop - rows.start, columns.stop - columns.start
        return (rows, columns), np.frombuffer(zlib.decompress(self.labels), np.uint8).reshape(shape)


def parts_of(labeller: Labeller, shape: Sequence[int]) -> list[Part]:
    """The parts in which an image is labelled; none where one worker labels it.

    Args:
        labeller: of the model.
        shape: of the image.
    """
    if labeller.wants_scores:  # too much to be sent between workers
        return []
    groups = labeller.predictor.groups(shape)
    tiles = sum(map(len, groups))
    if tiles <= TILES_A_PART:
        return []
    at_once = max(map(len, groups))
    together = max(1, TILES_A_PART // at_once, -(-len(groups) // MOST_PARTS))
    starts = range(0, len(groups), together)
    return [(start, min(start + together, len(groups))) for start in starts]


class LabelParts(OnImages):
    """Labels parts of images: the path with each labelled tile, or with why there is none."""

    def process(self, item: tuple[str, Part]) -> Iterator[tuple[str, LabelledTile | str]]:
        path, (start, stop) = item
        local = path
        try:
            one = self.opened(path)
            local = str(one.image.path)
            with one.held:
                yield from ((path, tile) for tile in self._labelled(one, start, stop))
        except Exception as error:  # it is told by whoever joins the image
            yield path, reason_of(path, local, error)

    def _labelled(self, one: Opened, start: int, stop: int) -> Iterator[LabelledTile]:
        predictor = self._labeller.predictor
        groups = predictor.groups(one.pixels.shape)
        first = sum(map(len, groups[:start]))
        tiles = [tile for group in groups[start:stop] for tile in group]
        started = time.perf_counter()
        windows = list(predictor.windows(one.pixels, tiles))
        count("model_us", round(1e6 * (time.perf_counter() - started)))
        for number, ((rows, columns), labels) in enumerate(windows, first):
            yield LabelledTile(
                number=number,
                rows=(rows.start, rows.stop),
                columns=(columns.start, columns.stop),
                labels=zlib.compress(np.ascontiguousarray(labels).tobytes(), 1),
                clipped=tuple(one.clipped),
            )


class JoinParts(OnImages):
    """Puts the tiles of an image together and writes its files; gives the dead letters."""

    def process(self, item: tuple[str, Iterable[LabelledTile | str]]) -> Iterator[dict[str, str]]:
        path, given = item
        tiles: list[LabelledTile] = []
        reasons: list[str] = []
        for one in given:
            if isinstance(one, str):
                reasons.append(one)
            else:
                tiles.append(one)
        try:
            if reasons:
                raise RunError(min(reasons))
            opened = self.opened(path)
            expected = len(self._labeller.predictor.tiles(opened.pixels.shape))
            if len(tiles) != expected:
                raise RunError(f"{len(tiles)} of its {expected} tiles came back: it changed.")
        except Exception as error:
            yield dead_letter(path, path, error)
            return
        with opened.held:
            letter = self.written(opened, self._joined(opened, sorted(tiles)))
        if letter is not None:
            yield letter

    def _joined(self, one: Opened, tiles: Sequence[LabelledTile]) -> Prediction:
        for tile in tiles:
            one.clipped.extend(tile.clipped)
        windows = (tile.window() for tile in tiles)
        if self._labeller.is_windows(one.image.path, one.pixels):
            return Prediction(one.pixels, None, windows=windows)
        labels = np.empty(one.pixels.shape[:2], np.uint8)
        for place, of_tile in windows:
            labels[place] = of_tile
        return Prediction(one.pixels, labels)
