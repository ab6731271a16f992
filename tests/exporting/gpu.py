"""TensorFlow's own opinion of which TFLite files its GPU delegate takes."""

import contextlib
import io

import tensorflow as tf


def is_for_gpus(content):
    """Whether it finds nothing in a file of fixed size that stands against it."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tf.lite.experimental.Analyzer.analyze(model_content=content, gpu_compatibility=True)
    return "Your model looks compatible with GPU delegate" in said.getvalue()
