"""Files of weights, read as arrays by name; nothing in a file is run.

Keras' classifiers (.keras, .weights.h5, .h5) and published FCNs (.pth, .npz,
.safetensors). A file that is not what its suffix says is refused with an `InputError`.
"""

import io
import pickle
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

from fcn_tf.errors import InputError


def read_keras_weights(path):
    """Reads the weights of a Keras model, layer by layer.

    Args:
        path: a model saved as .keras or .h5, or its weights as .weights.h5 or .h5.

    Returns:
        dict of layer name to its arrays in Keras' order, kernel and bias of a
        convolution, for the layers that have any.

    Raises:
        InputError: no such file, or not one of these.
    """
    path = existing(path, (".keras", ".h5"))
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
        else:
            content = path
        with h5py.File(content) as file:
            arrays = _legacy_layers(file) or _named_layers(file)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as weights saved by Keras: {error}") from error
    if not arrays:
        raise InputError(
            f"{path} names no layers: save the model again with the installed Keras, as .keras."
        )
    return arrays


def read_published(path):
    """Reads the tensors of a published FCN.

    Args:
        path: a PyTorch state_dict or checkpoint (.pth, .pt, .tar), an .npz or a
            .safetensors, whose tensors are named conv1_1.weight, conv1_1.bias, …
            (in an .npz of the Chainer port conv1_1/W and conv1_1/b) and
            are laid out as in PyTorch and Caffe, (out, in, height, width).

    Returns:
        dict of name to float32 array.

    Raises:
        InputError: no such file, not one of these, or code in it, which is not run.
    """
    readers = {
        ".pth": _read_torch,
        ".pt": _read_torch,
        ".tar": _read_torch,
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
    }
    path = existing(path, readers)
    tensors = {}
    for name, tensor in readers[path.suffix](path).items():
        if tensor.dtype.kind not in "fiu":
            raise InputError(f"{path}: {name} is of type {tensor.dtype}, not numbers.")
        name = name.removeprefix("module.")  # of torch's DataParallel
        for other, published in (("/W", ".weight"), ("/b", ".bias")):
            if name.endswith(other):
                name = name.removesuffix(other) + published
        tensors[name] = np.asarray(tensor, "float32")
    return tensors


def existing(path, suffixes):
    """A file of weights as a `Path`.

    Raises:
        InputError: there is none, or it ends otherwise.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    if path.suffix not in suffixes:
        raise InputError(f"{path}: weights are read from {', '.join(suffixes)} files.")
    return path


def _named_layers(file):
    """The layers of Keras 3's format, which notes a layer's name beside its variables."""
    arrays = {}

    def visit(_, group):
        if isinstance(group, h5py.Group) and "name" in group.attrs and len(group):
            arrays[group.attrs["name"]] = [group[key][()] for key in sorted(group, key=int)]

    # Beside the layers there may be an optimizer.
    file["layers"].visititems(visit)
    return arrays


def _legacy_layers(file):
    """The layers of Keras' older .h5 format, in which keras.applications is published."""
    root = file.get("model_weights", file)
    arrays = {}
    for name in root.attrs.get("layer_names", ()):
        group = root[_text(name)]
        if len(group.attrs["weight_names"]):
            arrays[_text(name)] = [group[_text(n)][()] for n in group.attrs["weight_names"]]
    return arrays


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


def _read_torch(path):
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: PyTorch's files are read by torch: pip install 'fcn_tf[import]'."
        ) from error
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith((b"PK", b"\x80")):  # torch's zip, or its older bare pickle
        raise InputError(f"{path} is no file of PyTorch: it starts with {start!r}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, and code from a file is not run: save its "
            "state_dict alone."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as a file of PyTorch: {error}") from error
    for key in ("model_state_dict", "state_dict", "model"):  # a checkpoint of a training
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not tensors by name.")
    others = [str(k) for k, v in content.items() if not (isinstance(k, str) and torch.is_tensor(v))]
    if others:
        raise InputError(f"{path} holds other things than tensors by name: {', '.join(others)}.")
    return {name: tensor.detach().float().numpy() for name, tensor in content.items()}


def _read_npz(path):
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise InputError(f"{path} holds one array, not tensors by name.")
        with file:
            return dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as .npz with plain arrays: {error}") from error


def _read_safetensors(path):
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise InputError(f"{path}: pip install 'fcn_tf[import]' reads it.") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as .safetensors: {error}") from error
