"""What the report counts of a split: each image is predicted once, and counted beside the next."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.data import whole_images
from fcn_tf.data.source import Source
from fcn_tf.evaluation.details import calibration_counts, edge_confusions
from fcn_tf.evaluation.score import Counts, Evaluation, evaluate_split
from fcn_tf.inference.predictor import Predictor
from fcn_tf.progress import with_progress

MOST_THREADS = 4
# An answer above this is counted before the next image is predicted, as it takes so much memory.
WAITED_FOR_BYTES = 2**28
# NumPy's argmax along a short axis takes twice as long as a comparison of planes of pixels that
# stay in the processor's cache.
PLANES, PLANE_PIXELS = 40, 8192


def evaluate_predictor(predictor: Predictor, source: Source, split: str) -> Evaluation:
    """Counts a split, image by image, with what the figures of a report show; with a bar.

    Args:
        predictor: of a model with the data set's classes.
        source: the data set.
        split: one of its splits.
    """
    parts = _counted(predictor, source, split)
    return evaluate_split(parts, predictor.model.num_classes)


def counts_of(predictor: Predictor, image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Counts:
    """What one image adds to the counts of a split.

    Args:
        predictor: as in `evaluate_predictor`.
        image: uint8 (H, W, 3), RGB.
        truth: uint8 (H, W), labels and VOID.
    """
    return _count(truth, _answer(predictor, image), predictor.model.num_classes)


def predicted(
    predictor: Predictor, image: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Labels (H, W), and scores (H, W, C) or None where the file gives none.

    Labels come from the scores where there are any, so that the network runs once.
    """
    answer = _answer(predictor, image)
    return (answer, None) if answer.ndim == 2 else (best_labels(answer)[0], answer)


def _answer(predictor: Predictor, image: NDArray[np.uint8]) -> NDArray[Any]:
    """The scores (H, W, C), or the labels (H, W) of a file that gives none."""
    return predictor(image) if predictor.model.scores is None else predictor.scores(image)


def best_labels(
    scores: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The class with the highest score of each pixel, the first of several, and that score.

    Args:
        scores: float32 (H, W, C).

    Returns:
        uint8 (H, W), and float32 (H, W).
    """
    *size_px, channels = scores.shape
    flat = scores.reshape(-1, channels)
    if channels > PLANES:
        labels = flat.argmax(axis=-1).astype(np.uint8)
        return labels.reshape(size_px), flat[np.arange(len(flat)), labels].reshape(size_px)
    labels, best = np.empty(len(flat), np.uint8), np.empty(len(flat), np.float32)
    ranks = np.arange(channels, 0, -1, dtype=np.uint8)[:, None]
    for start in range(0, len(flat), PLANE_PIXELS):
        pixels = slice(start, start + PLANE_PIXELS)
        planes = np.ascontiguousarray(flat[pixels].T)
        best[pixels] = highest = planes.max(axis=0)
        # NaN is not below anything: a pixel of it is of the first class.
        labels[pixels] = channels - (ranks * ~(planes < highest)).max(axis=0)
    return labels.reshape(size_px), best.reshape(size_px)


def _counted(predictor: Predictor, source: Source, split: str) -> Iterator[Counts]:
    """The counts of each image, in order: threads count while the next image is predicted."""
    num_classes = predictor.model.num_classes
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    examples = whole_images(source, split).as_numpy_iterator()
    waiting: deque[Future[Counts]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for example in with_progress(examples, source.split_sizes[split], "image"):
            truth, answer = (
                example["segmentation_mask"][..., 0],
                _answer(predictor, example["image"]),
            )
            waiting.append(pool.submit(_count, truth, answer, num_classes))
            at_once = 0 if answer.nbytes > WAITED_FOR_BYTES else threads
            while len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _count(truth: NDArray[np.uint8], answer: NDArray[Any], num_classes: int) -> Counts:
    """What an image adds to the counts.

    Args:
        truth: uint8 (H, W).
        answer: labels uint8 (H, W), or scores float32 (H, W, C).
        num_classes: C.
    """
    labels, calibration = answer, None
    if answer.ndim == 3:
        labels, confidence = best_labels(answer)
        calibration = calibration_counts(truth, labels, confidence)
    edges = edge_confusions(truth, labels, num_classes)
    return Counts(edges[-1], edges=edges, calibration=calibration)
