"""Options declared once: a dataclass is the command line of a command, and its call in Python.

The type, the default and the `Args:` line of each field become those of its option. A field is
checked in `__post_init__`, so that both ways meet the same message.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import docstring_parser
from jsonargparse import ArgumentParser, Namespace

from fcn_tf.config.files import data_of_run, load_config, parse_recipe, run_config
from fcn_tf.config.schema import UNKNOWN_TO, Config, DataConfig
from fcn_tf.config.types import Names, Scales
from fcn_tf.config.yaml_text import STRICT
from fcn_tf.errors import InputError, check
from fcn_tf.images import DEFAULT_OPACITY

POSITIONAL = {"positional": True}  # metadata of a field that is given without its name


class Command(NamedTuple):
    """A command of the console script.

    Args:
        make_parser: from the arguments behind the command's name to their parser.
        run: takes the parsed values, the parser and the arguments.
        description: one sentence.
        prepared: changes the arguments before they are parsed.
    """

    make_parser: Callable[[list[str]], ArgumentParser]
    run: Callable[[Namespace, ArgumentParser, list[str]], None]
    description: str
    prepared: Callable[[list[str]], list[str]] = list


def command(
    options: type,
    function: Callable[[Any], Any],
    prepared: Callable[[list[str]], list[str]] = list,
) -> Command:
    """The command whose options a dataclass declares and a function of it carries out."""

    def make_parser(arguments: list[str]) -> ArgumentParser:
        parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, parser_mode=STRICT)
        _add_options(parser, options)
        if issubclass(options, NamesData):
            _set_data_defaults(parser, arguments)
        return parser

    def run(values: Namespace, parser: ArgumentParser, arguments: list[str]) -> None:
        instances = parser.instantiate(values)
        fields = dataclasses.fields(options)
        given = {field.name: instances[_option(field)] for field in fields}
        if issubclass(options, NamesData) and not _names_data(arguments):
            given["data"] = None
        function(options(**given))

    return Command(make_parser, run, first_sentence(function), prepared)


def first_sentence(function: Callable[..., Any]) -> str:
    """The first line of a function's docstring."""
    return (function.__doc__ or "").splitlines()[0]


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The last value that unparsed arguments give an option, or None."""
    value = None
    for argument, following in itertools.pairwise([*arguments, ""]):
        if argument == option:
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
    return value


@dataclass(frozen=True, kw_only=True)
class NamesData:
    """Options that name labelled images.

    Args:
        config: a recipe, or a run's config.yaml, that names the data.
        data: the labelled images.
    """

    config: str | None = None
    data: DataConfig | None = None

    def named_data(self) -> DataConfig | None:
        """The data that `data` or `config` names, checked; None where neither does."""
        if self.data is not None:
            return Config(data=self.data).data
        return load_config(self.config).data if self.config else None


@dataclass(frozen=True, kw_only=True)
class NamesModelAndData(NamesData):
    """Options that name a model, and labelled images, by default those of the model's run.

    Args:
        model: a run folder, a .keras file, a SavedModel, a .tflite or an .onnx file.
    """

    model: str

    def data_or_runs(self) -> DataConfig | None:
        """The data that are named, or else those of the model's run; None where it has none."""
        named = self.named_data()
        return data_of_run(self.model) if named is None else named


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How an image is predicted.

    Args:
        tile_px: side of the tiles of large images, a multiple of 32; default 1024 above 4
            megapixels. The labels are those of the whole image.
        flip: average with the mirrored image.
        scales: average over these scales, 0.75,1,1.25 for example.
    """

    tile_px: int | None = None
    flip: bool = False
    scales: Scales = Scales((1.0,))

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", Scales.of(self.scales))


RUNNERS = ("direct", "dataflow", "flink", "spark")


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """Where the work is done.

    Args:
        runner: of Apache Beam: direct (processes of this machine), dataflow, flink or spark; by
            default this process, without Beam.
        runner_options: options of Beam, as a list; the command line takes them behind --.
    """

    runner: Literal["direct", "dataflow", "flink", "spark"] | None = None
    runner_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.runner is None:
            check(not self.runner_options, "runner_options", self.runner_options, "of a --runner")
        else:
            check(self.runner in RUNNERS, "runner", self.runner, f"one of {', '.join(RUNNERS)}")
            if importlib.util.find_spec("apache_beam") is None:
                raise InputError(
                    f"--runner {self.runner} needs the extra beam, in an environment of its own: "
                    "pip install -c constraints-beam.txt 'fcn_tf[beam]'."
                )


def with_runner_options(arguments: list[str]) -> list[str]:
    """Makes what stands behind -- the option that holds it, where a runner is named."""
    if "--" not in arguments or value_of("--runner", arguments) is None:
        return arguments
    here = arguments.index("--")
    return [*arguments[:here], f"--runner_options={json.dumps(arguments[here + 1 :])}"]


@dataclass(frozen=True, kw_only=True)
class ImagesToFilesOptions:
    """Which images are taken, and what is written of each.

    Args:
        images: files, folders, patterns ("photos/**/*.jpg"), or - for a list on standard input.
        out: folder for the files.
        format: what to write, some of png,gray,overlay,npy,geojson,coco.
        opacity: of the overlay's colours, 0 to 1.
        simplify_px: corners of geojson that cut off less than its square are left out; 0 keeps all.
        overwrite: predict images again whose files exist.
    """

    images: tuple[str, ...] = dataclasses.field(metadata=POSITIONAL)
    out: str
    format: Names = Names(("png", "overlay"))
    opacity: float = DEFAULT_OPACITY
    simplify_px: float = 0.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", Names.of(self.format))
        check(0 <= self.opacity <= 1, "opacity", self.opacity, "between 0 and 1")
        allowed = "0 or more, in px"
        check(0 <= self.simplify_px < math.inf, "simplify_px", self.simplify_px, allowed)


def _add_options(parser: ArgumentParser, options: type) -> None:
    hints, texts = typing.get_type_hints(options), _documented(options)
    fields = dataclasses.fields(options)
    for field in sorted(fields, key=_is_required, reverse=True):
        name, hint, text = _option(field), hints[field.name], texts[field.name]
        if hint == DataConfig | None:
            parser.add_argument(f"--{name}", type=DataConfig)
        elif field.metadata.get("positional"):
            several = typing.get_origin(hint) is tuple
            one = None if _is_required(field) else "?"
            count = ("+" if _is_required(field) else "*") if several else one
            parser.add_argument(name, type=str, help=text, nargs=count)
        elif dataclasses.is_dataclass(hint):
            parser.add_class_arguments(hint, name)
        elif hint is bool:
            parser.add_argument(f"--{name}", action="store_true", help=text)
        elif _is_required(field):
            parser.add_argument(f"--{name}", type=hint, required=True, help=text)
        else:
            parser.add_argument(f"--{name}", type=hint, default=field.default, help=text)


def _option(field: dataclasses.Field) -> str:
    """The name of a field's option: a word that Python keeps for itself ends in _ as a field."""
    return field.name.removesuffix("_")


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _documented(options: type) -> dict[str, str]:
    """The description of each field, from the docstrings of a dataclass and of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(options.__mro__):
        for line in docstring_parser.parse(base.__doc__ or "").params:
            texts[line.arg_name] = " ".join((line.description or "").split())
    return texts


def _names_data(arguments: list[str]) -> bool:
    """Whether unparsed arguments name a recipe or a key of the data."""
    return any(argument.startswith(("--data", "--config")) for argument in arguments)


def _set_data_defaults(parser: ArgumentParser, arguments: list[str]) -> None:
    """Has --data.KEY go over the file that --config names, or else over that of the model's run."""
    if not _names_data(arguments):
        return
    recipe: str | Path | None = value_of("--config", arguments)
    model = value_of("--model", arguments)
    of_run = None
    if recipe is None and model is not None and (own := run_config(model)).is_file():
        recipe = of_run = own
    if recipe is None:
        return
    # The file's values as they stand: whether they fit is judged with the command line's.
    data = parse_recipe(recipe).data.as_dict()
    if of_run and value_of("--data.data_dir", arguments) and data["name"] != "folder":
        # A folder in place of the data set of the run.
        data |= dict.fromkeys(("name", *UNKNOWN_TO["folder"]))
    parser.set_defaults({"data": data})
