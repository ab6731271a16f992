"""Files where workers have them: on a disk, or in a bucket, by Beam's file systems."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from fcn_tf.config.export_record import EXPORT_FILE
from fcn_tf.errors import InputError
from fcn_tf.files import make_folder
from fcn_tf.quiet import library_messages_dropped

PATTERN = re.compile(r"[*?\[]")
# Folders of a run that no prediction reads; the checkpoints are three times the model.
NOT_THE_MODEL = ("checkpoints", "report", "tensorboard")


def is_remote(path: str) -> bool:
    """Whether a path is a URL, gs://… for example, and not one of a disk."""
    return "://" in path


def resolved(path: str) -> str:
    """A path that means the same in every process of a machine; a URL stays, less a final slash."""
    return path.rstrip("/") if is_remote(path) else str(Path(path).expanduser().absolute())


def exists(path: str) -> bool:
    """Whether a file is there."""
    return FileSystems.exists(path) if is_remote(path) else os.path.exists(path)


@contextlib.contextmanager
def refused(path: str, what: str) -> Iterator[None]:
    """Turns whatever a file system says of a path into one line that names it.

    Args:
        path: what is read or written in the block.
        what: "cannot be read", for example.

    Raises:
        InputError: the block ends with an error.
    """
    try:
        with library_messages_dropped():
            yield
    except InputError:
        raise
    except Exception as error:  # each file system raises those of its own library
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} {what}: {reason}") from error


@dataclass(frozen=True)
class Input:
    """The images that a command names.

    Args:
        pattern: as Beam's file systems match it.
        base: what the paths of all of them begin with; the files written for an image have the
            same place below the folder of the results.
        is_folder: whether all image files below a folder are meant; else all that matches is.
    """

    pattern: str
    base: str
    is_folder: bool


def find_input(given: str) -> Input:
    """The pattern of what is given, at which something is there.

    Args:
        given: a file, a folder or a pattern, in which ** stands for folders too; a path or a URL.

    Raises:
        InputError: nothing is there, or it cannot be read.
    """
    path = resolved(given)
    if found := PATTERN.search(path):
        base = path[: path.rfind("/", 0, found.start()) + 1]
        named = Input(path, base, is_folder=False)
    else:
        with refused(given, "cannot be read"):
            is_file = os.path.isfile(path) or (is_remote(path) and exists(path))
        folder = f"{path[: path.rfind('/')]}/" if is_file else f"{path}/"
        named = Input(path if is_file else f"{path}/**", folder, is_folder=not is_file)
    with refused(given, "cannot be read"):
        if not FileSystems.match([named.pattern], [1])[0].metadata_list:
            raise InputError(
                f"{given}: no file is there. Name a file, a folder or a pattern, for example "
                "'gs://bucket/photos/**.jpg'; ** stands for folders too."
            )
    return named


def check_out(out: str) -> None:
    """Makes the folder of the results, or tries whether a bucket takes a file.

    Raises:
        InputError: it cannot be written to.
    """
    if not is_remote(out):
        make_folder(out)
        return
    trial = f"{out}/.{uuid.uuid4().hex}"
    with refused(out, "cannot be written to"):
        write_bytes(trial, b"\n")  # Beam's client of S3 writes no empty file
        FileSystems.delete([trial])


def read_bytes(path: str) -> bytes:
    """The contents of a file."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read()


def write_bytes(path: str, contents: bytes) -> None:
    """Writes a file at a URL; it appears once it is whole."""
    with _appearing(path) as beside, _created(beside) as file:
        file.write(contents)


def upload(local: Path, path: str) -> None:
    """Copies a file of this disk to a URL; it appears once it is whole."""
    with local.open("rb") as read, _appearing(path) as beside, _created(beside) as file:
        shutil.copyfileobj(read, file)


def _created(path: str) -> BinaryIO:
    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def _appearing(path: str) -> Iterator[str]:
    """Gives a name beside, which becomes the file when the block ends well."""
    folder, name = FileSystems.split(path)
    beside = FileSystems.join(folder, f".{uuid.uuid4().hex}.{name}")
    yield beside
    if exists(path):
        FileSystems.delete([path])  # not every file system renames over what is there
    FileSystems.rename([beside], [path])


def fetched(path: str, folder: str | os.PathLike[str]) -> Path:
    """A copy of a file in a folder of this disk, under its own name.

    Args:
        path: a URL; of a path on a disk that path itself is given.
        folder: where it is copied to.
    """
    if not is_remote(path):
        return Path(path)
    copy = Path(folder, PurePosixPath(path).name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    compressed = CompressionTypes.UNCOMPRESSED
    with FileSystems.open(path, compression_type=compressed) as read, copy.open("wb") as file:
        shutil.copyfileobj(read, file)
    return copy


def fetched_model(model: str, folder: str | os.PathLike[str]) -> Path:
    """A copy of a model in a folder of this disk: a file with its export.json, or a whole folder.

    Args:
        model: as in `fetched`.
        folder: as in `fetched`.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if not is_remote(model):
        return Path(model).expanduser()
    with refused(model, "cannot be read as a model"):
        if exists(model):
            record = f"{model[: model.rfind('/')]}/{EXPORT_FILE}"
            if exists(record):
                fetched(record, folder)
            return fetched(model, folder)
        files = [one.path for one in FileSystems.match([f"{model}/**"])[0].metadata_list]
        if not files:
            raise InputError(f"{model} is no model: there is no such file or folder.")
        for path in files:
            below = PurePosixPath(path.removeprefix(f"{model}/"))
            if below.parts[0] not in NOT_THE_MODEL:
                fetched(path, Path(folder, below.parent))
    return Path(folder)
