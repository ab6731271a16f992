"""The run folder: its place, who may write to it, and what it was configured with."""

import contextlib
import fcntl
import os
from pathlib import Path

from fcn_tf.config_files import RUN_CONFIG_FILE, dump_config, recipe_name
from fcn_tf.errors import InputError
from fcn_tf.files import remove_unfinished, write_text
from fcn_tf.version import __version__


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
        Whether a run is to be resumed.

    Raises:
        InputError: it is refused.
    """
    workdir = Path(workdir)
    if (workdir / RUN_CONFIG_FILE).is_file():
        if resume != "never":
            return True
        what = "holds a run"
        more = "go on with it by --resume, choose another --workdir, or remove it"
    elif workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        what, more = "is not an empty folder", "choose another --workdir, or remove it"
    elif resume == "always":
        raise InputError(
            f"workdir={workdir} holds no run to resume: name its --workdir, or leave --resume out."
        )
    else:
        return False
    raise InputError(f"workdir={workdir} {what} and is left alone: {more}.")


@contextlib.contextmanager
def locked(workdir):
    """Keeps the folder of a run, which has to be there, from a second process.

    Raises:
        InputError: another process trains in it.
    """
    folder = os.open(workdir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise InputError(f"workdir={workdir}: another process trains in it.") from error
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(folder)


def create_run_dir(workdir, config):
    """Makes the folder of a run, with config.yaml in it; cleans one that is there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        remove_unfinished(workdir)
        write_text(workdir / RUN_CONFIG_FILE, dump_config(config, __version__))
    except OSError as error:
        raise InputError(f"workdir={workdir} cannot be made: {error.strerror}.") from error
