"""Seconds that a report takes beside its predictions: 736 images of 375×500, 21 classes.

python benchmarks/report.py
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from fcn_tf.artefacts import Network
from fcn_tf.classes import VOC_CLASSES, voc_palette
from fcn_tf.data.source import Source
from fcn_tf.predictor import Predictor
from fcn_tf.scoring import write_report

IMAGES, SIZE_PX, CLASSES = 736, (375, 500), len(VOC_CLASSES)
SECONDS_AT_MOST = 60


def main():
    random = np.random.default_rng(0)
    scores = random.random((1, *SIZE_PX, CLASSES), np.float32)
    scores /= scores.sum(axis=-1, keepdims=True)
    network = Network(
        scores=lambda images: scores,
        labels=lambda images: scores.argmax(-1).astype(np.uint8),
        num_classes=CLASSES,
        class_names=VOC_CLASSES,
        palette=voc_palette(CLASSES).tolist(),
        margin_px=None,
    )
    image = random.integers(0, 256, (*SIZE_PX, 3), np.uint8)
    mask = np.kron(random.integers(0, CLASSES, (15, 20)), np.ones((25, 25))).astype(np.uint8)

    def decode(number, window=None):
        return {
            "image": tf.constant(image),
            "segmentation_mask": tf.constant(mask[..., None]),
            "file_name": tf.strings.as_string(number),
        }

    source = Source(
        class_names=VOC_CLASSES,
        split_sizes={"val": IMAGES},
        records=lambda split: tf.data.Dataset.range(IMAGES),
        image_size=lambda record: tf.constant(SIZE_PX),
        decode=decode,
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_report({"constant": Predictor(network)}, source, "val", Path(folder))
        seconds = time.perf_counter() - started
    print(f"{seconds:.1f} s for {IMAGES} images of {SIZE_PX[0]}×{SIZE_PX[1]}")
    sys.exit(seconds > SECONDS_AT_MOST)


if __name__ == "__main__":
    main()
