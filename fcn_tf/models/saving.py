"""Models on the disk: a `.keras` file, or the run folder that holds it."""

from pathlib import Path

import keras

from fcn_tf.errors import InputError
from fcn_tf.files import written_whole
from fcn_tf.models.fcn import FCN

MODEL_FILE = "model.keras"


def save_model(model, path):
    """Saves under the float32 policy, so that every machine computes the same from it.

    Args:
        model: an `FCN` under any policy.
        path: where to, ending in .keras; replaced only once the new file is whole.
    """
    # A copy, which has the weights alone and not what a training left on the model.
    model = model.with_policy("float32")
    with written_whole(path) as beside:
        model.save(beside)


def load_model(path):
    """Loads a model in any process; no code from the file is run.

    Args:
        path: a `.keras` file or a run folder.

    Returns:
        An `FCN`.

    Raises:
        InputError: there is none, or it is not a model of this package.
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


def load_keras_file(path):
    """Loads any Keras model, .keras or .h5; no code from the file is run.

    Raises:
        InputError: it cannot be loaded.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"{path} cannot be loaded as a Keras model: {message}") from error
