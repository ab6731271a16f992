"""Text files read, and files that are whole or not there: written beside, then renamed."""

import codecs
import contextlib
import os
import re
import shutil
from pathlib import Path

from fcn_tf.errors import InputError

LONGEST_REASON = 400  # characters of a library's message; Keras shows the whole network


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


@contextlib.contextmanager
def folder_written_whole(path):
    """Gives an empty folder to write to, and renames it to `path` when the block ends well.

    A folder that stood at `path` is then removed. If the block fails, it stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        shutil.rmtree(path, ignore_errors=True)
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def make_folder(path):
    """Makes a folder for results, before any work is done for them.

    Raises:
        InputError: it is a URL or a file, or cannot be written to.
    """
    if "://" in str(path):
        raise InputError(
            f"{path} is a URL, and what is written here goes to a folder of this machine: give the "
            "path of one. (predict and prepare write to a bucket with --runner.)"
        )
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made a folder: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"{path} cannot be written to: choose another folder.")


@contextlib.contextmanager
def unreadable_as_input_error(path, kind):
    """Turns what a library says of a file that it cannot read into a line that names the file.

    Libraries raise errors of many kinds for a damaged file: also those of wrong programs.

    Args:
        path: the file, or the folder of a model.
        kind: what it is read as, "a Keras model".

    Raises:
        InputError: the file is empty, or the block ends with an error.
    """
    path = Path(path)
    try:
        if path.is_file() and not path.stat().st_size:
            raise ValueError("it is empty.")
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} …"
        raise InputError(
            f"{path} cannot be read as {kind}: {reason} (If the file is damaged, copy it again "
            "from where it came from, or make it again.)"
        ) from error


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


def shown_name(name):
    """The name of a file as text that can be shown and written anywhere.

    Args:
        name: a str, bytes or `Path`. A byte that is no UTF-8 becomes a question mark in a rhombus.
    """
    return os.fsencode(name).decode(errors="replace")


def read_lines(path):
    """The lines of a text file, without the empty ones and the spaces around.

    Raises:
        InputError: as in `read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]
