"""From an image of any size to its labels; a large one is cut into exact tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.config.networks import GRID_PX
from fcn_tf.errors import InputError
from fcn_tf.images.read import resize
from fcn_tf.inference.given import opened
from fcn_tf.inference.kinds import load_any
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.other_sizes import is_other_size, other_sizes_line
from fcn_tf.inference.tiles import Tile, cut_into_tiles, inside, tile_px_within
from fcn_tf.progress import with_progress

# An image above this is cut into tiles where the user does not say otherwise. The network takes
# about half a kilobyte a pixel.
WHOLE_PIXELS = 4_000_000
SHOWN_BATCHES = 16  # fewer are soon done


class Predictor:
    """Predicts with a model of any kind.

    Threads: one predictor may be called from many threads at once, and each call has the answer
    that it has alone. A `.tflite` file runs one image at a time, with all processors, while other
    threads wait; its memory is that of one thread.

    Processes: a predictor works in the process that built it. In a child that was forked from that
    process a call raises a `RunError`. Build a predictor in each child and none in the parent, or
    start the children by spawn.

    Args:
        model_or_path: an `FCN`, a run folder, a `.keras` file, a SavedModel, a `.tflite` or an
            `.onnx` file, or a `LoadedModel`.
        tile_px: side of the tiles that an image is cut into, a multiple of 32; by default
            images above 4 megapixels are cut into tiles of 1024 px, and others are not. The
            labels are those of the whole image.
        flip: average with the scores of the mirrored image.
        scales: average over the image at these scales. With tiles, each tile is mirrored
            and scaled by itself, which is not quite equal to the whole image.
        batch_size: tiles or images of one size that run at once.
        shows_progress: show a bar over the tiles of an image with many.

    Attributes:
        model: the `LoadedModel`.
        other_sizes: heights and widths of the images that were scaled or filled up so far.

    Raises:
        InputError: no such model, or options that do not fit it.
        RunError: this process was forked from one in which TensorFlow had begun to compute.

    Example:
        >>> predictor = fcn_tf.Predictor("runs/mine", flip=True)
        >>> labels = predictor("photo.jpg")  # uint8 (H, W)
        >>> scores = predictor.scores("photo.jpg")  # float32 (H, W, C)
    """

    def __init__(
        self,
        model_or_path: Any,
        tile_px: int | None = None,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        batch_size: int = 1,
        shows_progress: bool = False,
    ) -> None:
        is_loaded = isinstance(model_or_path, LoadedModel)
        self.model: LoadedModel = model_or_path if is_loaded else load_any(model_or_path)
        self.tile_px = tile_px
        self.flip = flip
        self.scales = tuple(scales)
        self.batch_size = batch_size
        self.shows_progress = shows_progress
        self.other_sizes: set[tuple[int, int]] = set()
        self._check_options()
        self._check_options_of_model()
        # What the model takes at once, of an image that is then enlarged by the largest scale.
        self._most_pixels = (self.model.max_pixels or math.inf) / max(1, *self.scales) ** 2

    def _check_options(self) -> None:
        """Refuses options that no model takes."""
        tile_px = self.tile_px
        if tile_px is not None and (tile_px < GRID_PX or tile_px % GRID_PX):
            raise InputError(f"tile_px={tile_px}: it must be a multiple of {GRID_PX}.")
        if not self.scales or not all(math.isfinite(s) and s > 0 for s in self.scales):
            raise InputError(f"scales={list(self.scales)}: they must be above 0.")
        if self.batch_size < 1:
            raise InputError(f"batch_size={self.batch_size}: it must be at least 1.")

    def _check_options_of_model(self) -> None:
        """Refuses options that this model does not take."""
        is_scaled = self.scales != (1.0,)
        if self.model.size_px is not None and is_scaled:
            raise InputError("scales: this file has a fixed size.")
        if self.model.scores is None and (self.flip or is_scaled):
            raise InputError("flip and scales average scores, and this file gives labels alone.")
        if self.tile_px is not None and not self.can_tile:
            if self.model.whole_image_layer:
                raise InputError(
                    f"tile_px: of the layer {self.model.whole_image_layer} it is not known what a "
                    "tile needs around it, so the image is not cut; leave tile_px out."
                )
            raise InputError(
                "tile_px: this model has a fixed size, or does not say what a tile needs around "
                "it; export it again, or leave tile_px out."
            )

    @property
    def can_tile(self) -> bool:
        """Whether images are cut into tiles whose labels are those of the whole image."""
        return self.model.margin_px is not None and self.model.size_px is None

    def __call__(self, image: Any) -> Any:
        """The labels of an image, uint8 (H, W), or a list of the labels of each of several images.

        Args:
            image: uint8 (H, W, 3) RGB; a path, the bytes of an image file, a file that is open
                for reading bytes, a Pillow image, or anything with a shape (H, W, 3) whose
                slices are such arrays; or a list of these. A file is turned by its EXIF
                orientation; a Pillow image is taken as it is. Of a file with several pages or
                frames the first is taken, with a warning.

        Raises:
            InputError: it is none of these, or the file cannot be read.
            RunError: the predictor was built in another process, before a fork.
        """
        if isinstance(image, (list, tuple)):
            return self._of_many(image)
        return self._predict(self._opened(image), self._labels, (), np.uint8)

    def scores(self, image: Any) -> NDArray[np.float32]:
        """The softmax scores of an image, float32 (H, W, C); a list of images is refused."""
        if self.model.scores is None:
            raise InputError("This file gives labels alone: export it with scores.")
        channels = (self.model.num_classes,)
        return self._predict(self._opened(image), self._scores, channels, np.float32)

    def other_sizes_line(self) -> str | None:
        """A line that says which images were scaled or filled up so far, for the file's sake."""
        return other_sizes_line(self.model, self.other_sizes)

    def tiles(self, shape: Sequence[int]) -> list[Tile]:
        """How an image of this shape is cut.

        Returns:
            A list of `(kept, fed)` pairs of slices, rows and columns; one pair if it is not.
        """
        height_px, width_px = shape[:2]
        margin_px, tile_px = self.model.margin_px or 0, self.tile_px
        is_large = height_px * width_px > min(WHOLE_PIXELS, self._most_pixels)
        if tile_px is None and self.can_tile and is_large:
            tile_px = tile_px_within(margin_px, self._most_pixels)
        if tile_px is None:
            whole = (slice(0, height_px), slice(0, width_px))
            return [(whole, whole)]
        return cut_into_tiles(shape, tile_px, margin_px)

    def _predict(
        self, image: Any, run: Callable[[Any], Any], channels: tuple[int, ...], dtype: Any
    ) -> NDArray[Any]:
        """What `run` answers to an image, put together of its tiles."""
        tiles = self.tiles(image.shape)
        if len(tiles) == 1:
            return run(np.asarray(image[:, :])[None])[0]
        result = np.empty((*image.shape[:2], *channels), dtype)
        for kept, answer in self._answers(image, run, tiles):
            result[kept] = answer
        return result

    def groups(self, shape: Sequence[int]) -> list[list[Tile]]:
        """The tiles of an image of this shape, in groups that run at once."""
        return list(self._batches(self.tiles(shape)))

    def windows(
        self, image: Any, tiles: list[Tile] | None = None
    ) -> Iterator[tuple[tuple[slice, slice], NDArray[np.uint8]]]:
        """The labels of an image that is larger than memory, tile by tile.

        Args:
            image: as in `__call__`, no list.
            tiles: those of some of its `groups`, one after the other; None for all.

        Returns:
            Rows and columns of a tile, and its labels, uint8 (h, w); all tiles cover the image.
        """
        opened_image = self._opened(image)
        tiles = self.tiles(opened_image.shape) if tiles is None else tiles
        return self._answers(opened_image, self._labels, tiles)

    def _answers(
        self, image: Any, run: Callable[[Any], Any], tiles: list[Tile]
    ) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
        """What `run` answers to each tile of an image, without the margin."""
        batches = list(self._batches(tiles))
        shown: Iterable[list[Tile]] = batches
        if self.shows_progress and len(batches) >= SHOWN_BATCHES:
            unit = "tile" if self.batch_size == 1 else "group"
            shown = with_progress(batches, len(batches), unit)
        for batch in shown:
            answers = run(np.stack([np.asarray(image[fed]) for _, fed in batch]))
            for tile, answer in zip(batch, answers, strict=True):
                yield tile[0], answer[inside(tile)]

    def _batches(self, tiles: list[Tile]) -> Iterator[list[Tile]]:
        """Tiles that are fed the same size, `batch_size` at a time."""
        waiting: dict[tuple[int, ...], list[Tile]] = {}
        for kept, fed in tiles:
            size = tuple(part.stop - part.start for part in fed)
            batch = waiting.setdefault(size, [])
            batch.append((kept, fed))
            if len(batch) == self._at_once(size):
                yield waiting.pop(size)
        yield from waiting.values()

    def _of_many(self, images: Sequence[Any]) -> list[NDArray[np.uint8]]:
        """Images that are not cut run together where they have one size."""
        results: list[Any] = [None] * len(images)
        waiting: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}

        def finish(batch: list[tuple[int, NDArray[np.uint8]]]) -> None:
            numbers, arrays = zip(*batch, strict=True)
            for number, labels in zip(numbers, self._labels(np.stack(arrays)), strict=True):
                results[number] = labels

        for number, image in enumerate(map(self._opened, images)):
            if len(self.tiles(image.shape)) > 1:
                results[number] = self(image)
                continue
            batch = waiting.setdefault(image.shape, [])
            batch.append((number, np.asarray(image[:, :])))
            if len(batch) == self._at_once(image.shape[:2]):
                finish(waiting.pop(image.shape))
        for batch in waiting.values():
            finish(batch)
        return results

    def _opened(self, image: Any) -> Any:
        """An image as an array, read as the model was trained."""
        pixels = opened(image, self.model.value_range, self.model.bands)
        height_px, width_px = pixels.shape[:2]
        if is_other_size(self.model, (height_px, width_px)):
            self.other_sizes.add((height_px, width_px))
        return pixels

    def _at_once(self, size_px: Sequence[int]) -> int:
        """How many of a size run together, within what the model takes at once."""
        return max(1, int(min(self.batch_size, self._most_pixels / math.prod(size_px))))

    def _labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (N, H, W, 3) to uint8 (N, H, W)."""
        if self.flip or self.scales != (1.0,):
            return self._scores(images).argmax(-1).astype(np.uint8)
        size_px = self.model.size_px
        if size_px is None or images.shape[1:3] == size_px:
            return self.model.labels(images)
        if self.model.scores is not None:
            return self._scores(images).argmax(-1).astype(np.uint8)
        labels = self.model.labels(_resized(images, size_px))
        return _resized(labels, images.shape[1:3], Image.Resampling.NEAREST)

    def _scores(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) to float32 (N, H, W, C), averaged over scales and mirrors."""
        size_px = images.shape[1:3]
        assert self.model.scores is not None
        total: Any = 0
        count = 0
        for scale in self.scales:
            scaled_px = tuple(max(1, round(scale * side)) for side in size_px)
            scaled = _resized(images, self.model.size_px or scaled_px)
            for step in (1, -1) if self.flip else (1,):
                scores = self.model.scores(np.ascontiguousarray(scaled[:, :, ::step]))
                found = _resized(scores[:, :, ::step], size_px)
                total = total + found if count else found
                count += 1
        return total / np.float32(count) if count > 1 else total


def _resized(
    arrays: NDArray[Any], size_px: Sequence[int], how: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[Any]:
    """Brings (N, H, W) or (N, H, W, C), uint8 or float32, to a size (height, width)."""
    if arrays.shape[1:3] == tuple(size_px):
        return arrays
    arrays = np.ascontiguousarray(arrays)
    if arrays.dtype == np.uint8:
        return np.stack([resize(array, size_px, how) for array in arrays])
    channels = np.ascontiguousarray(np.moveaxis(arrays, -1, 1))
    resized = [[resize(channel, size_px, how) for channel in one] for one in channels]
    return np.moveaxis(np.array(resized), 1, -1)
