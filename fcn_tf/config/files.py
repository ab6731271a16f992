"""From YAML files and overrides to a `Config`, and back."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from fcn_tf.config.export_record import EXPORT_FILE, newest_version, read_record
from fcn_tf.config.mask_values import MaskValues
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.config.types import Size
from fcn_tf.config.yaml_text import STRICT
from fcn_tf.errors import InputError

PACKAGE_DIR = Path(__file__).parent.parent
RUN_CONFIG_FILE, METRICS_FILE = "config.yaml", "metrics.jsonl"  # in a run folder


def config_dir() -> Path:
    """Where the recipes lie: in the installed package, or beside it in a checkout."""
    installed = PACKAGE_DIR / "configs"
    return installed if installed.is_dir() else PACKAGE_DIR.parent / "configs"


def run_config(model: str | Path) -> Path:
    """Where the configuration of a model's run would be; for an export that of its source.

    Args:
        model: path of a run folder, a `.keras` file, a SavedModel (or the folder of its
            versions), a `.tflite` or an `.onnx` file.
    """
    model = Path(model).expanduser()
    if not (model / "model.keras").exists():
        model = _source_of_export(model) or model
    return (model if model.is_dir() else model.parent) / RUN_CONFIG_FILE


def data_of_run(model: str | Path) -> DataConfig | None:
    """The data that a model was trained on; None where it has no run.

    Args:
        model: as in `run_config`.

    Raises:
        InputError: the run's configuration cannot be read, or its folder of data is gone.
    """
    own = run_config(model)
    if not own.is_file():
        return None
    data = load_config(own).data
    if data.data_dir is not None and not Path(data.data_dir).expanduser().is_dir():
        raise InputError(
            f"{own} says data_dir: {data.data_dir}, and no such folder is there, seen from "
            f"{Path.cwd()}: say where the images are, with --data.data_dir."
        )
    return data


def with_absolute_paths(config: Config) -> Config:
    """The same configuration, whose paths mean the same from every folder.

    Addresses such as gs://bucket/prepared stay as they are.
    """

    def absolute(path: str | None) -> str | None:
        if path is None or "://" in path:
            return path
        return str(Path(path).expanduser().absolute())

    data, weights = config.data, config.model.weights
    if weights not in ("none", "imagenet"):
        weights = absolute(weights) or weights
    data = dataclasses.replace(
        data,
        data_dir=absolute(data.data_dir),
        tfds_dir=absolute(data.tfds_dir),
        manual_dir=absolute(data.manual_dir),
    )
    return dataclasses.replace(
        config,
        data=data,
        model=dataclasses.replace(config.model, weights=weights),
        init_from=absolute(config.init_from),
    )


def _source_of_export(model: Path) -> Path | None:
    """The model of which an export was made; None where no export.json names one."""
    folders = [model, model.parent]
    with contextlib.suppress(OSError):
        newest = newest_version(model, holding=EXPORT_FILE)
        folders += [newest] if newest else []
    for folder in folders:
        with contextlib.suppress(OSError, ValueError, TypeError):
            record = read_record(folder)
            if record and record.model:
                return Path(record.model)
    return None


def find_config(name: str | Path) -> Path:
    """The file of a recipe.

    Args:
        name: the name of one of the package's recipes, or the path of a YAML file.

    Raises:
        InputError: there is neither.
    """
    recipe = config_dir() / f"{name}.yaml"
    for path in (Path(name), recipe):
        if path.is_file():
            return path
    known = sorted(recipe_name(path) for path in config_dir().rglob("*.yaml"))
    raise InputError(f"--config {name}: neither a file nor one of the recipes: {', '.join(known)}.")


def recipe_name(path: str | Path) -> str:
    """The name of a YAML file; a recipe of the package has its folder in front: paper/fcn8s."""
    path = Path(path).absolute()
    own = path.is_relative_to(config_dir())
    return path.relative_to(config_dir()).with_suffix("").as_posix() if own else path.stem


def to_config(parser: ArgumentParser, namespace: Namespace) -> Config:
    """The `Config` that a parsed namespace of such a parser holds.

    Raises:
        InputError: a value is out of its range.
    """
    values = parser.instantiate(namespace)
    return Config(**{f.name: values[f.name] for f in dataclasses.fields(Config)})


def load_config(name: str | Path | None = None, **overrides: Any) -> Config:
    """Reads a recipe.

    Args:
        name: a recipe's name or a YAML file; None for the defaults alone.
        **overrides: values by dotted key, `**{"training.max_steps": 100}`.

    Returns:
        A `Config`.

    Raises:
        InputError: no such file, an unknown key, a wrong type, a value out of range.

    Example:
        >>> config = fcn_tf.load_config("shapes", **{"training.max_steps": 100})
        >>> config.training.max_steps
        100
    """
    parser = config_parser()
    base = parse_recipe(name) if name else parser.get_defaults()
    changes = Namespace()
    for key, value in overrides.items():
        changes[key] = value
    try:
        return to_config(parser, parser.parse_object(changes.as_dict(), namespace=base))
    except InputError:
        raise
    except Exception as error:  # jsonargparse raises several kinds for a value that it refuses
        raise InputError(explain(error, parser)) from error


def parse_recipe(name: str | Path) -> Namespace:
    """The values of a recipe, types checked, as a jsonargparse Namespace.

    Raises:
        InputError: no such file, an unknown key, a wrong type.
    """
    parser = config_parser()
    try:
        return parser.parse_path(find_config(name))
    except InputError:
        raise
    except Exception as error:  # as above
        raise InputError(explain(error, parser)) from error


def config_parser() -> ArgumentParser:
    """A parser of every key of `Config`, with --config and --print_config."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, parser_mode=STRICT)
    parser.add_argument("--config", action="config", help="a recipe's name or a YAML file.")
    parser.add_class_arguments(Config, as_group=False)
    return parser


