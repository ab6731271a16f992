"""An ONNX file, for ONNX Runtime, OpenVINO and Triton."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.exporting.formats import ONNX_OPSET, Job
from fcn_tf.quiet import stderr_held_back

PIXELS = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
SIDES = ("N", "H", "W")  # the names of the free dimensions, before the channels


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes STEM-KIND.onnx; see `fcn_tf.exporting.formats`.

    The file takes `images` uint8 (N, H, W, 3), all sides free, and gives `scores` float32
    (N, H, W, C), softmax.
    """
    import tf2onnx

    logits = job.logits

    @tf.function(input_signature=[PIXELS])
    def scores(images):
        return {"scores": tf.nn.softmax(logits(images))}

    with stderr_held_back():
        model, _ = tf2onnx.convert.from_function(scores, [PIXELS], opset=ONNX_OPSET)
    for tensor in (*model.graph.input, *model.graph.output):
        for side, dimension in zip(SIDES, tensor.type.tensor_type.shape.dim, strict=False):
            dimension.dim_param = side
    path = folder / f"{job.stem}-{kind}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """Loads an ONNX file in ONNX Runtime.

    This text is executed alone, in a process without this package: every name that it uses is
    imported or made inside.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(artefact, providers=["CPUExecutionProvider"])
    return lambda image: {"scores": session.run(["scores"], {"images": image[None]})[0][0]}
