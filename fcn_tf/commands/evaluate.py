"""`fcn-tf evaluate`: the scores of a model on a split, and a report that shows where it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fcn_tf.commands.options import NamesModelAndData, PredictionOptions, command
from fcn_tf.errors import InputError, RunError
from fcn_tf.files import make_folder
from fcn_tf.quiet import import_quietly


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PredictionOptions, NamesModelAndData):
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
    from fcn_tf.data import open_source
    from fcn_tf.data.faults import data_errors_as
    from fcn_tf.evaluation.report import default_out, write_report
    from fcn_tf.evaluation.score import check_classes, read_as_model, with_classes_of
    from fcn_tf.inference.predictor import Predictor

    paths = [options.model, *([options.compare] if options.compare else [])]
    predictors = {
        path: Predictor(path, tile_px=options.tile_px, flip=options.flip, scales=options.scales)
        for path in paths
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
    with data_errors_as(RunError, source, options.split):
        write_report(predictors, source, options.split, out)


COMMAND = command(EvaluateOptions, evaluate)
