"""The labels of many images on a runner of Beam: what `predict` writes of each, by many workers."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
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
    find_input,
    is_remote,
    read_bytes,
    refused,
    resolved,
    write_bytes,
)
from fcn_tf.beam.images import COUNTERS, Job, OnImages, Opened, count, dead_letter, load, loaded
from fcn_tf.beam.runners import (
    check_reached,
    counted_by,
    ended_pipeline,
    pipeline_options,
    works_here,
)
from fcn_tf.beam.tiles import PARTS, JoinParts, LabelParts, parts_of
from fcn_tf.counted import counted
from fcn_tf.errors import InputError, RunError
from fcn_tf.files import write_text
from fcn_tf.images.find import ImageFile
from fcn_tf.images.formats import IMAGE_SUFFIXES

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


def predict_on_runner(job: Job, given: str, runner: str, arguments: Sequence[str]) -> None:
    """Labels images on a runner, writes what `predict` writes, and says what was done.

    What is refused is refused before any worker starts. Images whose files are there are skipped,
    so the same command again goes on after a failure. The images that fail are in
    `dead-letters.jsonl`, a line of JSON each: `image` and `error`. Where none fails there is no
    such file, and that of an earlier run is deleted.

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
    _ = loaded(job, shared) if works_here(runner, options) else load(job)
    check_out(out)
    _check_record(job)

    with ended_pipeline(runner, options) as pipeline:
        _build(pipeline, job, images, shared)
    _say(counted_by(pipeline, COUNTERS), job)


def _build(pipeline: beam.Pipeline, job: Job, images: Input, shared: Shared) -> None:
    """The steps: list the images, spread them over the workers, label, write dead letters."""
    name, suffix = os.path.splitext(DEAD_LETTERS)
    dead_letters = beam.io.WriteToText(
        f"{job.out}/{name}",
        file_name_suffix=suffix,
        num_shards=1,
        shard_name_template="",
        skip_if_empty=True,  # Beam's client of S3 writes no empty file
    )
    how = job, images.base, shared
    labelled = (
        pipeline
        | "Pattern" >> beam.Create([images.pattern])
        | "List" >> fileio.MatchAll()
        | "Choose" >> beam.ParDo(ChooseImages(images, job.out))
        | "Spread" >> beam.Reshuffle()
        | "Label" >> beam.ParDo(LabelImages(*how)).with_outputs(PARTS, main="letters")
    )
    joined = (
        labelled[PARTS]
        | "SpreadParts" >> beam.Reshuffle()
        | "LabelParts" >> beam.ParDo(LabelParts(*how))
        | "OfOneImage" >> beam.GroupByKey()
        | "Join" >> beam.ParDo(JoinParts(*how))
    )
    _ = (
        (labelled["letters"], joined)
        | "Letters" >> beam.Flatten()
        | "Lines" >> beam.Map(lambda letter: json.dumps(letter, ensure_ascii=False))
        | "DeadLetters" >> dead_letters
    )


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
        if number := counts[name]:
            unit = "file{}" if name == "passed_over" else "image{}"
            print(text.format(counted(number, unit)))
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


class LabelImages(OnImages):
    """Labels images by their paths and writes their files; what it gives are the dead letters.

    Of an image of many tiles it gives the parts, by the tag `PARTS`, for `fcn_tf.beam.tiles`.
    """

    def setup(self) -> None:
        super().setup()
        self._waiting: dict[tuple[int, ...], list[Opened]] = {}

    def process(self, path: str) -> Iterator[Any]:
        name = Path(path.removeprefix(self._base))
        if not self._job.wanted.overwrite and self._is_finished(path, name):
            count("skipped")
            return
        try:
            one = self.opened(path)
        except Exception as error:  # whatever it is, the others go on
            yield dead_letter(path, path, error)
            return
        if parts := parts_of(self._labeller, one.pixels.shape):
            one.held.close()
            yield from (beam.pvalue.TaggedOutput(PARTS, (path, part)) for part in parts)
            return
        size = one.pixels.shape[:2]
        same = self._waiting.setdefault(size, [])
        same.append(one)
        if len(same) >= self._job.batch_size:
            yield from self._label(self._waiting.pop(size))
        elif sum(map(len, self._waiting.values())) >= BATCHES_IN_MEMORY * self._job.batch_size:
            most = max(self._waiting, key=lambda size: len(self._waiting[size]))
            yield from self._label(self._waiting.pop(most))

    def _place(self, file: Path) -> str:
        """Where a file of the results goes; a `Path` of a URL has lost a slash."""
        below = file.relative_to(Path(self._job.out)).as_posix()
        return f"{self._job.out}/{below}"

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

    def _label(self, images: Sequence[Opened]) -> Iterator[dict[str, str]]:
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
                yield dead_letter(images[0].path, str(images[0].image.path), error)
            return
        count("model_us", round(1e6 * (time.perf_counter() - started)))
        for one, prediction in zip(images, predicted, strict=True):
            with one.held:
                letter = self.written(one, prediction)
            if letter is not None:
                yield letter
