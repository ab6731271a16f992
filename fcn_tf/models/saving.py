"""Models on disk: a `.keras` file, or the run folder that holds it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error, written_whole
from fcn_tf.models.fcn import FCN

MODEL_FILE = "model.keras"


def save_model(model: FCN, path: str | Path) -> None:
    """Saves a model under the float32 policy, so that every machine computes the same from it.

    Args:
        model: an `FCN` under any policy.
        path: the file to write, ending in .keras. An existing file is replaced once the new
            one is complete.
    """
    # A copy, which has the weights but not what a training has added to the model.
    model = model.with_policy("float32")
    with written_whole(path) as beside:
        model.save(beside)


def load_model(path: str | Path) -> FCN:
    """Loads a model; no code from the file is run.

    Args:
        path: a `.keras` file or a run folder.

    Raises:
        InputError: there is no such file, or it does not hold a model of this package.

    Example:
        >>> model = fcn_tf.load_model("runs/shapes-fcn8s")
        >>> logits = model(images, training=False)  # (N, H, W, 3) to (N, H, W, num_classes)
    """
    path = Path(path).expanduser()
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path} is no model: give a run folder that holds {MODEL_FILE}, or a .keras file."
        )
    model = load_keras_file(file)
    if not isinstance(model, FCN):
        raise InputError(f"{file} holds a {type(model).__name__}, not an FCN of this package.")
    return model


def load_keras_file(path: str | Path) -> keras.Model:
    """Loads any Keras model; no code from the file is run.

    Args:
        path: a .keras or .h5 file.

    Raises:
        InputError: Keras cannot load the file.
    """
    with unreadable_as_input_error(path, "a Keras model"):
        if Path(path).suffix == ".keras" and not zipfile.is_zipfile(path):
            raise ValueError("it is no zip file, or lacks its end.")  # Keras says "not found"
        return keras.saving.load_model(path, compile=False, safe_mode=True)
