"""What a run's weights start from."""

from pathlib import Path

from fcn_tf.errors import InputError
from fcn_tf.models import load_model, load_trunk, warm_start


def check_start(config):
    """Refuses weights that are not there, before the data are read.

    Raises:
        InputError: `init_from` or `model.weights` names nothing.
    """
    weights, init_from = config.model.weights, config.init_from
    if weights not in ("imagenet", "none") and not Path(weights).expanduser().is_file():
        raise InputError(f"model.weights={weights}: it is neither imagenet, none nor a file.")
    if init_from is not None and not Path(init_from).expanduser().exists():
        raise InputError(f"init_from={init_from}: there is no such run or file.")


def start(model, config):
    """Gives a fresh model the weights that the `Config` names.

    Raises:
        InputError: they do not fit.
    """
    weights, init_from = config.model.weights, config.init_from
    if init_from is not None:
        print(f"Weights of {init_from}: {warm_start(model, load_model(init_from))}.", flush=True)
    elif weights != "none":
        transfer = load_trunk(model, weights, config.model.weights_layers)
        print(f"Weights of {weights}: {transfer}.", flush=True)
