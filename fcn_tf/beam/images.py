"""An image in the hands of a worker of Beam: opened, written, counted, or a dead letter."""

from __future__ import annotations

import errno
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from fcn_tf.beam.files import fetched, fetched_model, is_remote, upload
from fcn_tf.errors import InputError, failure_line
from fcn_tf.images.depth import Clipped
from fcn_tf.images.find import ImageFile
from fcn_tf.images.formats import pages_of
from fcn_tf.images.georeference import place_of, says_its_place
from fcn_tf.images.read import Pixels
from fcn_tf.inference.labelling import Labeller
from fcn_tf.inference.other_sizes import is_other_size
from fcn_tf.inference.outputs import write_files
from fcn_tf.inference.predictor import Predictor
from fcn_tf.inference.written import Prediction, Wanted

COUNTERS = "fcn_tf.predict"  # the namespace of Beam's counters


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done with each image, as it is sent to the workers.

    Args:
        model: the path or the URL of a model of any kind.
        wanted: what is written, and the path or the URL of the folder for it.
        tile_px, flip, scales, batch_size: as in `Predictor`; so many images of one size run at
            once, too.
        max_pixels: as in `Labeller`.
    """

    model: str
    wanted: Wanted
    tile_px: int | None = None
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    batch_size: int = 1
    max_pixels: int | None = None

    @property
    def out(self) -> str:
        """The folder of the results."""
        return str(self.wanted.out)

    def record(self) -> dict[str, Any]:
        """What the labels follow from, as JSON has it."""
        return {
            "model": self.model,
            "tile_px": self.tile_px,
            "flip": self.flip,
            "scales": list(self.scales),
            "max_pixels": self.max_pixels,
        }


def loaded(job: Job, shared: Shared) -> Labeller:
    """The labeller of this process, loaded once for all its threads.

    Raises:
        InputError: there is no such model, or options do not fit it.
    """
    return shared.acquire(lambda: load(job))


def load(job: Job) -> Labeller:
    """Loads the model, from wherever it is.

    Raises:
        InputError: as in `loaded`.
    """
    with tempfile.TemporaryDirectory() as folder:
        predictor = Predictor(
            fetched_model(job.model, folder),
            tile_px=job.tile_px,
            flip=job.flip,
            scales=job.scales,
            batch_size=job.batch_size,
        )
    return Labeller(predictor, job.wanted, job.max_pixels)


@dataclass
class Opened:
    """An image whose pixels are read.

    Args:
        path: as it was listed.
        image: the file on this disk.
        pixels: what the model sees.
        clipped: takes the image if it has values outside of the model's range.
        held: removes the copy of the file.
    """

    path: str
    image: ImageFile
    pixels: Pixels
    clipped: list[Clipped]
    held: ExitStack


class OnImages(beam.DoFn):
    """What every step with the pixels of images has: the model, once in a process.

    Args:
        job: what is done with each.
        base: what all paths begin with.
        shared: holds the model of a process.
    """

    def __init__(self, job: Job, base: str, shared: Shared) -> None:
        self._job, self._base, self._shared = job, base, shared

    def setup(self) -> None:
        self._labeller = loaded(self._job, self._shared)
        self._classes = self._labeller.predictor.model.classes

    def opened(self, path: str) -> Opened:
        """Reads the pixels of an image, of which a copy is made where it is at a URL.

        Raises:
            InputError: it cannot be read.
        """
        with ExitStack() as held:
            local = Path(path)
            if is_remote(path):
                local = fetched(path, held.enter_context(tempfile.TemporaryDirectory()))
            clipped: list[Clipped] = []
            try:
                pixels = self._labeller.opened(local, clipped)
            except InputError as error:
                raise InputError(str(error).replace(str(local), path)) from error
            image = ImageFile(local, Path(path.removeprefix(self._base)))
            return Opened(path, image, pixels, clipped, held=held.pop_all())

    def written(self, one: Opened, predicted: Prediction) -> dict[str, str] | None:
        """Writes the files of an image; gives a dead letter where they cannot be made."""
        wanted = self._job.wanted
        if is_remote(self._job.out):
            folder = one.held.enter_context(tempfile.TemporaryDirectory())
            wanted = replace(wanted, out=folder)
        try:
            paths = wanted.paths(one.image)
            predicted = replace(predicted, place=place_of(one.image.path))
            write_files(paths, predicted, self._classes, wanted)
        except Exception as error:
            return dead_letter(one.path, str(one.image.path), error)
        if is_remote(self._job.out):
            for path in paths.values():
                below = path.relative_to(wanted.out).as_posix()
                upload(path, f"{self._job.out}/{below}")
        self._note(one)
        return None

    def _note(self, one: Opened) -> None:
        """Counts a finished image, and what there is to say of it."""
        height_px, width_px = one.pixels.shape[:2]
        path, wanted = one.image.path, self._job.wanted
        count("done")
        count("clipped", int(bool(one.clipped)))
        count("pixels", height_px * width_px)
        count("several_pages", int(pages_of(path) > 1))
        model = self._labeller.predictor.model
        count("other_sizes", int(is_other_size(model, (height_px, width_px))))
        says_so = place_of(path) is not None and {"png", "geojson"} & set(wanted.formats)
        count("unplaced", int(says_its_place(path) and not says_so))


def count(name: str, number: int = 1) -> None:
    """Adds to a counter of Beam."""
    if number:
        beam.metrics.Metrics.counter(COUNTERS, name).inc(number)


def dead_letter(path: str, local: str, error: Exception) -> dict[str, str]:
    """What is written of an image that failed.

    Args:
        path, local, error: as in `reason_of`.
    """
    reason = reason_of(path, local, error)
    count("broken")
    return {"image": path, "error": reason}


def reason_of(path: str, local: str, error: Exception) -> str:
    """Why the work on an image failed, in one line.

    Args:
        path: of the image, as it was listed.
        local: of its copy on this disk.
        error: why; a full disk is raised again, as it is no fault of the image.
    """
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    reason = failure_line(Path(local), error).replace(local, path)
    return reason.removeprefix(f"{path}: ")
