"""Labelled images where workers read them: what they must reach, and which of them each reads."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from fcn_tf.beam.files import is_remote, resolved
from fcn_tf.beam.runners import check_reached, pipeline_options, shares_disk
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError

IMAGES_TOGETHER = 32
# Each reads the split up to its last image, where images cannot be read by their numbers.
MOST_PASSES = 16
# Where TFDS has data sets if nothing else is said.
TFDS_DIR = "~/tensorflow_datasets"


def options_for_data(
    runner: str, arguments: Sequence[str], paths: Mapping[str, str | None], data: DataConfig | None
) -> PipelineOptions:
    """The options of a pipeline that reads labelled images, once workers reach what they need.

    Args:
        runner, arguments: as in `pipeline_options`.
        paths: what else they read or write, by the options that name it.
        data: the data set, resolved; None where the model has to say what it is for.

    Raises:
        InputError: Beam does not know an argument, or the runner lacks something, or does not
            reach a path or the data, or has no place for its results.
    """
    options = pipeline_options(runner, arguments)
    given = {option: resolved(path) for option, path in paths.items() if path}
    check_reached(runner, options, given)
    if data is not None:
        check_data_reached(runner, options, data)
    place_for_results(runner, options, "", "")
    return options


def check_data_reached(runner: str, options: PipelineOptions, data: DataConfig) -> None:
    """Refuses data on this machine's disk where the workers run elsewhere.

    Args:
        runner, options: of the pipeline.
        data: the data set, resolved.

    Raises:
        InputError: workers cannot reach it.
    """
    if data.name == "folder":
        remedy = (
            "fcn-tf prepare makes a data set of it that may lie where they do, and "
            "--data.tfds_name reads that."
        )
        paths = {"--data.data_dir": resolved(data.data_dir or "")}
        check_reached(runner, options, paths, remedy)
        return
    option, path = "--data.tfds_dir", data.tfds_dir
    if path is None:
        option, path = "The default of --data.tfds_dir,", os.environ.get("TFDS_DATA_DIR", TFDS_DIR)
    name = data.tfds_name or ""
    if data.name == "tfds" and (is_remote(name) or name[:1] in (".", "/", "~") or _is_folder(name)):
        option, path = "--data.tfds_name", name
    check_reached(runner, options, {option: resolved(path)})


def _is_folder(name: str) -> bool:
    return Path(name).is_dir()


def place_for_results(runner: str, options: PipelineOptions, here: str, name: str) -> str:
    """Where workers write what comes back to this process: on this disk, or in a bucket.

    Args:
        runner, options: of the pipeline.
        here: a folder of this disk that no other process has.
        name: of the file.

    Raises:
        InputError: the workers do not have this disk, and --temp_location names no other place.
    """
    if shares_disk(runner, options):
        return f"{here}/{name}"
    place = options.view_as(GoogleCloudOptions).temp_location
    if place is None or not is_remote(place):
        raise InputError(
            f"--runner {runner}: the workers do not have this machine's disk: give a place for "
            "what they report, -- --temp_location gs://bucket/tmp for example."
        )
    return f"{place.rstrip('/')}/{Path(here).name}-{name}"


def open_quietly(data: DataConfig) -> Source:
    """Opens a data set in a worker: the process that started the work has said what there is to
    say of it.

    Raises:
        InputError: as in `open_source`.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        return open_source(data, trains=False)


def chunks_of(source: Source, split: str) -> list[tuple[int, int]]:
    """The images of a split in chunks for the workers: the first number, and the one behind."""
    size = source.split_sizes[split]
    together = IMAGES_TOGETHER if source.record_at else max(1, -(-size // MOST_PASSES))
    return [(start, min(start + together, size)) for start in range(0, size, together)]
