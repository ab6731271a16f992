"""Fully convolutional networks for semantic segmentation in Keras 3 and TensorFlow.

The names below are resolved when they are first used: `import fcn_tf` imports
no TensorFlow.
"""

import importlib

from fcn_tf.version import __version__

_PUBLIC = {
    "build_fcn": "fcn_tf.models",
    "load_model": "fcn_tf.models",
    "load_trunk": "fcn_tf.models",
    "load_vgg16": "fcn_tf.models",
    "shift_and_stitch": "fcn_tf.models",
    "load_published": "fcn_tf.models",
    "warm_start": "fcn_tf.models",
    "convolutionalize": "fcn_tf.models",
    "SegmentationLoss": "fcn_tf.training.segmentation_loss",
    "SegmentationMetrics": "fcn_tf.evaluation.batches",
    "load_config": "fcn_tf.config.files",
    "train": "fcn_tf.training.loop",
    "evaluate": "fcn_tf.evaluation.score",
    "Predictor": "fcn_tf.inference.predictor",
    "export": "fcn_tf.exporting.export",
}

__all__ = ["__version__", *_PUBLIC]

importlib.import_module("fcn_tf.forks")  # at once: it notes every fork from now on


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'fcn_tf' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
