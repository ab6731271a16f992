"""From an image file to what is written of it: the same for one machine and for many workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_tf.errors import InputError
from fcn_tf.images import MAX_PIXELS
from fcn_tf.images.depth import Clipped
from fcn_tf.images.georeference import place_of
from fcn_tf.images.read import Pixels, open_pixels
from fcn_tf.inference.predictor import Predictor
from fcn_tf.inference.written import Prediction, Wanted, formats_of_scores


class Labeller:
    """Opens image files as a model reads them, and predicts what is wanted of them.

    Args:
        predictor: of any model.
        wanted: what is written of each image.
        max_pixels: the largest image that is read; by default Pillow's limit, and none for maps
            that are read window by window.

    Attributes:
        predictor: of the model.
        wants_scores: whether scores are predicted, and not labels alone.

    Raises:
        InputError: scores are wanted, and the model's file gives none.
    """

    def __init__(self, predictor: Predictor, wanted: Wanted, max_pixels: int | None = None) -> None:
        self.predictor = predictor
        self._is_flat = wanted.is_flat
        self._max_pixels = max_pixels
        self.wants_scores = bool(formats_of_scores(wanted.formats))
        if self.wants_scores and predictor.model.scores is None:
            raise InputError("--format npy: this file gives labels alone; export it with scores.")

    def opened(self, path: Path, clipped: list[Clipped]) -> Pixels:
        """The pixels of an image; a large map is opened to be read window by window.

        Args:
            path: of the file.
            clipped: takes the image if it has values outside of the model's range.

        Raises:
            InputError: the file cannot be read or is too large.
        """
        is_map = self._is_read_in_windows(path)
        return open_pixels(
            *(path, self._max_pixels or MAX_PIXELS, self.predictor.model.value_range, clipped),
            bands=self.predictor.model.bands,
            windows_of_any_size=is_map and self._max_pixels is None,
        )

    def predictions(self, opened: Sequence[tuple[Path, Pixels]]) -> list[Prediction]:
        """What is predicted of images; those of one size run together, unless scores are wanted.

        Args:
            opened: the paths of the files, and their pixels from `opened`.
        """
        together = [one for one in opened if self._is_labelled_at_once(*one)]
        if len(together) < 2:
            return [self._prediction(path, pixels) for path, pixels in opened]
        answers = iter(self.predictor([pixels for _, pixels in together]))
        return [
            Prediction(pixels, next(answers))
            if self._is_labelled_at_once(path, pixels)
            else self._prediction(path, pixels)
            for path, pixels in opened
        ]

    def _prediction(self, path: Path, pixels: Pixels) -> Prediction:
        if self.is_windows(path, pixels):
            return Prediction(pixels, None, windows=self.predictor.windows(pixels))
        scores = self.predictor.scores(pixels) if self.wants_scores else None
        labels = self.predictor(pixels) if scores is None else scores.argmax(-1).astype(np.uint8)
        return Prediction(pixels, labels, scores)

    def _is_labelled_at_once(self, path: Path, pixels: Pixels) -> bool:
        return not self.wants_scores and not self.is_windows(path, pixels)

    def is_windows(self, path: Path, pixels: Pixels) -> bool:
        """Whether the labels of an image are written window by window."""
        return not isinstance(pixels, np.ndarray) and self._is_read_in_windows(path)

    def _is_read_in_windows(self, path: Path) -> bool:
        return self.predictor.can_tile and self._is_flat and place_of(path) is not None