def dump_config(config: Config, version: str) -> str:
    """The YAML text that gives the same `Config` again, but for workdir and resume.

    Args:
        config: the configuration.
        version: the package's version, noted in the first line.
    """
    values = _for_yaml(dataclasses.asdict(config))
    # A run that reads this file must not write to the folder that the file is in.
    del values["workdir"], values["resume"]
    return f"# fcn_tf {version}\n" + yaml.safe_dump(values, sort_keys=False)


def _for_yaml(value: Any) -> Any:
    """A value as YAML holds it: sizes and mask values as text, other tuples as lists."""
    if isinstance(value, dict):
        return {key: _for_yaml(one) for key, one in value.items()}
    if isinstance(value, (Size, MaskValues)):
        return str(value)
    return [_for_yaml(one) for one in value] if isinstance(value, (list, tuple)) else value


def explain(error: Exception, parser: ArgumentParser) -> str:
    """What jsonargparse says of a refused argument, on one line and in the user's words.

    Args:
        error: the exception.
        parser: the parser that refused, for the names that it knows.
    """
    message = one_line(error)
    stray = re.search(r"unrecognized arguments: ([^\s-]\S*)", message)
    if stray:
        return (
            f"{stray[1]} belongs to no option: an option takes one value, and several as a list, "
            '"[a, b]". --help lists the options.'
        )
    unknown = re.search(r"unrecognized arguments: -*([^\s=]+)|[oO]ption '([^']+)'", message)
    if unknown:
        return _explain_unknown(unknown[1] or unknown[2], parser)
    message = message.removeprefix("Parser key ")
    # What a type of fcn_tf.config.types says is all that there is to say.
    of_ours = re.match(r"(.*?: ).*?Not of type \w+: (.*?)( - Expected a | Given value|$)", message)
    if of_ours:
        return f"{of_ours[1]}{of_ours[2]}."
    message = re.sub(
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors: .*"
        r"Given value: (.*)",
        lambda m: (
            f"Expected {m[1].replace('], ', '] or ').replace('>, ', '> or ')}. Got value: {m[2]}"
        ),
        message,
    )
    message = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", message)
    message = message.replace("Expected a one of", "Expected one of")
    message = message.replace("<class 'NoneType'>", "null")
    return re.sub(r"<class '(\w+)'>", r"\1", message)


def _explain_unknown(key: str, parser: ArgumentParser) -> str:
    """What to say of a key that there is not, with those that are spelled alike."""
    known = sorted({*parser.get_defaults().keys()} - {"config"})
    # A section's own error names the key without the section.
    close = difflib.get_close_matches(key, known, 3, 0.5) or [
        name for name in known if difflib.get_close_matches(key, [name.split(".")[-1]], 1, 0.6)
    ]
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"{key} is not known.{hint} --help lists what is."


def one_line(error: object) -> str:
    """A message on a single line."""
    return " ".join(str(error).split())
