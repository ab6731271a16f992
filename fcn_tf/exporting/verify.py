"""Every artefact is loaded in a fresh process and compared with the model that it was made of."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.config.types import Size
from fcn_tf.errors import RunError
from fcn_tf.evaluation.metrics import confusion_matrix
from fcn_tf.evaluation.score import Counts, evaluate_split
from fcn_tf.evaluation.tables import none_if_nan
from fcn_tf.exporting.formats import Bar, Format
from fcn_tf.exporting.sizes import rounded_up
from fcn_tf.images.read import resize
from fcn_tf.models.fcn import FCN
from fcn_tf.models.unpooling import PoolingIndices

RUNNER = Path(__file__).with_name("run_artefact.py")
MEMORY_PIXELS = 1_000_000  # of the image on which memory is measured
SECOND_SCALE = 0.75  # every image is compared at its own size and at this
# A share of the largest logit: float32 leaves so much of a score open after a hundred layers. A
# network differs by a third of it from itself when the same sums are taken in another order.
ROUNDING = 1e-6
# How often an artefact may differ by what the model differs from itself, run a layer at a time.
# FCN on ResNet50, after 120 steps: 6.9e-6 from itself, 1.5e-5 from its SavedModel.
OWN_DIFFERENCES = 4
OWN_IMAGES = 4  # on which that is measured
OWN_AT_MOST = 1e-4  # what is allowed for it; more is no rounding
# Where two cells of a pooling window are equal up to rounding, an unpooling may put a value into
# either, and scores around it change. The margin of decided pixels is at least this, then, and ten
# times as many of their labels may differ, or as many as of 8 bits.
UNPOOLING_MARGIN = 1e-2
UNPOOLING_CHANGES = 10
UNPOOLING_SAME_LABEL = 0.97

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


class Reference:
    """Images, and what the float32 Keras model answers to them; a context, for its files.

    Args:
        model: an `FCN`.
        samples: (image uint8 (H, W, 3), labels uint8 (H, W) or None) pairs.
        size_px: (height, width) that all are brought to, or None: each is then taken
            at its own size and at `SECOND_SCALE` of it.
        step_px: where there is no such size, sides are rounded up to multiples of it.
    """

    def __init__(
        self,
        model: FCN,
        samples: Iterable[Sample],
        size_px: tuple[int, int] | None = None,
        step_px: int = 1,
    ) -> None:
        self.num_classes = model.num_classes
        self.unpools = any(isinstance(layer, PoolingIndices) for layer in model.layers)
        self.files = tempfile.TemporaryDirectory()
        self.folder = Path(self.files.name)
        self.masks: dict[str, NDArray[np.uint8]] = {}
        self.largest_logit = 0.0
        self.own_difference = 0.0  # of a score, run a layer at a time
        images, scores = {}, {}

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
        def predict(image):
            logits = model(image, training=False)
            return tf.nn.softmax(logits)[0], tf.reduce_max(tf.abs(logits))

        for index, (image, mask) in enumerate(samples):
            own_px = image.shape[:2]
            both = [rounded_up(side_px, step_px) for side_px in (own_px, _scaled(own_px))]
            for size in [size_px] if size_px else both:
                name = f"{index}_{Size(size)}"
                images[name] = resize(image, size)
                if mask is not None:
                    self.masks[name] = resize(mask, size, Image.Resampling.NEAREST)
                found, logit = predict(images[name][None])
                scores[f"scores_{name}"] = found.numpy()
                self.largest_logit = max(self.largest_logit, float(logit))
                if index < OWN_IMAGES and not self.unpools:  # whose bars do not ask for it
                    by_layers = tf.nn.softmax(model(images[name][None], training=False))[0]
                    difference = float(tf.reduce_max(tf.abs(by_layers - found)))
                    self.own_difference = max(self.own_difference, difference)
        self.names = list(images)
        for file, arrays in (("images.npz", images), ("reference.npz", scores)):
            np.savez(self.folder / file, **arrays)

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *error: object) -> None:
        self.files.cleanup()

    def compare(
        self, artefact: Path, format: Format, kind: str, max_pixels: int | None = None
    ) -> dict[str, Any]:
        """Runs an artefact on the images, and holds it to the bar of its kind.

        Args:
            artefact: what the format's `write` returned.
            format: an entry of `FORMATS`.
            kind: a key of its kinds.
            max_pixels: the largest image that the artefact takes, or None for any.

        Returns:
            dict for export.json: largest_difference, same_label and what they are held
            to, mean_iou and reference_mean_iou (None without masks), and, where the format has
            its memory measured, bytes_per_pixel of a call (None where the system does not tell).

        Raises:
            RunError: it does not run, or is not within its bar.
        """
        what = f"{kind} {format.title}"
        memory_pixels = min(max_pixels or MEMORY_PIXELS, MEMORY_PIXELS)
        measured = self._run(artefact, format, what, memory_pixels)
        bar = self._with_room_for_rounding(format.kinds[kind].bar)
        found = self._differences(bar) | measured
        _judge(found, bar, what, format.kinds[kind].remedy)
        return found

    def _run(self, artefact: Path, format: Format, what: str, memory_pixels: int) -> dict[str, Any]:
        """Writes what the artefact answers to results.npz; returns what was measured meanwhile."""
        run = importlib.import_module(format.module).run
        run_file = self.folder / "run.py"
        # Annotations may use names of the module: they are not evaluated.
        text = f"from __future__ import annotations\n\n{inspect.getsource(run)}"
        run_file.write_text(text, encoding="utf-8")
        files = (run_file, artefact, self.folder / "images.npz", self.folder / "results.npz")
        arguments = [*map(str, files), *([str(memory_pixels)] if format.measures_memory else [])]
        command = [sys.executable, "-I", str(RUNNER), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise RunError(f"The {what} does not run: {last}")
        return json.loads(done.stdout.splitlines()[-1])

    def _with_room_for_rounding(self, bar: Bar) -> Bar:
        if self.unpools:
            same_label = max(1 - UNPOOLING_CHANGES * (1 - bar.same_label), UNPOOLING_SAME_LABEL)
            return Bar(
                largest_difference=None,
                same_label=min(bar.same_label, same_label),
                margin=max(bar.margin, UNPOOLING_MARGIN),
            )
        own = min(OWN_DIFFERENCES * self.own_difference, OWN_AT_MOST)
        least = max(ROUNDING * self.largest_logit, own)
        allowed = bar.largest_difference and max(bar.largest_difference, least)
        return replace(bar, largest_difference=allowed, margin=max(bar.margin, least))

    def _differences(self, bar: Bar) -> dict[str, Any]:
        """Compares results.npz with reference.npz, image by image."""
        largest: float | None = None
        decided, same = 0, 0
        counts: tuple[list[Counts], list[Counts]] = ([], [])  # of the artefact, of the reference
        with (
            np.load(self.folder / "reference.npz") as references,
            np.load(self.folder / "results.npz") as results,
        ):
            for name in self.names:
                reference = references[f"scores_{name}"]  # (H, W, C)
                expected = reference.argmax(-1)
                if f"labels_{name}" in results.files:
                    labels = results[f"labels_{name}"]
                else:
                    scores = results[f"scores_{name}"]
                    difference = np.abs(scores - reference).max()
                    largest = float(np.maximum(largest or 0.0, difference))  # NaN, if one is
                    labels = scores.argmax(-1)
                best = np.partition(reference, -2, axis=-1)[..., -2:]
                is_decided = best[..., 1] - best[..., 0] > bar.margin
                decided += int(is_decided.sum())
                same += int((is_decided & (labels == expected)).sum())
                if name in self.masks:
                    for parts, predicted in zip(counts, (labels, expected), strict=True):
                        matrix = confusion_matrix(self.masks[name], predicted, self.num_classes)
                        parts.append(Counts(matrix))
        mean_ious = [
            none_if_nan(evaluate_split(parts, self.num_classes).scores["mean_iou"])
            for parts in counts
        ]
        return {
            "largest_difference": largest,
            "largest_difference_allowed": bar.largest_difference,
            "same_label": same / decided if decided else None,
            "same_label_required": bar.same_label,
            "margin_of_best_scores": bar.margin,
            "mean_iou": mean_ious[0],
            "reference_mean_iou": mean_ious[1],
            "images": len(self.names),
        }


def _judge(found: dict[str, Any], bar: Bar, what: str, remedy: str) -> None:
    difference, same = found["largest_difference"], found["same_label"]
    allowed = bar.largest_difference
    if difference is not None and math.isnan(difference):
        raise RunError(
            f"The {what} file is refused: a score is not a number. It was not published."
        )
    if difference is not None and allowed is not None and difference > allowed:
        raise RunError(
            f"The {what} file is refused: a score differs by {difference:.2g}, and "
            f"{allowed:.2g} is allowed. It was not published."
        )
    if same is None:
        raise RunError(
            f"The {what} file cannot be judged: the model answers the same to everything, as one "
            "that was not trained does. It was not published."
        )
    if same < bar.same_label:
        refusal = (
            f"The {what} file is refused: {100 * same:.4g} % of the decided pixels have the same "
            f"label, and {100 * bar.same_label:g} % are required. It was not published."
        )
        raise RunError(f"{refusal} {remedy}".rstrip())


def _scaled(size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, round(SECOND_SCALE * side)) for side in size)
