"""`fcn-tf export`: a model for servers and devices, verified."""

from __future__ import annotations

from dataclasses import dataclass

from fcn_tf.commands.options import NamesModelAndData, command
from fcn_tf.exporting.options import ExportOptions
from fcn_tf.quiet import import_quietly


@dataclass(frozen=True, kw_only=True)
class ExportCommandOptions(ExportOptions, NamesModelAndData):
    """What is exported from where to where.

    Args:
        model: a run folder or a .keras file.
        config: names the data; default the run's own config.yaml.
        out: folder for saved_model/1, tflite/1, onnx/1, then 2, …
    """

    out: str


def export(options: ExportCommandOptions) -> None:
    """Write a SavedModel for TensorFlow Serving and TFLite files for devices, verified."""
    data = options.named_data()  # without it the function below looks for those of the run
    import_quietly("tensorflow")
    from fcn_tf.exporting.export import export as export_to

    export_to(options.model, options.out, data, options)


COMMAND = command(ExportCommandOptions, export)
