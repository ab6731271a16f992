"""Files that are whole or not there: written beside their place, then renamed."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def written_whole(path):
    """Gives a path to write to, and renames it to `path` when the block ends well.

    The suffix is kept, since writers choose the format by it. If the block
    fails, what stood at `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a text file whole, in UTF-8."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")
