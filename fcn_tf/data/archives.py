"""Published archives: taken from the user or downloaded, checked, unpacked once."""

from __future__ import annotations

import errno
import gzip
import hashlib
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import keras

from fcn_tf.errors import InputError


@dataclass(frozen=True)
class Archive:
    """A tar file that is published.

    Args:
        file_name: its published name.
        folder: the path inside it that is used.
        urls: its mirrors, the best first.
        algorithm: "sha256" or "md5".
        digest: the published checksum, in hexadecimal.
    """

    file_name: str
    folder: str
    urls: tuple[str, ...]
    algorithm: str
    digest: str


def unpacked(
    archive: Archive, download_dir: Path, manual_dir: Path | None = None
) -> tuple[Path, bool]:
    """The folder of an archive, from the user's files or from its mirrors.

    A folder that the user has unpacked is read where it is.

    Args:
        archive: what is wanted.
        download_dir: the folder for downloads and unpacked archives.
        manual_dir: the folder in which the user has the archive or its folder, or None.

    Returns:
        The folder, and whether it is known to be the published one: True for an
        archive with the published checksum.

    Raises:
        InputError: no mirror gives the archive, or it cannot be unpacked. No
            half-unpacked folder is left.
    """
    if manual_dir is not None:
        inside = Path(archive.folder)
        for folder in (manual_dir / inside, manual_dir / inside.name):
            if folder.is_dir():
                return folder, False
        file = manual_dir / archive.file_name
        if file.is_file():
            digest = _digest(file, archive.algorithm)
            published = digest == archive.digest
            if not published:
                print(
                    f"{file} is not the published archive ({archive.algorithm} {digest}, published "
                    f"{archive.digest}); it is used as it is.",
                    flush=True,
                )
            return _unpack(file, digest, download_dir) / archive.folder, published
    file = _download(archive, download_dir, manual_dir)
    return _unpack(file, archive.digest, download_dir) / archive.folder, True


def _download(archive: Archive, download_dir: Path, manual_dir: Path | None) -> Path:
    """The downloaded file, with the right checksum."""
    # Keras takes another folder if this one is missing.
    download_dir.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in archive.urls:
        try:
            # Keras also checks the checksum of a file that was downloaded before.
            return Path(
                keras.utils.get_file(
                    archive.file_name,
                    url,
                    file_hash=archive.digest,
                    hash_algorithm=archive.algorithm,
                    cache_dir=str(download_dir),
                    cache_subdir="",
                )
            )
        except Exception as error:  # Keras raises a bare Exception for a URL that fails
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            failures.append(f"{url}: {error}")
            print(f"{url} does not give {archive.file_name}.", flush=True)
    place = manual_dir or "a folder"
    raise InputError(
        f"{archive.file_name} cannot be downloaded. Put it, or {archive.folder} unpacked, into "
        f"{place} and give --data.manual_dir {'DIR' if manual_dir is None else manual_dir}. "
        f"{'; '.join(failures)}"
    )


def _digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def _unpack(file: Path, digest: str, download_dir: Path) -> Path:
    """The folder of an unpacked tar file. Its name has the checksum, so it is never out of date."""
    folder = download_dir / "unpacked" / f"{file.name}.{digest[:16]}"
    if folder.is_dir():
        return folder
    print(f"Unpacking {file}", flush=True)
    beside = folder.with_name(f".{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)  # of a call that was killed
    beside.mkdir(parents=True)
    try:
        with tarfile.open(file) as content:
            _extract(content, beside)
        beside.rename(folder)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file} cannot be unpacked; is it cut off? {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _extract(content: tarfile.TarFile, folder: Path) -> None:
    """Writes the files of an archive below a folder, and nothing elsewhere.

    Raises:
        tarfile.TarError: a member lies elsewhere, or is neither a file nor a folder.
    """
    if hasattr(tarfile, "data_filter"):
        content.extractall(folder, filter="data")
        return
    # Python 3.11.0 to 3.11.3, which Debian 12 has, know no filters.
    for member in content.getmembers():
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is no file or folder of the archive's own.")
    content.extractall(folder)
