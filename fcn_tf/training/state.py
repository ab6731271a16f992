"""The run folder: its place, who may write to it, and what it was configured with."""

import contextlib
import fcntl
from pathlib import Path

from fcn_tf.config_files import RUN_CONFIG_FILE, dump_config, recipe_name
from fcn_tf.errors import InputError
from fcn_tf.files import is_unfinished, remove_unfinished, write_text
from fcn_tf.models.saving import MODEL_FILE
from fcn_tf.training.checkpoints import CHECKPOINT_DIR, checkpoints
from fcn_tf.version import __version__

LOCK_FILE = ".lock"


def default_workdir(config_path, variant, resume="never"):
    """The first free one of runs/NAME, runs/NAME-2, …; to resume, the last one taken.

    Args:
        config_path: the YAML file that the run was configured with, or None.
        variant: the network's variant.
        resume: as in `Config`.

    Returns:
        Path; NAME is <config>-<variant>, the variant said once, or that of the run whose
        config.yaml it is. If there is nothing to resume, it is the first free one.
    """
    if config_path is None:
        name = f"own-{variant}"
    elif Path(config_path).name == RUN_CONFIG_FILE:
        name = Path(config_path).absolute().parent.name
    else:
        name = recipe_name(config_path).replace("/", "-")  # paper-fcn8s
        name = name if name.endswith(variant) else f"{name}-{variant}"
    last, number = None, 1
    while (path := Path("runs", name if number == 1 else f"{name}-{number}")).exists():
        last, number = path, number + 1
    return path if resume == "never" or last is None else last


def check_workdir(workdir, resume="never"):
    """Refuses a folder that a new run would write over, or that holds none to resume.

    Returns:
        Whether there is a checkpoint to go on from.

    Raises:
        InputError: it is refused.
    """
    workdir = Path(workdir)
    if (workdir / RUN_CONFIG_FILE).is_file():
        if resume == "never":
            raise InputError(
                f"workdir={workdir} holds a run and is left alone: go on with it by --resume, "
                "choose another --workdir, or remove it."
            )
        if checkpoints(workdir / CHECKPOINT_DIR):
            return True
        # A checkpoint comes before the first model: it was lost, and with it the run would be.
        if (workdir / MODEL_FILE).exists():
            raise InputError(
                f"workdir={workdir} holds a model but no checkpoint to go on from: choose another "
                "--workdir; --init_from takes the model's weights."
            )
    elif workdir.exists() and not _is_empty(workdir):
        raise InputError(
            f"workdir={workdir} is not an empty folder and is left alone: choose another "
            "--workdir, or remove it."
        )
    elif resume == "always":
        raise InputError(
            f"workdir={workdir} holds no run to resume: name its --workdir, or leave --resume out."
        )
    return False


def _is_empty(folder):
    """Whether it holds nothing but what a process leaves that was killed as it made it."""
    return folder.is_dir() and all(
        path.name == LOCK_FILE or is_unfinished(path) for path in folder.iterdir()
    )


@contextlib.contextmanager
def locked(workdir):
    """Makes a folder, if it is not there, and keeps a second process from it.

    Raises:
        InputError: it cannot be made, or another process trains in it.
    """
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        file = (Path(workdir) / LOCK_FILE).open("w")
    except OSError as error:
        raise InputError(f"workdir={workdir} cannot be made: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"workdir={workdir}: another process trains in it.") from error
        except OSError:  # a file system without locks
            pass
        yield


def write_config(workdir, config):
    """Writes config.yaml; removes what a killed process left in the folder."""
    remove_unfinished(workdir)
    write_text(Path(workdir) / RUN_CONFIG_FILE, dump_config(config, __version__))
