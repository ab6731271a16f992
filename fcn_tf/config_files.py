"""From YAML files and overrides to a `Config`, and back."""

import contextlib
import dataclasses
import difflib
import json
import re
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser, Namespace

from fcn_tf.config import Config
from fcn_tf.errors import InputError

PACKAGE_DIR = Path(__file__).parent
RUN_CONFIG_FILE = "config.yaml"  # in a run folder
EXPORT_FILE = "export.json"  # beside an exported model: what it is, and of what


def config_dir():
    """Where the recipes lie: in the installed package, or beside it in a checkout."""
    installed = PACKAGE_DIR / "configs"
    return installed if installed.is_dir() else PACKAGE_DIR.parent / "configs"


def run_config(model):
    """Where the configuration of a model's run would be; for an export that of its source.

    Args:
        model: path of a run folder, a `.keras` file, a SavedModel (or the folder of its
            versions) or a `.tflite` file.
    """
    model = Path(model).expanduser()
    versions = [file for file in model.glob(f"*/{EXPORT_FILE}") if file.parent.name.isdigit()]
    newest = max(versions, key=lambda file: int(file.parent.name), default=None)
    for file in (model / EXPORT_FILE, model.parent / EXPORT_FILE, newest):
        if file and file.is_file() and not (model / "model.keras").exists():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                model = Path(json.loads(file.read_text(encoding="utf-8"))["model"])
                break
    return (model if model.is_dir() else model.parent) / RUN_CONFIG_FILE


def find_config(name):
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


def recipe_name(path):
    """What a YAML file is called: its name, of the package's own with the folder in front."""
    path = Path(path).absolute()
    own = path.is_relative_to(config_dir())
    return path.relative_to(config_dir()).with_suffix("").as_posix() if own else path.stem


def to_config(parser, namespace):
    """The `Config` that a parsed namespace of such a parser holds.

    Raises:
        InputError: a value is out of its range.
    """
    values = parser.instantiate(namespace)
    return Config(**{f.name: values[f.name] for f in dataclasses.fields(Config)})


def load_config(name=None, **overrides):
    """Reads a recipe.

    Args:
        name: a recipe's name or a YAML file; None for the defaults alone.
        **overrides: values by dotted key, `**{"training.max_steps": 100}`.

    Returns:
        A `Config`.

    Raises:
        InputError: no such file, an unknown key, a wrong type, a value out of range.
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


def parse_recipe(name):
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


def config_parser():
    """A parser of every key of `Config`, with --config and --print_config."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a recipe's name or a YAML file.")
    parser.add_class_arguments(Config, as_group=False)
    return parser


def dump_config(config, version):
    """The YAML text that gives the same `Config` again, but for workdir and resume.

    Args:
        config: a `Config`.
        version: the package's version, noted in the first line.
    """
    values = dataclasses.asdict(config)
    # Run again, it must not land in the folder that it was read from.
    del values["workdir"], values["resume"]
    values = json.loads(json.dumps(values))  # tuples to lists
    return f"# fcn_tf {version}\n" + yaml.safe_dump(values, sort_keys=False)


def explain(error, parser):
    """What jsonargparse says of a refused argument, on one line and in the user's words.

    Args:
        error: the exception.
        parser: the parser that refused, for the names that it knows.
    """
    message = one_line(error)
    unknown = re.search(r"unrecognized arguments: -*([^\s=]+)|option '([^']+)'", message)
    if unknown:
        key = unknown[1] or unknown[2]
        known = sorted({*parser.get_defaults().keys()} - {"config"})
        # A section's own error names the key without the section.
        close = difflib.get_close_matches(key, known, 3, 0.5) or [
            name for name in known if difflib.get_close_matches(key, [name.split(".")[-1]], 1, 0.6)
        ]
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        return f"{key} is not known.{hint} --help lists what is."
    message = message.removeprefix("Parser key ")
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


def one_line(error):
    """An error's message on a single line."""
    return " ".join(str(error).split())
