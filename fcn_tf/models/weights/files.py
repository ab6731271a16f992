"""Files of weights, read as arrays by name. No code in a file is run.

The files are of Keras' classifiers (.keras, .weights.h5, .h5) or of published FCNs (.pth,
.npz, .safetensors). A file whose content is not what its suffix says is refused with an
`InputError`.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error

# The keys under which checkpoints of a training keep the tensors.
CHECKPOINT_KEYS = ("model_state_dict", "state_dict", "model")
# The names of the Chainer port and PyTorch's.
CHAINER_PARTS = {"/W": ".weight", "/b": ".bias"}


def read_keras_weights(path: str | Path) -> dict[str, list[NDArray[Any]]]:
    """Reads the weights of a Keras model, layer by layer.

    Args:
        path: a model saved as .keras or .h5, or its weights as .weights.h5 or .h5.

    Returns:
        The arrays of each layer that has any, in Keras' order: of a convolution its kernel and
        its bias.

    Raises:
        InputError: there is no such file, or it is not one of these.
    """
    path = existing_file(path, (".keras", ".h5"))
    content: Path | io.BytesIO = path
    with unreadable_as_input_error(path, "weights saved by Keras"):
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content) as file:
            arrays = _keras_2_layers(file) or _keras_3_layers(file)
    if not arrays:
        raise InputError(
            f"{path} names no layers: save the model again with the installed Keras, as .keras."
        )
    return arrays


def read_published(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Reads the tensors of a published FCN.

    Args:
        path: a PyTorch state_dict or checkpoint (.pth, .pt, .tar), an .npz or a .safetensors.
            Tensors are named conv1_1.weight, conv1_1.bias, … (in an .npz of the Chainer port
            conv1_1/W and conv1_1/b). Their axes are in the order of PyTorch and Caffe,
            (out, in, height, width).

    Returns:
        float32 arrays by PyTorch's names.

    Raises:
        InputError: there is no such file, it is not one of these, or it holds code, which is
            not run.
    """
    readers: dict[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
        ".pth": _read_torch,
        ".pt": _read_torch,
        ".tar": _read_torch,
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
    }
    path = existing_file(path, readers)
    tensors = {}
    for name, tensor in readers[path.suffix](path).items():
        if tensor.dtype.kind not in "fiu":
            raise InputError(f"{path}: {name} is of type {tensor.dtype}, not numbers.")
        name = name.removeprefix("module.")  # of torch's DataParallel
        for chainer, part in CHAINER_PARTS.items():
            if name.endswith(chainer):
                name = name.removesuffix(chainer) + part
        tensors[name] = np.asarray(tensor, np.float32)
    return tensors


def existing_file(path: str | Path, suffixes: Iterable[str]) -> Path:
    """The path of a file of weights.

    Raises:
        InputError: there is no such file, or it has another suffix.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    if path.suffix not in suffixes:
        raise InputError(f"{path}: weights are read from {', '.join(suffixes)} files.")
    return path


def _keras_3_layers(file: h5py.File) -> dict[str, list[NDArray[Any]]]:
    """The layers of Keras 3's format, which stores a layer's name beside its variables."""
    arrays = {}

    def visit(_: str, group: Any) -> None:
        if isinstance(group, h5py.Group) and "name" in group.attrs and len(group):
            arrays[group.attrs["name"]] = [group[key][()] for key in sorted(group, key=int)]

    # A model that is a class of its own keeps layers by the names of its attributes, too.
    for name, group in file.items():
        if name != "optimizer":
            group.visititems(visit)
    return arrays


def _keras_2_layers(file: h5py.File) -> dict[str, list[NDArray[Any]]]:
    """The layers of Keras' older .h5 format, in which keras.applications is published."""
    root = file.get("model_weights", file)
    arrays = {}
    for name in root.attrs.get("layer_names", ()):
        group = root[_text(name)]
        if len(group.attrs["weight_names"]):
            arrays[_text(name)] = [group[_text(n)][()] for n in group.attrs["weight_names"]]
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _read_torch(path: Path) -> dict[str, NDArray[Any]]:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: PyTorch's files are read by torch: pip install 'fcn_tf[import]'."
        ) from error
    content = _load_torch(path, torch)
    for key in CHECKPOINT_KEYS:
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not tensors by name.")
    others = [str(k) for k, v in content.items() if not (isinstance(k, str) and torch.is_tensor(v))]
    if others:
        raise InputError(f"{path} holds other things than tensors by name: {', '.join(others)}.")
    return {name: tensor.detach().float().numpy() for name, tensor in content.items()}


def _load_torch(path: Path, torch: Any) -> Any:
    """The content of a file of PyTorch; no code in it is run."""
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith((b"PK", b"\x80")):  # torch's zip, or its older bare pickle
        raise InputError(f"{path} is no file of PyTorch: it starts with {start!r}.")
    with unreadable_as_input_error(path, "a file of PyTorch"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{path} holds more than tensors, and code from a file is not run: save its "
                "state_dict alone."
            ) from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with unreadable_as_input_error(path, ".npz with numeric arrays"):
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise InputError(f"{path} holds one array, not tensors by name.")
        with file:
            return dict(file)


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise InputError(f"{path}: safetensors reads it: pip install 'fcn_tf[import]'.") from error
    with unreadable_as_input_error(path, ".safetensors"):
        return load_file(path)
