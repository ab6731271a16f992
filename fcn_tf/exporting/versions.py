"""Folders MODEL/1, MODEL/2, … as TensorFlow Serving reads them: a version appears whole."""

import contextlib
import os
import shutil
from pathlib import Path

from fcn_tf.errors import InputError


def check_tree(folder):
    """Refuses a folder that is there and is not a tree of versions.

    Raises:
        InputError: it is a file, or holds something other than versions.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    others = ["it is a file"] if not folder.is_dir() else _others(folder)
    if others:
        raise InputError(
            f"{folder} is no tree of versions (1, 2, …) and is left alone: {others[0]}. Choose "
            "another --out."
        )


@contextlib.contextmanager
def new_version(folder):
    """Gives a hidden folder to write to, and renames it to the next version if all goes well.

    Args:
        folder: MODEL; made if it is not there. A server does not look at hidden folders.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{os.getpid()}"
    beside.mkdir()
    try:
        yield beside
        while True:
            version = folder / str(1 + max(_versions(folder), default=0))
            try:
                beside.rename(version)
                break
            except OSError:
                if not version.exists():
                    raise
        print(f"Written: {version}", flush=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with contextlib.suppress(OSError):  # empty, if nothing was ever published
            folder.rmdir()


def _versions(folder):
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def _others(folder):
    names = sorted(path.name for path in folder.iterdir())
    return [f"it holds {name}" for name in names if not (name.isdigit() or name.startswith("."))]
