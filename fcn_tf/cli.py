"""The commands: each parses, calls one function, and exits with a code that says how it went.

0 done; 1 begun and failed; 2 input or configuration refused before any work;
130 Ctrl-C; 143 SIGTERM. TensorFlow is imported only once a command works.
"""

import importlib
import itertools
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser
from jsonargparse.typing import ClosedUnitInterval, PositiveFloat, PositiveInt

from fcn_tf.config import Config, DataConfig, ExportConfig, Geometry, Preprocessing, Variant
from fcn_tf.config_files import (
    RUN_CONFIG_FILE,
    config_parser,
    explain,
    find_config,
    one_line,
    parse_recipe,
    run_config,
    to_config,
)
from fcn_tf.errors import InputError, RunError
from fcn_tf.quiet import stderr_held_back
from fcn_tf.version import __version__

DEFAULT_RECIPE = "shapes"
ANY_MODEL = "a run folder, a .keras file, a SavedModel or a .tflite file."


def main(arguments=None):
    """Runs a command; exits unless all went well.

    Args:
        arguments: list of strings; default those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Taken out before parsing, so that it is no key of a recipe.
    show_traceback = "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        _run(arguments)
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        if show_traceback:
            traceback.print_exc()
        message, code = _describe(error)
        print(f"fcn-tf: {one_line(message)}", file=sys.stderr)
        sys.exit(code)


def _describe(error):
    """What to say of an error, and the exit code."""
    match error:
        case InputError():
            return error, 2
        case RunError():
            return error, 1
        case KeyboardInterrupt():
            return "stopped by Ctrl-C; what was saved stays.", 130
        case _Terminated():
            return "stopped by SIGTERM; what was saved stays.", 143
    if "No space left on device" in str(error):
        return f"the disk is full; what was there is untouched. Free some space. ({error})", 1
    return f"failed: {type(error).__name__}: {error} (--traceback shows where)", 1


class _Terminated(BaseException):
    """SIGTERM, raised where the program stands."""


def _raise_terminated(signum, frame):
    raise _Terminated


def _run(arguments):
    parser = ArgumentParser(
        prog="fcn-tf",
        description="Fully convolutional networks for semantic segmentation.",
        version=__version__,
        exit_on_error=False,
        allow_abbrev=False,
    )
    subcommands = parser.add_subcommands()
    parsers = {}
    for name, (run, make_parser) in COMMANDS.items():
        parsers[name] = make_parser(arguments[1:] if arguments[:1] == [name] else [])
        parsers[name].description = f"{run.__doc__} --traceback shows where an error arose."
        subcommands.add_subcommand(name, parsers[name], help=run.__doc__)
    arguments = _recipe_first(arguments) if arguments[:1] == ["train"] else arguments
    try:
        values = parser.parse_args(arguments)
    except Exception as error:  # jsonargparse raises several kinds for what it refuses
        known = parsers.get(arguments[0], parser) if arguments else parser
        raise InputError(explain(error, known)) from error
    run, _ = COMMANDS[values.subcommand]
    run(values[values.subcommand], parsers[values.subcommand])


def train(values, parser):
    """Train a network; without --config on generated scenes, with no download."""
    config = to_config(parser, values)
    if config.data.name == "shapes":
        print(
            "Training on generated scenes. On your own images: --data.data_dir DIR (README, "
            "'Your own images'); on PASCAL VOC: --config voc.",
            flush=True,
        )
    if config.distribution.virtual_devices:
        # TensorFlow's oneDNN kernels fail on a processor that is split.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    _import_quietly("tensorflow")
    from fcn_tf.training.loop import train
    from fcn_tf.training.state import default_workdir

    recipe = values.config[-1].absolute if values.config else None
    train(config, config.workdir or default_workdir(recipe, config.variant, config.resume))


def evaluate(values, parser):
    """Score a model: the paper's four scores, the IU of each class, and a report."""
    data = None
    if values.config or parser.names_data or run_config(values.model).is_file():
        data = Config(data=parser.instantiate(values).data).data
    _import_quietly("tensorflow")
    from fcn_tf.scoring import report_model

    report_model(
        values.model,
        data,
        values.split,
        values.out,
        values.compare,
        values.tile_px,
        values.flip,
        _scales(values.scales),
    )


