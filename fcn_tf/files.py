"""Text files read, and files that are whole or not there: written beside, then renamed."""

import codecs
import contextlib
import os
import re
from pathlib import Path

from fcn_tf.errors import InputError


@contextlib.contextmanager
def written_whole(path):
    """Gives a path to write to, and renames it to `path` when the block ends well.

    The suffix is kept, since writers choose the format by it. If the block
    fails, what stood at `path` stays as it was. A process that is killed in it
    leaves a file beside; see `remove_unfinished`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut may leave the name and not the bytes
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def make_folder(path):
    """Makes a folder for results, before any work is done for them.

    Raises:
        InputError: it is a file, or cannot be written to.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made a folder: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"{path} cannot be written to: choose another folder.")


def is_unfinished(path):
    """Whether a file is one that `written_whole` writes to."""
    return re.fullmatch(r"\..+\.\d+(\.\w+)?", Path(path).name) is not None


def remove_unfinished(folder):
    """Removes what killed processes left in a folder, and in those below, that is ours alone."""
    for path in Path(folder).rglob(".*"):
        if is_unfinished(path):
            path.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a text file whole, in UTF-8."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def read_text(path):
    """The text of a file in UTF-8, or in UTF-16 with the mark that Windows' programs write.

    Raises:
        InputError: it cannot be read as such.
    """
    try:
        contents = Path(path).read_bytes()
        is_utf16 = contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        # Notepad begins a file with a mark, which utf-8-sig takes away.
        text = contents.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path} cannot be read as text in UTF-8: line {line} has the byte "
            f"{contents[error.start]:#04x}. Save it in UTF-8."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read as text in UTF-8: {error}") from error
    if "\0" in text:
        raise InputError(f"{path} cannot be read as text in UTF-8: it has zeros. Save it in UTF-8.")
    return text


def read_lines(path):
    """The lines of a text file, without the empty ones and the spaces around.

    Raises:
        InputError: as in `read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]
