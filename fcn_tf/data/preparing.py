"""A data set of TFDS made of labelled images: `fcn-tf prepare`, in this process.

`fcn_tf.beam.preparing` does the same by workers of Beam.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.counted import counted
from fcn_tf.data.pipeline import open_source
from fcn_tf.data.skipped import NAMED, Skipped
from fcn_tf.data.source import Source
from fcn_tf.data.tfds_source import INFO_FILE, open_builder
from fcn_tf.data.to_store import ToStore, Unusable, to_store
from fcn_tf.errors import InputError, RunError
from fcn_tf.files import shown_name
from fcn_tf.progress import with_progress
from fcn_tf.quiet import library_messages_dropped

VERSION = "1.0.0"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MADE_OF = "fcn_tf_made_of"  # the key of the metadata for a hash of what was stored
# The notes of what was stored, with the key of their counts.
NOTES = {
    "turned": "{} turned by EXIF orientation, and stored so.",
    "encoded": "{} stored as PNG, as not every reader makes the same pixels of their files; the "
    "others are stored as their files are.",
}


@dataclass(frozen=True)
class Preparation:
    """What is stored, and where.

    Args:
        data: the configuration of the data set, resolved.
        source: the data set.
        out: the folder of the new one, which has its name; a path or a URL.
        made_of: a hash of all that the result follows from.
    """

    data: DataConfig
    source: Source
    out: str
    made_of: str

    @property
    def path(self) -> str:
        """The folder of the new data set that has `dataset_info.json`."""
        return f"{self.out}/{VERSION}"

    @property
    def total(self) -> int:
        """The images of all splits."""
        return sum(self.source.split_sizes.values())

    def features(self) -> Any:
        """The features, which `choose_features` finds by their types."""
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "segmentation_mask": tfds.features.Image(
                    shape=(None, None, 1), encoding_format="png"
                ),
                "file_name": tfds.features.Text(),
            }
        )

    def metadata(self) -> dict[str, Any]:
        """The names of the classes, their colours if the data set has some, and `made_of`."""
        colors = [[int(value) for value in color] for color in self.source.colors or ()]
        return {
            "class_names": list(self.source.class_names),
            **({"class_colors": colors} if colors else {}),
            MADE_OF: self.made_of,
        }


@dataclass
class Stored:
    """What became of the images.

    Args:
        unusable: the records that cannot be used.
        counts: how many were `turned` or `encoded`, see `NOTES`.
    """

    unusable: list[Unusable] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def open_preparation(data: DataConfig, out: str) -> Preparation:
    """Opens a data set that is to be stored, and refuses what need not be begun.

    Args:
        data: the data set, resolved.
        out: the folder of the new one; its last part is the name in TFDS.

    Raises:
        InputError: the user's files are missing or wrong, a split is empty, or the folder cannot
            be the name of a data set.
    """
    out = out.rstrip("/") if "://" in out else str(Path(out).expanduser().absolute())
    name = out.rpartition("/")[2]
    if not NAME.fullmatch(name):
        raise InputError(
            f"--out {out}: its last part is the name of the data set, so it has letters, digits "
            "and underscores alone, and begins with a letter: datasets/street for example."
        )
    source = open_source(data, trains=False)
    for split, size in source.split_sizes.items():
        if not size:
            raise InputError(f"The split {split} has no image: there is nothing to store of it.")
    return Preparation(data, source, out, _made_of(data, source))


def _made_of(data: DataConfig, source: Source) -> str:
    """A hash of the options, of the classes, and of names, sizes and times of all files."""
    coding = source.coding and replace(source.coding, drawn=None)
    how: list[Any] = [data.exif, data.value_range, data.bands, data.broken, coding, source.colors]
    digest = hashlib.sha256(repr([source.class_names, *how]).encode())
    if data.name != "folder":
        info = open_builder(data).data_path / INFO_FILE
        said = source.split_sizes, data.tfds_image, data.tfds_mask, info.read_bytes()
        digest.update(repr(said).encode())
        return digest.hexdigest()
    root = Path(data.data_dir or "").expanduser()
    for split in source.split_sizes:
        digest.update(f"\n{split}\n".encode())
        for record in source.records(split).as_numpy_iterator():
            for path in (record["image"], record["mask"]):
                below = os.path.relpath(path, os.fsencode(root))
                digest.update(below + (b" %d %d\n" % _size_and_time(path)))
    return digest.hexdigest()


def _size_and_time(path: bytes) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:  # its record is named when it is read
        return 0, 0
    return status.st_size, status.st_mtime_ns


def is_there(preparation: Preparation) -> bool:
    """Whether the folder holds this very data set, whole.

    Raises:
        InputError: it holds another one or other files, or the data set in it is damaged.
    """
    out, path = tfds.core.Path(preparation.out), tfds.core.Path(preparation.path)
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"--out {preparation.out} is a file: name a folder that is not there yet.")
    if not (path / INFO_FILE).exists():
        others = [one.name for one in out.iterdir() if not one.name.startswith("incomplete.")]
        if others:
            raise InputError(
                f"--out {preparation.out} exists, and holds {shown_name(min(others))}: name a "
                "folder that is not there yet."
            )
        return False
    metadata = tfds.builder_from_directory(path).info.metadata or {}
    if metadata.get(MADE_OF) != preparation.made_of:
        raise InputError(
            f"--out {preparation.out} exists, and holds another data set, or this one as it was "
            "before files or options changed: name another folder, or delete it."
        )
    open_source(Config(data=DataConfig(tfds_name=preparation.path)).data, trains=False)
    return True


class LabelledImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The builder of a data set that gets its name from `Preparation.out`.

    Args:
        preparation: what is stored.
        splits: the examples of each split, with their numbers as keys.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self, preparation: Preparation, splits: Mapping[str, Iterator[tuple[int, Any]]]
    ) -> None:
        folder, _, self.name = preparation.out.rpartition("/")
        self.preparation, self._splits = preparation, splits
        super().__init__(data_dir=folder or "/")

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Labelled images for semantic segmentation; 255 is not labelled.",
            features=self.preparation.features(),
            metadata=tfds.core.MetadataDict(self.preparation.metadata()),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return dict(self._splits)

    def _generate_examples(self) -> Any:
        raise NotImplementedError  # the splits are given


def as_example(one: ToStore) -> dict[str, Any]:
    """The values of the features."""
    return {"image": one.image, "segmentation_mask": one.labels, "file_name": one.file_name}


def counts_of(one: ToStore) -> dict[str, int]:
    """What a stored image adds to the counts of `NOTES`."""
    return {"turned": int(one.is_turned), "encoded": int(isinstance(one.image, np.ndarray))}


def store(preparation: Preparation) -> Stored:
    """Writes the data set, in this process; nothing is left of it if it fails.

    Raises:
        RunError: records cannot be used, and are not to be skipped, or no record of a split can.
    """
    source, data, stored = preparation.source, preparation.data, Stored()
    terminal = sys.stdout

    def examples(split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        size = source.split_sizes[split]
        with contextlib.redirect_stdout(terminal):
            print(f"{split}, {counted(size, 'image{}')}:", flush=True)
            images = with_progress(to_store(source, data, split), size, "image")
        for one in images:
            if isinstance(one, Unusable):
                stored.unusable.append(one)
                continue
            stored.counts.update(counts_of(one))
            yield one.number, as_example(one)
        if split == list(source.split_sizes)[-1]:
            refuse_unusable(preparation, stored.unusable)

    builder = LabelledImages(preparation, {split: examples(split) for split in source.split_sizes})
    try:
        with library_messages_dropped():
            write(builder)
    except AssertionError:  # no example was yielded of a split
        refuse_unusable(preparation, stored.unusable)
        raise
    return stored


def write(builder: LabelledImages, **how: Any) -> None:
    """Has TFDS write a data set, without what it says of that.

    Args:
        builder: of the data set.
        **how: of `tfds.download.DownloadConfig`.
    """
    is_local = "://" not in builder.preparation.out
    has_it = importlib.util.find_spec("array_record") is not None
    tfds.disable_progress_bar()
    try:
        # Nothing is downloaded, but TFDS makes a folder for it.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_dir=folder,
                download_config=tfds.download.DownloadConfig(**how),
                # array_record's library reads and writes on disks alone.
                file_format="array_record" if is_local and has_it else "tfrecord",
            )
    finally:
        tfds.enable_progress_bar()


def refuse_unusable(preparation: Preparation, unusable: Sequence[Unusable]) -> None:
    """Raises an error that counts and names what cannot be used, unless it is skipped.

    Raises:
        RunError: some cannot be used and are not skipped, or none of a split is left.
    """
    if not unusable:
        return
    data, sizes = preparation.data, preparation.source.split_sizes
    unusable = sorted(unusable, key=lambda one: (list(sizes).index(one.split), one.number))
    first = " ".join(one.text for one in unusable[:NAMED])
    more = f" … and {len(unusable) - NAMED} more." if len(unusable) > NAMED else ""
    for split, count in Counter(one.split for one in unusable).items():
        if count == sizes[split]:
            message = f"None of the {count} images of {split} can be used; nothing was written"
            raise RunError(f"{message}: {first}{more}")
    if data.broken != "skip":
        raise RunError(
            f"{len(unusable)} of {preparation.total} images cannot be used, so nothing was "
            f"written: {first}{more} Mend them, or give --data.broken skip, which leaves them out."
        )


def lines_of(preparation: Preparation, stored: Stored) -> list[str]:
    """What was written, and how to train on it.

    Args:
        preparation: what was stored.
        stored: what became of it.
    """
    skipped = Skipped()
    for one in stored.unusable:
        skipped.note(f"{one.split}{one.number}", one.text)
    lines = [shown_name(skipped.summary() or "")]
    lines += [
        text.format(counted(stored.counts[key], "image{}"))
        for key, text in NOTES.items()
        if stored.counts[key]
    ]
    if preparation.data.bands:
        lines.append(
            "The bands that data.bands chose are stored as red, green and blue. A model that is "
            "trained on them does not know of the others: choose these before you predict."
        )
    lines.append(written_line(preparation))
    return [line for line in lines if line]


def written_line(preparation: Preparation) -> str:
    """The line that says what is there, and the command that trains on it."""
    splits = tfds.builder_from_directory(preparation.path).info.splits
    order = list(preparation.source.split_sizes)
    counts = ", ".join(f"{splits[split].num_examples} in {split}" for split in order)
    data, more = preparation.data, ""
    if data.value_range is not None:
        # The pixels have 8 bits now, but the model keeps the range for prediction.
        more = f" --data.value_range {shlex.quote(json.dumps(list(data.value_range)))}"
    command = f"fcn-tf train --data.tfds_name {shlex.quote(preparation.path)}{more}"
    return f"{preparation.path}: {counts}. To train on it: {command}"
