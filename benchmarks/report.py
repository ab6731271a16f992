"""Seconds that a report takes beside its predictions: 736 images of 375×500, 21 classes.

python benchmarks/report.py
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from toy import exit_code, parse

from fcn_tf.classes import VOC_CLASSES, voc_palette
from fcn_tf.config.types import Size
from fcn_tf.data.source import Source
from fcn_tf.evaluation.report import write_report
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.predictor import Predictor

CLASSES, BLOCK_PX = len(VOC_CLASSES), 25
SECONDS_AT_MOST = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=736)
    parser.add_argument("--size_px", type=Size.of, default=Size((375, 500)), help="in steps of 25")
    arguments = parse(parser, images=4, size_px=(50, 75))
    images, size_px = arguments.images, tuple(arguments.size_px)
    random = np.random.default_rng(0)
    scores = random.random((1, *size_px, CLASSES), np.float32)
    scores /= scores.sum(axis=-1, keepdims=True)
    network = LoadedModel(
        scores=lambda images: scores,
        labels=lambda images: scores.argmax(-1).astype(np.uint8),
        num_classes=CLASSES,
        class_names=VOC_CLASSES,
        palette=voc_palette(CLASSES).tolist(),
        margin_px=None,
    )
    image = random.integers(0, 256, (*size_px, 3), np.uint8)
    blocks = random.integers(0, CLASSES, [side // BLOCK_PX for side in size_px])
    mask = np.kron(blocks, np.ones((BLOCK_PX, BLOCK_PX))).astype(np.uint8)

    def decode(number, window=None):
        return {
            "image": tf.constant(image),
            "segmentation_mask": tf.constant(mask[..., None]),
            "file_name": tf.strings.as_string(number),
        }

    source = Source(
        class_names=VOC_CLASSES,
        split_sizes={"val": images},
        records=lambda split: tf.data.Dataset.range(images),
        image_size=lambda record: tf.constant(size_px),
        decode=decode,
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_report({"constant": Predictor(network)}, source, "val", Path(folder))
        seconds = time.perf_counter() - started
    print(f"{seconds:.1f} s for {images} images of {size_px[0]}×{size_px[1]}")
    return exit_code(seconds > SECONDS_AT_MOST, arguments)


if __name__ == "__main__":
    sys.exit(main())