def check_data(values, parser):
    """Read all of a data set and say what is wrong with which file."""
    data = Config(data=parser.instantiate(values).data).data
    _import_quietly("tensorflow")
    from fcn_tf.checking import check_and_report

    check_and_report(data, values.out, values.json)


def import_weights(values, parser):
    """Turn published weights (.pth, .npz, .safetensors) into a model."""
    _import_quietly("tensorflow")
    from fcn_tf.importing import import_weights

    import_weights(values.file, values.variant, values.out, values.geometry, values.class_names)


def heatmap(values, parser):
    """Draw where a classifier sees a class: dense layers turned into convolutions."""
    _import_quietly("tensorflow")
    from fcn_tf.files import read_lines
    from fcn_tf.heatmap import heatmap

    names = read_lines(values.class_names) if values.class_names else None
    classes = [name.strip() for name in values.classes.split(",") if name.strip()]
    heatmap(
        values.model,
        classes,
        values.image,
        values.out,
        values.preprocessing,
        names,
        values.weights,
    )


def export(values, parser):
    """Write a SavedModel for TensorFlow Serving and TFLite files for devices, verified."""
    tflite, size = values.tflite, values.tflite.size
    if size is not None and not re.fullmatch(r"\d+x\d+", size):
        raise InputError(f"tflite.size={size}: it must be HEIGHTxWIDTH, 320x480 for example.")
    config = ExportConfig(
        formats=_names(values.formats),
        precision=values.precision,
        max_pixels=values.saved_model.max_pixels,
        quantize=_names(tflite.quantize) if tflite.quantize else None,
        size_px=tuple(map(int, size.split("x"))) if size else None,
        output=tflite.output,
        calibration_images=tflite.calibration_images,
    )
    data = None  # that of the run, if it is one
    if values.config or parser.names_data:
        data = Config(data=parser.instantiate(values).data).data
    _import_quietly("tensorflow")
    from fcn_tf.exporting.export import export

    export(values.model, values.out, data, config)


def predict(values, parser):
    """Label images with a model of any kind: files of labels, overlays, scores."""
    shard = None
    if values.shard is not None:
        match = re.fullmatch(r"(\d+)/(\d+)", values.shard)
        shard = match and (int(match[1]), int(match[2]))
        if not shard or shard[0] >= shard[1]:
            raise InputError(f"--shard {values.shard}: it must be 0/N to N-1/N, 0/4 for example.")
    formats = _formats(values.format, ("png", "overlay", "npy"))
    _import_quietly("tensorflow")
    from fcn_tf.predicting import predict

    predict(
        values.model,
        values.images,
        values.out,
        formats,
        values.tile_px,
        values.flip,
        _scales(values.scales),
        values.batch_size,
        values.max_pixels,
        shard,
        values.opacity,
        values.overwrite,
    )


def _scales(text):
    try:
        return tuple(float(scale) for scale in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--scales {text}: they must be numbers, 0.75,1,1.25 for example."
        ) from error


def request(values, parser):
    """Have a TensorFlow Serving server label images, over REST or gRPC."""
    if values.url.startswith("grpc"):
        _import_quietly("tensorflow")
    from fcn_tf.client import request
    from fcn_tf.files import read_lines

    request(
        values.url,
        values.images,
        values.out,
        values.concurrency,
        values.timeout_seconds,
        _formats(values.format, ("png", "overlay")),
        read_lines(values.class_names) if values.class_names else None,
        values.opacity,
        values.overwrite,
    )


def _formats(text, allowed):
    """The names in a comma-separated list, some of those allowed."""
    names = _names(text)
    if not names or not set(names) <= set(allowed):
        raise InputError(f"--format {text}: it must be some of {','.join(allowed)}.")
    return names


def _names(text):
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _train_parser(arguments):
    return config_parser()


def _evaluate_parser(arguments):
    parser = _parser_of_model_and_data(arguments)
    splits = Literal["train", "val", "trainval", "test"]
    parser.add_argument("--split", type=splits, default="val", help="what to score on.")
    parser.add_argument(
        "--out", type=str | None, help="folder for the report; default report/ beside the model."
    )
    parser.add_argument(
        "--compare", type=str | None, help="another model, whose scores stand beside."
    )
    _add_test_time(parser)
    return parser


