"""`fcn-tf evaluate`: the scores of a model on a split, and a report that shows where it fails."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fcn_tf.commands.options import (
    NamesModelAndData,
    PredictionOptions,
    RunnerOptions,
    command,
    with_runner_options,
)
from fcn_tf.errors import InputError, RunError, check
from fcn_tf.files import make_folder
from fcn_tf.quiet import import_quietly

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from fcn_tf.config.schema import DataConfig
    from fcn_tf.data.source import Source
    from fcn_tf.evaluation.score import Evaluation
    from fcn_tf.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PredictionOptions, NamesModelAndData, RunnerOptions):
    """What is scored, on what, and where the report goes.

    Args:
        config: names the data; default the run's own config.yaml.
        split: what to score on.
        out: folder for the report; default report/ in the run folder or beside the .keras file,
            report/SPLIT/ for another split than val, and report/NAME/ below the current folder
            for an exported file.
        compare: another model, whose scores are shown beside.
    """

    split: Literal["train", "val", "trainval", "test"] = "val"
    out: str | None = None
    compare: str | None = None

    def __post_init__(self) -> None:
        PredictionOptions.__post_init__(self)
        RunnerOptions.__post_init__(self)
        allowed = "a folder of this machine, which writes the report"
        check("://" not in (self.out or ""), "out", self.out, allowed)
        if "://" in self.model:
            allowed = "a path, where there is no --runner"
            check(self.runner is not None, "model", self.model, allowed)
            check(self.out is not None, "out", self.out, "given for a model at a URL")


def evaluate(options: EvaluateOptions) -> None:
    """Score a model: the paper's four scores, the IU and the Dice of each class, and a report.

    Raises:
        InputError: no such model, data or split, or classes that are not the model's.
        RunError: a file breaks while it is read.

    Example:
        >>> evaluate(EvaluateOptions(model="runs/mine", split="test"))
    """
    data = options.data_or_runs()
    import_quietly("tensorflow")
    arguments = None if options.runner is None else _arguments_of(options, data)
    from fcn_tf.data import open_source
    from fcn_tf.data.faults import data_errors_as
    from fcn_tf.evaluation.report import default_out, write_report
    from fcn_tf.evaluation.score import check_classes, read_as_model, with_classes_of
    from fcn_tf.inference.predictor import Predictor

    paths = [options.model, *([options.compare] if options.compare else [])]
    with tempfile.TemporaryDirectory() as folder:
        how: dict[str, Any] = {
            "tile_px": options.tile_px,
            "flip": options.flip,
            "scales": options.scales,
        }
        predictors = {
            path: Predictor(_at_hand(path, f"{folder}/{number}"), **how)
            for number, path in enumerate(paths)
        }
    if data is None:
        raise InputError(
            f"--model {options.model} does not say what data it is for: give --config or --data.*."
        )
    model = predictors[options.model].model
    data = with_classes_of(model, read_as_model(data, model), options.model)
    source = open_source(data, trains=False)
    if not source.split_sizes.get(options.split):
        there = ", ".join(source.split_sizes)
        raise InputError(f"The data set has no split {options.split}: there are {there}.")
    for path, predictor in predictors.items():
        check_classes(predictor.model, source, path)
    out = default_out(options.model, options.split, options.out)
    make_folder(out)
    on_runner = None
    if arguments is not None:
        on_runner = _evaluations_on_runner(
            options, arguments, data=data, predictors=predictors, source=source
        )
    with data_errors_as(RunError, source, options.split):
        write_report(predictors, source, options.split, out, evaluated=on_runner)


def _at_hand(model: str, folder: str) -> str | Path:
    """The path of a model on this disk: a copy in a folder, of one that workers have at a URL."""
    if "://" not in model:
        return model
    from fcn_tf.beam.files import fetched_model

    return fetched_model(model, folder)


def _arguments_of(options: EvaluateOptions, data: DataConfig | None) -> PipelineOptions:
    """The options of Beam, checked: see `options_for_data`."""
    import_quietly("apache_beam")
    from fcn_tf.beam.sources import options_for_data

    assert options.runner is not None
    models = {"--model": options.model, "--compare": options.compare}
    return options_for_data(options.runner, options.runner_options, models, data)


def _evaluations_on_runner(
    options: EvaluateOptions,
    arguments: PipelineOptions,
    *,
    data: DataConfig,
    predictors: dict[str, Predictor],
    source: Source,
) -> Callable[[str], Evaluation]:
    """A function from the name of a predictor to what workers of Beam find."""
    from fcn_tf.beam.files import resolved
    from fcn_tf.beam.scoring import Scoring, evaluate_on_runner

    assert options.runner is not None
    runner = options.runner

    def evaluated(name: str) -> Evaluation:
        predictor = predictors[name]
        scoring = Scoring(
            model=resolved(name),
            data=data,
            split=options.split,
            tile_px=predictor.tile_px,
            flip=predictor.flip,
            scales=predictor.scales,
        )
        return evaluate_on_runner(scoring, predictor, source, runner=runner, options=arguments)

    return evaluated


COMMAND = command(EvaluateOptions, evaluate, with_runner_options)
