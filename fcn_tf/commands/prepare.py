"""`fcn-tf prepare`: labelled images as a data set of TensorFlow Datasets (TFDS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fcn_tf.commands.options import NamesData, RunnerOptions, command, with_runner_options
from fcn_tf.errors import InputError
from fcn_tf.quiet import import_quietly

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from fcn_tf.config.schema import DataConfig


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(NamesData, RunnerOptions):
    """Which data set is stored, and where.

    Args:
        config: a recipe, or a run's config.yaml, that names the data.
        out: folder for the new data set; its last part is the name in TFDS.
    """

    out: str


def prepare(options: PrepareOptions) -> None:
    """Store labelled images as a data set of TFDS, which trains as the images do.

    Raises:
        InputError: the data are missing or wrong, or the folder holds something else.
        RunError: images cannot be used, or the runner failed.

    Example:
        >>> prepare(PrepareOptions(data=DataConfig(data_dir="street"), out="datasets/street"))
    """
    data = options.named_data()
    if data is None:
        raise InputError("Name the data to store: --data.data_dir street, or --config RECIPE.")
    import_quietly("tensorflow")
    arguments = None if options.runner is None else _arguments_of(options, data)
    from fcn_tf.data.preparing import is_there, lines_of, open_preparation, store, written_line

    preparation = open_preparation(data, options.out)
    if is_there(preparation):
        print("Nothing to do: this data set is there, made of these files.")
        print(written_line(preparation), flush=True)
        return
    if arguments is None:
        stored = store(preparation)
    else:
        from fcn_tf.beam.preparing import store_on_runner

        assert options.runner is not None
        stored = store_on_runner(preparation, options.runner, arguments)
    for line in lines_of(preparation, stored):
        print(line, flush=True)


def _arguments_of(options: PrepareOptions, data: DataConfig) -> PipelineOptions:
    """The options of Beam, checked: see `options_for_data`."""
    import_quietly("apache_beam")
    from fcn_tf.beam.sources import options_for_data

    assert options.runner is not None
    return options_for_data(options.runner, options.runner_options, {"--out": options.out}, data)


COMMAND = command(PrepareOptions, prepare, with_runner_options)
