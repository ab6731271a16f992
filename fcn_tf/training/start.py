"""The weights that a run starts from."""

from __future__ import annotations

from pathlib import Path

import keras

from fcn_tf.config.schema import Config
from fcn_tf.errors import InputError
from fcn_tf.models import load_model, load_trunk, warm_start


def check_start(config: Config) -> None:
    """Refuses start weights that do not exist, before the data are read.

    Raises:
        InputError: there is no file or run at `init_from` or `model.weights`.
    """
    weights, init_from = config.model.weights, config.init_from
    if weights not in ("imagenet", "none") and not Path(weights).expanduser().is_file():
        raise InputError(f"model.weights={weights}: it is neither imagenet, none nor a file.")
    if init_from is not None and not Path(init_from).expanduser().exists():
        raise InputError(f"init_from={init_from}: there is no such run or file.")


def load_start_weights(model: keras.Model, config: Config) -> None:
    """Gives a fresh model the weights that `init_from` or `model.weights` names, if one does.

    Raises:
        InputError: they do not fit.
    """
    weights, init_from = config.model.weights, config.init_from
    if init_from is not None:
        print(f"Weights of {init_from}: {warm_start(model, load_model(init_from))}.", flush=True)
    elif weights != "none":
        transfer = load_trunk(model, weights, config.model.weights_layers)
        print(f"Weights of {weights}: {transfer}.", flush=True)
