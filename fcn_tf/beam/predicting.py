"""The labels of many images on a runner of Beam: what `predict` writes of each, by many workers."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from fcn_tf.beam.files import (
    Input,
    check_out,
    exists,
    fetched,
    fetched_model,
    find_input,
    is_remote,
    read_bytes,
    refused,
    resolved,
    upload,
    write_bytes,
)
from fcn_tf.beam.runners import (
    check_reached,
    counted_by,
    ended_pipeline,
    pipeline_options,
    works_here,
)
from fcn_tf.counted import counted
from fcn_tf.errors import InputError, RunError, failure_line
from fcn_tf.files import write_text
from fcn_tf.images.depth import Clipped
from fcn_tf.images.find import ImageFile
from fcn_tf.images.formats import IMAGE_SUFFIXES, pages_of
from fcn_tf.images.georeference import place_of, says_its_place
from fcn_tf.images.read import Pixels
from fcn_tf.inference.labelling import Labeller
from fcn_tf.inference.other_sizes import is_other_size
from fcn_tf.inference.outputs import write_files
from fcn_tf.inference.predictor import Predictor
from fcn_tf.inference.written import Prediction, Wanted

COUNTERS = "fcn_tf.predict"  # the namespace of Beam's counters
DEAD_LETTERS = "dead-letters.jsonl"
RECORD = "predict.json"  # what made the files of a folder
# Images of other sizes wait for a batch of theirs; so many batches of them lie in memory.
BATCHES_IN_MEMORY = 2
NOTES = {
    "several_pages": "{} with several pages or frames: only the first was taken.",
    "clipped": "{} with values outside of data.value_range, which are clipped.",
    "other_sizes": "{} of sizes that the file does not take, scaled or filled up.",
    "unplaced": "{} with a place on the earth, which what was written does not say: --format png "
    "and geojson say it, with pip install 'fcn_tf[maps]'.",
    "passed_over": "{} passed over: hidden, in the folder of the results, or no image files.",
}


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


def predict_on_runner(job: Job, given: str, runner: str, arguments: Sequence[str]) -> None:
    """Labels images on a runner, writes what `predict` writes, and says what was done.

    What is refused is refused before any worker starts. Images whose files are there are skipped,
    so the same command again goes on after a failure. The images that fail are in
    `dead-letters.jsonl`, a line of JSON each: `image` and `error`.

    Args:
        job: what is done with each image.
        given: the images, as in `find_input`.
        runner, arguments: as in `pipeline_options`.

    Raises:
        InputError: no such model or image, or options that do not fit the model or the runner.
        RunError: the runner failed, or images did.
    """
    out = resolved(job.out)
    model = resolved(job.model)
    job = replace(job, model=model, wanted=replace(job.wanted, out=out))
    options = pipeline_options(runner, arguments)
    paths = {"--model": model, "--input": resolved(given), "--out": out}
    check_reached(runner, options, paths)
    images = find_input(given)
    shared = Shared()
    # A model that the workers would refuse is refused here.
    _ = loaded(job, shared) if works_here(runner, options) else _load(job)
    check_out(out)
    _check_record(job)

    with ended_pipeline(runner, options) as pipeline:
        _build(pipeline, job, images, shared)
    _say(counted_by(pipeline, COUNTERS), job)


def _build(pipeline: beam.Pipeline, job: Job, images: Input, shared: Shared) -> None:
    """The steps: list the images, spread them over the workers, label, write dead letters."""
    name, suffix = os.path.splitext(DEAD_LETTERS)
    dead_letters = beam.io.WriteToText(
        f"{job.out}/{name}", file_name_suffix=suffix, num_shards=1, shard_name_template=""
    )
    _ = (
        pipeline
        | "Pattern" >> beam.Create([images.pattern])
        | "List" >> fileio.MatchAll()
        | "Choose" >> beam.ParDo(ChooseImages(images, job.out))
        | "Spread" >> beam.Reshuffle()
        | "Label" >> beam.ParDo(LabelImages(job, images.base, shared))
        | "Lines" >> beam.Map(lambda letter: json.dumps(letter, ensure_ascii=False))
        | "DeadLetters" >> dead_letters
    )


def loaded(job: Job, shared: Shared) -> Labeller:
    """The labeller of this process, loaded once for all its threads.

    Raises:
        InputError: there is no such model, or options do not fit it.
    """
    return shared.acquire(lambda: _load(job))


def _load(job: Job) -> Labeller:
    with tempfile.TemporaryDirectory() as folder:
        predictor = Predictor(
            fetched_model(job.model, folder),
            tile_px=job.tile_px,
            flip=job.flip,
            scales=job.scales,
            batch_size=job.batch_size,
        )
    return Labeller(predictor, job.wanted, job.max_pixels)


def _check_record(job: Job) -> None:
    """Refuses a folder of results that another model made, or other options; notes those of now."""
    path = f"{job.out}/{RECORD}"
    record = job.record()
    with refused(path, "cannot be read"):
        before = json.loads(read_bytes(path)) if exists(path) else record
    differs = [key for key in record if before.get(key) != record[key]]
    if differs and not job.wanted.overwrite:
        said = ", ".join(f"{key}={before.get(key)}" for key in differs)
        raise InputError(
            f"--out {job.out} exists, and holds files made with {said}: choose another folder, or "
            "--overwrite makes them again."
        )
    text = json.dumps(record, indent=1)
    with refused(job.out, "cannot be written to"):
        if is_remote(path):
            write_bytes(path, text.encode())
        else:
            write_text(path, text)


def _say(counts: Counter[str], job: Job) -> None:
    """Prints what was done.

    Raises:
        RunError: images failed.
    """
    if skipped := counts["skipped"]:
        print(f"{counted(skipped, 'finished image{}')} left out; --overwrite predicts again.")
    for name, text in NOTES.items():
        if count := counts[name]:
            unit = "file{}" if name == "passed_over" else "image{}"
            print(text.format(counted(count, unit)))
    done, broken = counts["done"], counts["broken"]
    megapixels, seconds = counts["pixels"] / 1e6, counts["model_us"] / 1e6
    print(
        f"{counted(done, 'image{}')} done, in {job.out}: {megapixels:.1f} megapixels, "
        f"{seconds:.1f} s in the model",
        flush=True,
    )
    if broken:
        raise RunError(
            f"{broken} of {done + broken} images failed, each with its reason in "
            f"{job.out}/{DEAD_LETTERS}; the same command again, without --overwrite, tries them "
            "alone."
        )


class ChooseImages(beam.DoFn):
    """The paths of the images among the files that were listed.

    Args:
        images: what was listed.
        out: the folder of the results, which are no images.
    """

    def __init__(self, images: Input, out: str) -> None:
        self._images = images
        self._out = f"{out}/"
        self._passed_over = beam.metrics.Metrics.counter(COUNTERS, "passed_over")

    def process(self, file: Any) -> Iterator[str]:
        path = file.path
        below = path.removeprefix(self._images.base)
        is_hidden = any(part.startswith(".") for part in below.split("/"))
        is_other = self._images.is_folder and not path.lower().endswith(IMAGE_SUFFIXES)
        if is_hidden or is_other or path.startswith(self._out):
            self._passed_over.inc()
        else:
            yield path


@dataclass
class _Opened:
    """An image whose pixels are read.

    Args:
        path: as it was listed.
        image: the file on this disk.
        pixels: what the model sees.
        held: removes the copy of the file.
    """

    path: str
    image: ImageFile
    pixels: Pixels
    held: ExitStack


class LabelImages(beam.DoFn):
    """Labels images by their paths and writes their files; what it gives are the dead letters.

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
        self._waiting: dict[tuple[int, ...], list[_Opened]] = {}

    def process(self, path: str) -> Iterator[dict[str, str]]:
        name = Path(path.removeprefix(self._base))
        if not self._job.wanted.overwrite and self._is_finished(path, name):
            _count("skipped")
            return
        try:
            one = self._opened(path, name)
        except Exception as error:  # whatever it is, the others go on
            yield _dead_letter(path, path, error)
            return
        size = one.pixels.shape[:2]
        same = self._waiting.setdefault(size, [])
        same.append(one)
        if len(same) >= self._job.batch_size:
            yield from self._label(self._waiting.pop(size))
        elif sum(map(len, self._waiting.values())) >= BATCHES_IN_MEMORY * self._job.batch_size:
            most = max(self._waiting, key=lambda size: len(self._waiting[size]))
            yield from self._label(self._waiting.pop(most))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        while self._waiting:
            _, images = self._waiting.popitem()
            for letter in self._label(images):
                yield WindowedValue(letter, window.max_timestamp(), [window])

    def _is_finished(self, path: str, name: Path) -> bool:
        """Whether all files of an image are there, those of a map or those of another image."""
        wanted = self._job.wanted
        if not is_remote(path):
            try:
                sets: Iterable[Any] = [wanted.paths(ImageFile(Path(path), name))]
            except InputError:  # it is named when its turn comes
                return False
        else:
            sets = [wanted.named(name, is_map) for is_map in (False, True)]
        return any(all(exists(self._place(file)) for file in files.values()) for files in sets)

    def _place(self, file: Path) -> str:
        """Where a file of the results goes; a `Path` of a URL has lost a slash."""
        below = file.relative_to(Path(self._job.out)).as_posix()
        return f"{self._job.out}/{below}"

    def _opened(self, path: str, name: Path) -> _Opened:
        with ExitStack() as held:
            local = Path(path)
            if is_remote(path):
                local = fetched(path, held.enter_context(tempfile.TemporaryDirectory()))
            clipped: list[Clipped] = []
            try:
                pixels = self._labeller.opened(local, clipped)
            except InputError as error:
                raise InputError(str(error).replace(str(local), path)) from error
            _count("clipped", len(clipped))
            return _Opened(path, ImageFile(local, name), pixels, held.pop_all())

    def _label(self, images: Sequence[_Opened]) -> Iterator[dict[str, str]]:
        """Labels images of one size and writes their files; one that fails stops no other."""
        started = time.perf_counter()
        try:
            predicted = self._labeller.predictions([(one.image.path, one.pixels) for one in images])
        except Exception as error:
            if len(images) > 1:
                for one in images:
                    yield from self._label([one])
            else:
                images[0].held.close()
                yield _dead_letter(images[0].path, str(images[0].image.path), error)
            return
        _count("model_us", round(1e6 * (time.perf_counter() - started)))
        for one, prediction in zip(images, predicted, strict=True):
            with one.held:
                letter = self._written(one, prediction)
            if letter is not None:
                yield letter

    def _written(self, one: _Opened, predicted: Prediction) -> dict[str, str] | None:
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
            return _dead_letter(one.path, str(one.image.path), error)
        if is_remote(self._job.out):
            for path in paths.values():
                below = path.relative_to(wanted.out).as_posix()
                upload(path, f"{self._job.out}/{below}")
        self._note(one)
        return None

    def _note(self, one: _Opened) -> None:
        """Counts a finished image, and what there is to say of it."""
        height_px, width_px = one.pixels.shape[:2]
        path, wanted = one.image.path, self._job.wanted
        _count("done")
        _count("pixels", height_px * width_px)
        _count("several_pages", int(pages_of(path) > 1))
        model = self._labeller.predictor.model
        _count("other_sizes", int(is_other_size(model, (height_px, width_px))))
        says_so = place_of(path) is not None and {"png", "geojson"} & set(wanted.formats)
        _count("unplaced", int(says_its_place(path) and not says_so))


def _count(name: str, count: int = 1) -> None:
    if count:
        beam.metrics.Metrics.counter(COUNTERS, name).inc(count)


def _dead_letter(path: str, local: str, error: Exception) -> dict[str, str]:
    """What is written of an image that failed.

    Args:
        path: of the image, as it was listed.
        local: of its copy on this disk.
        error: why; a full disk is raised again, as it is no fault of the image.
    """
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    _count("broken")
    reason = failure_line(Path(local), error).replace(local, path)
    return {"image": path, "error": reason.removeprefix(f"{path}: ")}
