"""A bucket on this disk: bucket://NAME/FILE lies in the folder that BUCKET names.

Beam's workers find it as they find Google's: it has no folders, and a file appears when it is
closed. Writing to bucket://closed/… is refused.
"""

import os
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

VARIABLE = "FCN_TF_TEST_BUCKET"
SCHEME = "bucket"


class Bucket(FileSystem):
    @classmethod
    def scheme(cls):
        return SCHEME

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for file in sorted(root().rglob("*")):
            path = f"{SCHEME}://{file.relative_to(root()).as_posix()}"
            if file.is_file() and path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path, mime_type=None, compression_type=None):
        if path.startswith(f"{SCHEME}://closed/"):
            raise BeamIOError("403 Forbidden", {path: PermissionError("no permission")})
        local(path).parent.mkdir(parents=True, exist_ok=True)
        return local(path).open("wb")

    def open(self, path, mime_type=None, compression_type=None):
        return local(path).open("rb")

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            local(source).rename(local(destination))

    def exists(self, path):
        return local(path).is_file()

    def size(self, path):
        return local(path).stat().st_size

    def last_updated(self, path):
        return local(path).stat().st_mtime

    def checksum(self, path):
        raise NotImplementedError

    def metadata(self, path):
        return FileMetadata(path, self.size(path))

    def delete(self, paths):
        for path in paths:
            local(path).unlink()


def root():
    return Path(os.environ[VARIABLE])


def local(path):
    """Where a file of the bucket lies."""
    return root() / path.removeprefix(f"{SCHEME}://")
