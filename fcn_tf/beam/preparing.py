"""A data set of TFDS made of labelled images by workers of Beam."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from fcn_tf.beam.files import exists, fetched, read_bytes
from fcn_tf.beam.runners import counted_by, failure_in_one_line
from fcn_tf.beam.sources import chunks_of, open_quietly, place_for_results
from fcn_tf.config.schema import DataConfig
from fcn_tf.data.preparing import (
    LabelledImages,
    Preparation,
    Stored,
    as_example,
    counts_of,
    refuse_unusable,
    write,
)
from fcn_tf.data.source import Source
from fcn_tf.data.to_store import Unusable, to_store
from fcn_tf.errors import RunError

COUNTERS = "fcn_tf.prepare"  # the namespace of Beam's counters
UNUSABLE = "unusable"  # the tag of the records that cannot be used

Chunk = tuple[str, int, int]  # a split, the number of its first image, and the one behind


def store_on_runner(preparation: Preparation, runner: str, options: PipelineOptions) -> Stored:
    """Writes what `fcn_tf.data.preparing.store` writes, record for record.

    Args:
        preparation: what is stored, and where.
        runner, options: as in `pipeline_options`.

    Raises:
        RunError: as in `store`, or the runner failed.
    """
    with tempfile.TemporaryDirectory() as here:
        place = place_for_results(runner, options, here, "unusable")
        builder = OnWorkers(preparation, place)
        try:
            with failure_in_one_line(runner, "nothing was written"):
                write(builder, beam_options=options)
        except RunError:
            if exists(place):
                refuse_unusable(preparation, _read(place, here))
            raise
        return Stored(_read(place, here), counted_by(builder.pipeline, COUNTERS))


def _read(place: str, here: str) -> list[Unusable]:
    lines = fetched(place, here).read_text(encoding="utf-8").splitlines()
    return [Unusable(*json.loads(line)) for line in lines]


class OnWorkers(LabelledImages, skip_registration=True):  # type: ignore[call-arg]
    """The builder whose examples are made by workers.

    Args:
        preparation: what is stored.
        place: where the records that cannot be used are listed, a line of JSON each.
    """

    def __init__(self, preparation: Preparation, place: str) -> None:
        super().__init__(preparation, {})
        self._place = place
        self.pipeline: Any = None

    def _split_generators(self, dl_manager: Any, pipeline: Any = None) -> dict[str, Any]:
        self.pipeline = pipeline  # its counters are read when it has ended
        data, source = self.preparation.data, self.preparation.source
        shared, examples, unusable = Shared(), {}, []
        for split in source.split_sizes:
            chunks = [(split, *chunk) for chunk in chunks_of(source, split)]
            read = (
                pipeline
                | f"Chunks_{split}" >> beam.Create(chunks)
                | f"Spread_{split}" >> beam.Reshuffle()
                | f"Read_{split}"
                >> beam.ParDo(ReadImages(data, shared)).with_outputs(UNUSABLE, main="examples")
            )
            examples[split] = read["examples"]
            unusable.append(read[UNUSABLE])
        listed = (
            unusable
            | "Unusable" >> beam.Flatten()
            | "Listed" >> beam.io.WriteToText(self._place, num_shards=1, shard_name_template="")
        )
        if data.broken != "skip":
            _ = listed | "Refuse" >> beam.Map(_refuse)
        return examples


def _refuse(listed: str) -> None:
    """Ends the pipeline before the data set gets its name, where records cannot be used."""
    if read_bytes(listed):
        raise RunError("images cannot be used")


class ReadImages(beam.DoFn):
    """The examples of TFDS of some images, with their numbers as keys.

    Args:
        data: the configuration of the data set, resolved.
        shared: holds the data set of a process.
    """

    def __init__(self, data: DataConfig, shared: Shared) -> None:
        self._data, self._shared = data, shared

    def setup(self) -> None:
        self._source: Source = self._shared.acquire(lambda: open_quietly(self._data))

    def process(self, chunk: Chunk) -> Iterator[Any]:
        split, start, stop = chunk
        for one in to_store(self._source, self._data, split, range(start, stop)):
            if isinstance(one, Unusable):
                yield beam.pvalue.TaggedOutput(UNUSABLE, json.dumps(one))
                continue
            for name, count in counts_of(one).items():
                beam.metrics.Metrics.counter(COUNTERS, name).inc(count)
            yield one.number, as_example(one)
