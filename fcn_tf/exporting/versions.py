"""Folders MODEL/1, MODEL/2, … as TensorFlow Serving reads them: a version appears whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fcn_tf.config.export_record import is_version, newest_version
from fcn_tf.errors import InputError


def check_tree(folder: str | Path) -> None:
    """Refuses a path that exists and is not a folder of versions.

    Raises:
        InputError: it is a file, or holds something other than versions.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    others = ["it is a file"] if not folder.is_dir() else _others(folder)
    if others:
        raise InputError(
            f"{folder} is no folder of versions (1, 2, …): {others[0]}. It was left as it is: "
            "choose another --out."
        )


@contextlib.contextmanager
def new_version(folder: str | Path) -> Iterator[Path]:
    """Gives a hidden folder to write to, and renames it to the next version if the block ends well.

    A server does not look at hidden folders.

    Args:
        folder: MODEL; made if it does not exist.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{os.getpid()}"
    beside.mkdir()
    try:
        yield beside
        while True:
            newest = newest_version(folder)
            version = folder / str(1 + int(newest.name) if newest else 1)
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


def _others(folder: Path) -> list[str]:
    """What a folder holds besides versions and hidden files."""
    paths = sorted(folder.iterdir())
    return [f"it holds {p.name}" for p in paths if not (is_version(p) or p.name.startswith("."))]