def _export_parser(arguments):
    parser = _parser_of_model_and_data(arguments)
    parser.add_argument(
        "--out", type=str, required=True, help="folder for saved_model/1, tflite/1, then 2, …"
    )
    parser.add_argument(
        "--formats", type=str, default="saved_model,tflite", help="which of the two to write."
    )
    precisions = Literal["float32", "bfloat16"]
    parser.add_argument(
        "--precision", type=precisions, default="float32", help="of the SavedModel."
    )
    parser.add_argument(
        "--saved_model.max_pixels",
        type=int,
        default=ExportConfig.max_pixels,
        help="pixels of a call above which the SavedModel refuses it.",
    )
    parser.add_argument(
        "--tflite.quantize",
        type=str | None,
        help="some of float32,float16,dynamic,int8; default all, int8 only with data.",
    )
    parser.add_argument(
        "--tflite.size", type=str | None, help="HEIGHTxWIDTH to fix the files to; default any."
    )
    outputs = Literal["scores", "labels"]
    parser.add_argument("--tflite.output", type=outputs, default="scores", help="what they give.")
    parser.add_argument(
        "--tflite.calibration_images",
        type=int,
        default=ExportConfig.calibration_images,
        help="images of train that int8 is calibrated on.",
    )
    return parser


def _parser_of_model_and_data(arguments):
    """A parser of --model, and of --config and --data.*, by default those of the model's run."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--model", type=str, required=True, help=ANY_MODEL)
    own = run_config(_value_of("--model", arguments) or "")
    help = "names the data; default the run's own config.yaml."
    _add_data(parser, arguments, help, own if own.is_file() else None)
    parser.names_data = any(argument.startswith("--data") for argument in arguments)
    return parser


def _add_data(parser, arguments, help, recipe=None):
    """Adds --config and --data.*, whose defaults are those of --config or else of `recipe`."""
    parser.add_argument("--config", type=str | None, help=help)
    parser.add_argument("--data", type=DataConfig)
    if recipe := _value_of("--config", arguments) or recipe:
        # The file's values as they stand: whether they fit is judged with the command line's.
        parser.set_defaults({"data": parse_recipe(recipe).data.as_dict()})


def _check_data_parser(arguments):
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--out", type=str, default="check-data", help="folder for the sheet of samples."
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON.")
    _add_data(parser, arguments, "a recipe that names the data.")
    return parser


def _import_weights_parser(arguments):
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("file", type=str, help="a .pth, .npz or .safetensors file.")
    parser.add_argument("--variant", type=Variant, required=True, help="what the file holds.")
    parser.add_argument("--out", type=str, required=True, help="the .keras file to write.")
    parser.add_argument(
        "--geometry",
        type=Geometry | None,
        help="caffe, the default, answers what the published network does; same, cheaper, is not "
        "what the weights were trained for. The ResNets have same alone.",
    )
    parser.add_argument(
        "--class_names",
        type=str | None,
        help="a file with a name a line; default PASCAL VOC's where there are 21 classes.",
    )
    return parser


def _heatmap_parser(arguments):
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("image", type=str, help="an image, larger than the classifier's.")
    parser.add_argument(
        "--model",
        type=str,
        default="vgg16",
        help="vgg16, or the .keras file of a classifier.",
    )
    parser.add_argument(
        "--classes", type=str, required=True, help='names or numbers: "tabby,tiger cat".'
    )
    parser.add_argument("--out", type=str, required=True, help="the PNG to write.")
    parser.add_argument(
        "--preprocessing",
        type=Preprocessing | None,
        help="what the classifier wants, by keras.applications' names; caffe for vgg16.",
    )
    parser.add_argument(
        "--class_names",
        type=str | None,
        help="a file with a name a line; default ImageNet's where there are 1000 classes.",
    )
    parser.add_argument(
        "--weights", type=str, default="imagenet", help="of vgg16: imagenet or a file of them."
    )
    return parser


def _predict_parser(arguments):
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--model", type=str, required=True, help=ANY_MODEL)
    _add_images(parser, "png,overlay,npy")
    _add_test_time(parser)
    parser.add_argument(
        "--batch_size", type=PositiveInt, default=1, help="tiles of one size at once, for GPUs."
    )
    parser.add_argument(
        "--max_pixels",
        type=PositiveInt,
        default=2 * 89_478_485,
        help="the largest image that is read; default Pillow's limit.",
    )
    parser.add_argument(
        "--shard", type=str | None, help="0/4 to 3/4: a quarter of the images, on four machines."
    )
    return parser


def _add_test_time(parser):
    """Adds how an image is predicted."""
    parser.add_argument(
        "--tile_px",
        type=PositiveInt | None,
        help="side of the tiles of large images, a multiple of 32; default 1024 above 4 "
        "megapixels. The labels are those of the whole image.",
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image.")
    parser.add_argument(
        "--scales", type=str, default="1", help="average over scales, 0.75,1,1.25 for example."
    )


def _request_parser(arguments):
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--url",
        type=str,
        required=True,
        help="http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME.",
    )
    _add_images(parser, "png,overlay")
    parser.add_argument("--concurrency", type=PositiveInt, default=8, help="requests at once.")
    parser.add_argument(
        "--timeout_seconds",
        type=PositiveFloat,
        default=60.0,
        help="how long the server may take for an image.",
    )
    parser.add_argument(
        "--class_names",
        type=str | None,
        help="the labels.txt of the export, for the overlay's legend; default numbers.",
    )
    return parser


def _add_images(parser, formats):
    """Adds what images are taken, and what is written of each."""
    parser.add_argument(
        "images",
        type=str,
        nargs="+",
        help='files, folders, patterns ("photos/**/*.jpg"), or - for a list on standard input.',
    )
    parser.add_argument("--out", type=str, required=True, help="folder for the files.")
    parser.add_argument(
        "--format", type=str, default="png,overlay", help=f"some of {formats}: what to write."
    )
    parser.add_argument(
        "--opacity", type=ClosedUnitInterval, default=0.5, help="of the overlay's colours, 0 to 1."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="take images again whose files are there."
    )


# By name: what runs it, and what makes its parser from the arguments that follow the name.
COMMANDS = {
    "train": (train, _train_parser),
    "evaluate": (evaluate, _evaluate_parser),
    "export": (export, _export_parser),
    "predict": (predict, _predict_parser),
    "request": (request, _request_parser),
    "check-data": (check_data, _check_data_parser),
    "import-weights": (import_weights, _import_weights_parser),
    "heatmap": (heatmap, _heatmap_parser),
}


def _recipe_first(arguments):
    """Puts --config, as a path, before all else: what the command line says goes over the file.

    Where neither a recipe nor data is named, the recipe is that of the run to resume,
    or else the default one. A bare --resume is --resume always.
    """
    arguments = [
        "--resume=always" if argument == "--resume" and following.startswith("-") else argument
        for argument, following in itertools.pairwise([*arguments, "-"])
    ]
    recipe = _value_of("--config", arguments)
    own = Path(_value_of("--workdir", arguments) or "", RUN_CONFIG_FILE)
    resumes = _value_of("--resume", arguments) in ("auto", "always")
    if recipe is None and resumes and _value_of("--workdir", arguments) and own.is_file():
        recipe = own
    if recipe is None:
        own_images = _value_of("--data.data_dir", arguments)
        if own_images or _value_of("--data.name", arguments) in ("folder", "voc"):
            return arguments
        recipe = DEFAULT_RECIPE
    others = []
    for before, argument in itertools.pairwise(["", *arguments]):
        if not (argument.startswith("--config") or before == "--config"):
            others.append(argument)
    return [others[0], f"--config={find_config(recipe)}", *others[1:]]


def _value_of(option, arguments):
    """The last value given for an option, or None."""
    value = None
    for argument, following in itertools.pairwise([*arguments, ""]):
        if argument == option:
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
    return value


def _import_quietly(module):
    """Imports a module whose libraries write to stderr before they can be told not to."""
    with stderr_held_back():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        importlib.import_module(module)
