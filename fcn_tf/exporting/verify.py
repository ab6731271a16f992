"""Every artefact is loaded again in a fresh process and compared with the model it is made of."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from fcn_tf.errors import RunError
from fcn_tf.evaluation.metrics import confusion_matrix, scores_from_confusion
from fcn_tf.image_files import resize

RUNNER = Path(__file__).with_name("run_artefact.py")
MEMORY_PIXELS = 1_000_000  # of the image on which memory is measured
SECOND_SCALE = 0.75  # every image is compared at its own size and at this


@dataclass(frozen=True)
class Bar:
    """What an artefact has to keep to.

    Args:
        largest_difference: of a score, or None where it is only reported.
        same_label: share of the pixels with the same label, among those whose two best
            scores differ by more than `margin`.
        margin: that difference.
    """

    largest_difference: float | None
    same_label: float
    margin: float


BARS = {
    "float32": Bar(1e-5, 0.9999, 1e-5),
    "float16": Bar(1e-2, 0.999, 1e-2),
    "bfloat16": Bar(None, 0.99, 1e-2),
    "dynamic": Bar(None, 0.97, 1e-2),
    "int8": Bar(None, 0.97, 1e-2),
}
# Of the largest logit: what float32 leaves open of a score after a hundred layers. A network
# differs by a third of it from itself when the same sums are taken in another order.
ROUNDING = 1e-6


class Reference:
    """Images, and what the float32 Keras model answers to them; a context, for its files.

    Args:
        model: an `FCN`.
        samples: (image uint8 (H, W, 3), labels uint8 (H, W) or None) pairs.
        size_px: (height, width) that all are brought to, or None: each is then taken
            at its own size and at `SECOND_SCALE` of it.
    """

    def __init__(self, model, samples, size_px=None):
        self.num_classes = model.num_classes
        self.folder = tempfile.TemporaryDirectory()
        self.images_file = Path(self.folder.name, "images.npz")
        self.masks, images, scores = {}, {}, {}
        self.largest_logit = 0.0

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
        def predict(image):
            logits = model(image, training=False)
            return tf.nn.softmax(logits)[0], tf.reduce_max(tf.abs(logits))

        for index, (image, mask) in enumerate(samples):
            for size in [size_px] if size_px else [image.shape[:2], _scaled(image.shape[:2])]:
                name = f"{index}_{size[0]}x{size[1]}"
                images[name] = resize(image, size)
                if mask is not None:
                    self.masks[name] = resize(mask, size, Image.Resampling.NEAREST)
                found, logit = predict(images[name][None])
                scores[f"scores_{name}"] = found.numpy()
                self.largest_logit = max(self.largest_logit, float(logit))
        self.names = list(images)
        np.savez(self.images_file, **images)
        np.savez(Path(self.folder.name, "reference.npz"), **scores)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.folder.cleanup()

    def compare(self, artefact, precision, max_pixels=MEMORY_PIXELS):
        """Runs an artefact on the images.

        Args:
            artefact: a SavedModel's folder or a .tflite file.
            precision: a key of `BARS`.
            max_pixels: int, the largest image that it takes.

        Returns:
            dict for export.json: largest_difference, same_label and what they are held
            to, mean_iou and reference_mean_iou (None without masks), and of a SavedModel
            bytes_per_pixel, the memory of a call.

        Raises:
            RunError: it does not run, or does not keep to its bar.
        """
        results_file = Path(self.folder.name, "results.npz")
        files = [str(path) for path in (RUNNER, artefact, self.images_file, results_file)]
        command = [sys.executable, "-I", *files, str(min(max_pixels, MEMORY_PIXELS))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise RunError(f"The {precision} {_kind(artefact)} does not run: {last}")
        bar = self._with_room_for_rounding(BARS[precision])
        found = self._differences(results_file, bar)
        found |= json.loads(done.stdout.splitlines()[-1])
        _judge(found, bar, f"{precision} {_kind(artefact)}")
        return found

    def _with_room_for_rounding(self, bar):
        least = ROUNDING * self.largest_logit
        allowed = bar.largest_difference and max(bar.largest_difference, least)
        return replace(bar, largest_difference=allowed, margin=max(bar.margin, least))

    def _differences(self, results_file, bar):
        largest, same, decided = None, 0, 0
        matrices = np.zeros((2, self.num_classes, self.num_classes), np.int64)
        reference_file = Path(self.folder.name, "reference.npz")
        with np.load(reference_file) as references, np.load(results_file) as results:
            for name in self.names:
                reference = references[f"scores_{name}"]  # (H, W, C)
                labels = reference.argmax(-1)
                if f"labels_{name}" in results.files:
                    answer = results[f"labels_{name}"]
                else:
                    scores = results[f"scores_{name}"]
                    largest = max(largest or 0.0, float(np.abs(scores - reference).max()))
                    answer = scores.argmax(-1)
                best = np.partition(reference, -2, axis=-1)[..., -2:]
                is_decided = best[..., 1] - best[..., 0] > bar.margin
                decided += int(is_decided.sum())
                same += int((is_decided & (labels == answer)).sum())
                for matrix, predicted in zip(matrices, (answer, labels), strict=True):
                    if name in self.masks:
                        matrix += confusion_matrix(self.masks[name], predicted, self.num_classes)
        ious = [
            float(scores_from_confusion(matrix.astype(np.float64))["mean_iou"])
            if self.masks
            else None
            for matrix in matrices
        ]
        return {
            "largest_difference": largest,
            "largest_difference_allowed": bar.largest_difference,
            "same_label": same / decided if decided else None,
            "same_label_required": bar.same_label,
            "margin_of_best_scores": bar.margin,
            "mean_iou": ious[0],
            "reference_mean_iou": ious[1],
            "images": len(self.names),
        }


def _judge(found, bar, what):
    difference, same = found["largest_difference"], found["same_label"]
    allowed = bar.largest_difference
    if difference is not None and allowed is not None and not difference <= allowed:
        raise RunError(
            f"The {what} file is refused: a score differs by {difference:.2g}, and "
            f"{allowed:.2g} is allowed. It was not published."
        )
    if same is None:
        raise RunError(
            f"The {what} file cannot be judged: the model answers the same to everything, as one "
            "that was not trained does. It was not published."
        )
    if not same >= bar.same_label:
        raise RunError(
            f"The {what} file is refused: {100 * same:.2f} % of the decided pixels have the same "
            f"label, and {100 * bar.same_label:g} % are required. It was not published."
        )


def _kind(artefact):
    return "SavedModel" if Path(artefact).is_dir() else "TFLite"


def _scaled(size):
    return tuple(max(1, round(SECOND_SCALE * side)) for side in size)
