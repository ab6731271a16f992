"""An ONNX file, for ONNX Runtime, OpenVINO and Triton."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.exporting.formats import ONNX_OPSET, Job
from fcn_tf.quiet import stderr_held_back

PIXELS = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
SIDES = ("N", "H", "W")  # the names of the free dimensions, before the channels
LARGE = 5_000  # numbers of a kernel from which on it is put in after the conversion


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes STEM-KIND.onnx; see `fcn_tf.exporting.formats`.

    The file takes `images` uint8 (N, H, W, 3), all sides free, and gives `scores` float32
    (N, H, W, C), softmax.
    """
    import tf2onnx

    network = job.model.with_policy("float32")
    kernels = _large_kernels(network)
    specs = [PIXELS, *(tf.TensorSpec(one.shape, name=name) for name, one in kernels.items())]
    with stderr_held_back():
        model, _ = tf2onnx.convert.from_function(
            _scores_of(network, list(kernels.values()), specs), specs, opset=ONNX_OPSET
        )
    _put_in(model.graph, {name: one.numpy() for name, one in kernels.items()})
    for tensor in (*model.graph.input, *model.graph.output):
        for side, dimension in zip(SIDES, tensor.type.tensor_type.shape.dim, strict=False):
            dimension.dim_param = side
    path = folder / f"{job.stem}-{kind}.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _large_kernels(network: keras.Model) -> dict[str, Any]:
    """The kernels that the converter does not see, by the names that stand for them.

    It copies every constant dozens of times.
    """
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    kernels = [layer.kernel for layer in network.layers if isinstance(layer, kinds)]
    large = [kernel for kernel in kernels if np.prod(kernel.shape) >= LARGE]
    return {f"kernel_{number}": kernel for number, kernel in enumerate(large)}


def _scores_of(
    network: keras.Model, kernels: Sequence[Any], specs: Sequence[tf.TensorSpec]
) -> Callable[..., Any]:
    """A `tf.function` of images and kernels; the other weights are constants."""
    places = {id(kernel): place for place, kernel in enumerate(kernels)}

    def taken(variables: Sequence[Any]) -> list[Any]:
        return [None if id(one) in places else one.numpy() for one in variables]

    groups = network.trainable_variables, network.non_trainable_variables
    constants = [taken(variables) for variables in groups]

    @tf.function(input_signature=specs)
    def scores(images, *given):
        weights = [
            [
                given[places[id(variable)]] if value is None else value
                for variable, value in zip(variables, values, strict=True)
            ]
            for variables, values in zip(groups, constants, strict=True)
        ]
        logits, _ = network.stateless_call(*weights, images, training=False)
        return {"scores": tf.nn.softmax(logits)}

    return scores


def _put_in(graph: Any, kernels: Mapping[str, NDArray[np.float32]]) -> None:
    """Makes constants of the inputs of an ONNX graph that have the names of kernels.

    The operators that turn them from TensorFlow's layout to that of ONNX become part of them.
    """
    from onnx import numpy_helper

    constants = dict(kernels)
    for node in list(graph.node):
        if node.op_type == "Transpose" and node.input[0] in kernels:
            (order,) = (one.ints for one in node.attribute if one.name == "perm")
            constants[node.output[0]] = np.transpose(kernels[node.input[0]], order)
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for name, values in constants.items():
        if name in used:
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    for tensor in list(graph.input):
        if tensor.name in kernels:
            graph.input.remove(tensor)


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """Loads an ONNX file in ONNX Runtime.

    This text is executed alone, in a process without this package: every name that it uses is
    imported or made inside.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(artefact, providers=["CPUExecutionProvider"])
    return lambda image: {"scores": session.run(["scores"], {"images": image[None]})[0][0]}
