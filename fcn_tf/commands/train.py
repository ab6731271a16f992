"""`fcn-tf train`: from a configuration to a trained model and its report."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from fcn_tf.commands.options import Command, first_sentence, value_of
from fcn_tf.config.files import RUN_CONFIG_FILE, config_parser, find_config, to_config
from fcn_tf.config.schema import Config
from fcn_tf.quiet import import_quietly

DEFAULT_RECIPE = "shapes"


def train(config: Config, recipe: Path | None = None) -> None:
    """Train a network; without --config on generated scenes, with no download.

    Args:
        config: the whole configuration.
        recipe: the YAML file that it was read from; it names the run's folder.
    """
    if config.data.name == "shapes":
        print(
            "Training on generated scenes. On your own images: --data.data_dir DIR (README, "
            "'Your own images'); on PASCAL VOC: --config voc.",
            flush=True,
        )
    if config.distribution.virtual_devices:
        # TensorFlow's oneDNN kernels fail on a processor that is split.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import_quietly("tensorflow")
    from fcn_tf.training.loop import train as train_in
    from fcn_tf.training.workdir import default_workdir

    train_in(config, config.workdir or default_workdir(recipe, config.variant, config.resume))


def _make_parser(arguments: list[str]) -> ArgumentParser:
    return config_parser()


def _run(values: Namespace, parser: ArgumentParser, arguments: list[str]) -> None:
    recipe = Path(values.config[-1].absolute) if values.config else None
    train(to_config(parser, values), recipe)


def _prepared(arguments: list[str]) -> list[str]:
    """Puts --config, as a path, before all else: the command line goes over the file.

    Where neither a recipe nor data is named, the recipe is that of the run to resume, or else the
    default one. A bare --resume is --resume always.
    """
    arguments = [
        "--resume=always" if argument == "--resume" and following.startswith("-") else argument
        for argument, following in itertools.pairwise([*arguments, "-"])
    ]
    recipe = value_of("--config", arguments) or _recipe_of_run(arguments)
    if recipe is None:
        if _names_own_data(arguments):
            return arguments
        recipe = DEFAULT_RECIPE
    others = [
        argument
        for before, argument in itertools.pairwise(["", *arguments])
        if not (argument.startswith("--config") or before == "--config")
    ]
    return [f"--config={find_config(recipe)}", *others]


def _recipe_of_run(arguments: list[str]) -> str | None:
    """The config.yaml of the run that the arguments resume, or None."""
    workdir = value_of("--workdir", arguments)
    resumes = value_of("--resume", arguments) in ("auto", "always")
    own = Path(workdir or "", RUN_CONFIG_FILE)
    return str(own) if workdir and resumes and own.is_file() else None


def _names_own_data(arguments: list[str]) -> bool:
    named = value_of("--data.name", arguments) in ("folder", "voc", "tfds")
    given = ("--data.data_dir", "--data.tfds_name")
    return named or any(value_of(option, arguments) for option in given)


COMMAND = Command(_make_parser, _run, first_sentence(train), _prepared)
