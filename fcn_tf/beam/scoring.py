"""The counts of a split on a runner of Beam: each worker counts some of its images."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from fcn_tf.beam.files import fetched, fetched_model
from fcn_tf.beam.runners import ended_pipeline
from fcn_tf.beam.sources import chunks_of, open_quietly, place_for_results
from fcn_tf.config.schema import DataConfig
from fcn_tf.config.types import Scales
from fcn_tf.data.faults import data_errors_as
from fcn_tf.data.pipeline import samples_of
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.counting import counts_of
from fcn_tf.evaluation.score import Counts, Evaluation, evaluate_split
from fcn_tf.inference.predictor import Predictor

COUNTERS = "fcn_tf.evaluate"  # the namespace of Beam's counters


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What is counted, as it is sent to the workers.

    Args:
        model: the path or the URL of a model of any kind.
        data: the labelled images, as they are read for this model.
        split: one of their splits.
        tile_px, flip, scales: as in `Predictor`.
    """

    model: str
    data: DataConfig
    split: str
    tile_px: int | None = None
    flip: bool = False
    scales: tuple[float, ...] = Scales((1.0,))

    def predictor(self) -> Predictor:
        """Loads the model.

        Raises:
            InputError: there is no such model, or options do not fit it.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = fetched_model(self.model, folder)
            return Predictor(path, tile_px=self.tile_px, flip=self.flip, scales=self.scales)


def evaluate_on_runner(
    scoring: Scoring, predictor: Predictor, source: Source, *, runner: str, options: PipelineOptions
) -> Evaluation:
    """What `evaluate_predictor` finds, to the last digit: the counts of each image come back, and
    are added up here in the order of the images.

    Args:
        scoring: what is counted.
        predictor: of this process; it takes the sizes that workers scaled or filled up.
        source: of this process; it takes what workers skipped.
        runner, options: as in `pipeline_options`.

    Raises:
        InputError: there is no place that workers and this process have in common.
        RunError: the runner failed, or a file breaks while it is read.
    """
    chunks = chunks_of(source, scoring.split)
    with tempfile.TemporaryDirectory() as here:
        shared = place_for_results(runner, options, here, "counts")
        with ended_pipeline(runner, options, "no score was written") as pipeline:
            _ = (
                pipeline
                | "Chunks" >> beam.Create(chunks)
                | "Spread" >> beam.Reshuffle()
                | "Count" >> beam.ParDo(CountImages(scoring, Shared()))
                | "Results" >> beam.io.WriteToText(shared, num_shards=1, shard_name_template="")
            )
        file = fetched(shared, here)
        return evaluate_split(_parts(file, predictor, source), predictor.model.num_classes)


def _parts(file: Path, predictor: Predictor, source: Source) -> Iterator[Counts]:
    """The counts of all images in their order; one chunk of them is in memory at a time."""
    places: dict[int, int] = {}
    with file.open("rb") as lines:
        place = 0
        for line in lines:
            places[int(line[: line.index(b" ")])] = place
            place += len(line)
        for number in sorted(places):
            lines.seek(places[number])
            _, text = lines.readline().split(b" ", 1)
            chunk = json.loads(text)
            if chunk["broken"]:
                raise RunError(chunk["broken"])
            predictor.other_sizes.update(map(tuple, chunk["other_sizes"]))
            for name, text in chunk["skipped"].items():
                if source.skipped is not None:
                    source.skipped.note(name, text)
            for part in chunk["parts"]:
                arrays = {name: _array(text) for name, text in part.items()}
                edges, calibration = arrays.get("edges"), arrays.get("calibration")
                yield Counts(arrays["confusion"], edges=edges, calibration=calibration)


def _text(array: np.ndarray) -> str:
    """An array as text; most counts are 0 and take no room."""
    file = io.BytesIO()
    np.savez_compressed(file, array)
    return base64.b64encode(file.getvalue()).decode()


def _array(text: str) -> np.ndarray:
    with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as arrays:
        return arrays["arr_0"]


@dataclass
class _Loaded:
    """What a process loads once."""

    predictor: Predictor
    source: Source


def _load(scoring: Scoring) -> _Loaded:
    return _Loaded(scoring.predictor(), open_quietly(scoring.data))


class CountImages(beam.DoFn):
    """Counts images by their numbers: a line with the number of the first, and JSON.

    Args:
        scoring: what is counted.
        shared: holds the model and the data set of a process.
    """

    def __init__(self, scoring: Scoring, shared: Shared) -> None:
        self._scoring, self._shared = scoring, shared

    def setup(self) -> None:
        self._refused = ""
        try:
            self._loaded: _Loaded = self._shared.acquire(lambda: _load(self._scoring))
        except InputError as error:  # what was checked before the work began broke meanwhile
            self._refused = str(error)

    def process(self, chunk: Sequence[int]) -> Iterator[str]:
        said: dict[str, Any] = {"broken": self._refused}
        if not self._refused:
            try:
                said |= self._counted(range(*chunk))
            except RunError as error:  # the process that adds up raises it, as on one machine
                said["broken"] = str(error)
        yield f"{chunk[0]} {json.dumps(said, ensure_ascii=True)}"

    def _counted(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The counts of images, and what there is to say of them.

        Raises:
            RunError: a file breaks while it is read.
        """
        predictor, source = self._loaded.predictor, self._loaded.source
        split, parts = self._scoring.split, []
        with data_errors_as(RunError, source, split):
            for sample in samples_of(source, split, numbers):
                counts = counts_of(predictor, sample["image"], sample["truth"])
                kept = {
                    "confusion": counts.confusion,
                    "edges": counts.edges,
                    "calibration": counts.calibration,
                }
                parts.append({k: _text(array) for k, array in kept.items() if array is not None})
                beam.metrics.Metrics.counter(COUNTERS, "images").inc()
        return {
            "parts": parts,
            "other_sizes": sorted(predictor.other_sizes),
            "skipped": {} if source.skipped is None else source.skipped.faults(),
        }
