"""Beam's runners: where the workers of each run, what it needs, and its options."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
)

from fcn_tf.beam.files import is_remote
from fcn_tf.errors import InputError, RunError
from fcn_tf.quiet import library_messages_dropped

# Of `direct` Beam would choose among several; this one is in its package, and has processes.
BEAMS_NAMES = {
    "direct": "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "dataflow": "DataflowRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
}
# Masters whose workers Beam starts on this machine.
OWN_MASTER = re.compile(r"\[local\]|\[auto\]|local(\[.+\])?")


def pipeline_options(runner: str, arguments: Sequence[str]) -> PipelineOptions:
    """The options of a pipeline, which the file systems of this process take as well.

    Args:
        runner: a key of `BEAMS_NAMES`.
        arguments: what follows -- on the command line.

    Raises:
        InputError: Beam does not know an argument, or the runner lacks something here.
    """
    options = PipelineOptions([*arguments, f"--runner={BEAMS_NAMES[runner]}"])
    _check_known(options, arguments)
    if any(argument.startswith("--runner") for argument in arguments):
        raise InputError(f"-- {' '.join(arguments)}: --runner stands before the --.")
    if runner == "direct":
        _check_direct(options.view_as(DirectOptions))
    elif runner == "dataflow":
        if not _is_installed("apitools"):
            raise InputError("--runner dataflow: pip install 'apache-beam[gcp]' brings it.")
    else:
        _check_java(runner, options)
    FileSystems.set_options(options)
    return options


def shares_disk(runner: str, options: PipelineOptions) -> bool:
    """Whether the workers see the files of this machine, as far as it can be told."""
    if runner == "direct":
        return True
    if runner == "dataflow":
        return False
    environment = options.view_as(PortableOptions).environment_type
    if environment is not None:
        return environment != "DOCKER"
    is_flink = runner == "flink"
    master = (
        options.view_as(FlinkRunnerOptions).flink_master
        if is_flink
        else options.view_as(SparkRunnerOptions).spark_master_url
    )
    return OWN_MASTER.fullmatch(master) is not None


def works_here(runner: str, options: PipelineOptions) -> bool:
    """Whether the work is done in this process."""
    return runner == "direct" and options.view_as(DirectOptions).direct_running_mode != (
        "multi_processing"
    )


def check_reached(
    runner: str,
    options: PipelineOptions,
    paths: dict[str, str],
    remedy: str = "Give a place that they reach, gs://… for example.",
) -> None:
    """Refuses paths of this machine's disk where the workers run elsewhere, and S3's without boto3.

    Args:
        runner, options: of the pipeline.
        paths: each path, by the option that gives it.
        remedy: what to do, for the message.

    Raises:
        InputError: workers cannot reach a path, or it is one of S3 and boto3 is not installed.
    """
    for option, path in paths.items():
        if path.startswith("s3://") and not _is_installed("boto3"):
            raise InputError(
                f"{option} {path}: pip install 'apache-beam[aws]' brings what reads it."
            )
        if not is_remote(path) and not shares_disk(runner, options):
            raise InputError(
                f"{option} {path}: the workers of the runner {runner} do not have this machine's "
                f"disk. {remedy}"
            )


@contextlib.contextmanager
def failure_in_one_line(runner: str, left: str) -> Iterator[None]:
    """Turns what a pipeline that is run in the block raises into one line.

    The workers of this machine write pages to its terminal, which are dropped.

    Args:
        runner: a key of `BEAMS_NAMES`.
        left: what is left of the work, for the message.

    Raises:
        RunError: the block fails; of the pages that Beam says of that, the last line.
    """
    is_here = runner == "direct"
    with library_messages_dropped() if is_here else contextlib.nullcontext():
        try:
            yield
        except Exception as error:  # each runner raises its own
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[-1] if lines else type(error).__name__
            more = "TF_CPP_MIN_LOG_LEVEL=0 shows what its workers say, and " if is_here else ""
            raise RunError(
                f"The runner {runner} failed: {reason} ({more}--traceback where it was; {left}.)"
            ) from error


@contextlib.contextmanager
def ended_pipeline(
    runner: str,
    options: PipelineOptions,
    left: str = "the same command again goes on with what is left",
) -> Iterator[beam.Pipeline]:
    """Gives a pipeline to build, runs it when the block ends, and waits for its end.

    Its result is then `pipeline.result`.

    Args:
        runner, left: as in `failure_in_one_line`.
        options: as in `pipeline_options`.

    Raises:
        RunError: as in `failure_in_one_line`.
    """
    with failure_in_one_line(runner, left), beam.Pipeline(options=options) as pipeline:
        yield pipeline


def counted_by(pipeline: beam.Pipeline, namespace: str) -> Counter[str]:
    """The counters of a pipeline that has ended, by their names, summed over its steps."""
    named = beam.metrics.MetricsFilter().with_namespace(namespace)
    counts: Counter[str] = Counter()
    for one in pipeline.result.metrics().query(named)["counters"]:
        counts[one.key.metric.name] += one.result or 0
    return counts


class _Said(logging.Handler):
    """Keeps the messages of a logger."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _check_known(options: PipelineOptions, arguments: Sequence[str]) -> None:
    """Refuses arguments that Beam drops with a warning, and values that it ends the process for."""
    given = " ".join(arguments)
    logger, said = logging.getLogger("apache_beam.options.pipeline_options"), _Said()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(said)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options.get_all_options()
    except SystemExit as end:
        reason = complaint.getvalue().strip().rpartition("error: ")[-1]
        raise InputError(f"-- {given}: Beam refuses it: {reason}") from end
    finally:
        logger.removeHandler(said)
        logger.propagate = propagates
    for message in said.messages:
        if message.startswith("Discarding"):
            raise InputError(
                f"-- {given}: Beam knows no such option ({message}). Its options are those of "
                "apache_beam.options.pipeline_options, --direct_num_workers 4 for example."
            )


def _check_direct(options: DirectOptions) -> None:
    if options.direct_num_workers != 1 and options.direct_running_mode == "in_memory":
        raise InputError(
            f"--direct_num_workers {options.direct_num_workers}: one process is one worker; add "
            "--direct_running_mode multi_processing."
        )


def _check_java(runner: str, options: PipelineOptions) -> None:
    """Flink and Spark are driven by a job server in Java, which Beam fetches."""
    launcher = options.view_as(JobServerOptions).job_server_java_launcher
    is_sent_whole = (
        options.view_as(FlinkRunnerOptions).flink_submit_uber_jar
        or options.view_as(SparkRunnerOptions).spark_submit_uber_jar
    )
    if not is_sent_whole and shutil.which(launcher) is None:
        raise InputError(
            f"--runner {runner}: Beam's job server runs in Java, and there is no {launcher} here: "
            "install a Java runtime, or name one with -- --job_server_java_launcher PATH."
        )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
