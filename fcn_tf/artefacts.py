"""Models of every kind behind one interface: runs, `.keras` files, SavedModels, TFLite files."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from fcn_tf.classes import voc_palette
from fcn_tf.config_files import EXPORT_FILE
from fcn_tf.errors import InputError
from fcn_tf.models import load_model
from fcn_tf.models.reach import margin_px


@dataclass(frozen=True)
class Network:
    """A model to predict with.

    Args:
        scores: uint8 images (N, H, W, 3) to softmax float32 (N, H, W, C); None where the
            file gives labels alone.
        labels: uint8 images (N, H, W, 3) to uint8 (N, H, W).
        num_classes: int, C.
        class_names: C strings, or None where they are not known.
        palette: C RGB triples.
        margin_px: what a tile needs around it, or None where it is not known.
        size_px: (height, width) where they are fixed, or None.
        max_pixels: int, the pixels of a call above which it is refused, or None.
    """

    scores: Callable | None
    labels: Callable
    num_classes: int
    class_names: tuple[str, ...] | None
    palette: list
    margin_px: int | None
    size_px: tuple[int, int] | None = None
    max_pixels: int | None = None


def load_network(model_or_path):
    """Loads any kind of model.

    Args:
        model_or_path: an `FCN`, a run folder, a `.keras` file, the folder of a SavedModel or
            of its versions, or a `.tflite` file.

    Returns:
        A `Network`.

    Raises:
        InputError: there is none, or it is none of this package.
    """
    if not isinstance(model_or_path, (str, Path)):
        return of_model(model_or_path)
    path = Path(model_or_path).expanduser()
    if path.suffix == ".tflite":
        return _of_tflite(path)
    if saved := saved_model_folder(path):
        return _of_saved_model(saved)
    return of_model(load_model(path))


def of_model(model):
    """The `Network` of an `FCN`, compiled once for all image sizes."""

    def compiled(function):
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        traced = tf.function(lambda x: function(model(x, training=False)), signature)
        return lambda images: traced(images).numpy()

    return Network(
        compiled(tf.nn.softmax),
        compiled(lambda logits: tf.cast(tf.argmax(logits, axis=-1), tf.uint8)),
        model.num_classes,
        model.class_names and tuple(model.class_names),
        model.palette or voc_palette(model.num_classes).tolist(),
        margin_px(model),
    )


def saved_model_folder(path):
    """The SavedModel at a path: itself, or the newest of its versions; None if there is none."""
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    versions = [
        int(p.parent.name) for p in path.glob("*/saved_model.pb") if p.parent.name.isdigit()
    ]
    return path / str(max(versions)) if versions else None


def about_of(path):
    """What the export wrote of a SavedModel or a TFLite file, a dict; empty for any other model."""
    path = Path(path)
    folder = path.parent if path.suffix == ".tflite" else saved_model_folder(path)
    file = folder and folder / EXPORT_FILE
    if file is None or not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}): export the model again.") from error


def _described(scores, labels, num_classes, path, size_px=None):
    """A `Network` with what export.json says of it, if there is one."""
    about = about_of(path)
    names = about.get("classes")
    if names is not None and len(names) != num_classes:
        raise InputError(
            f"{path} has {num_classes} classes and {EXPORT_FILE} beside it names {len(names)}: "
            "they do not belong together."
        )
    return Network(
        scores,
        labels,
        num_classes,
        names and tuple(names),
        about.get("palette") or voc_palette(num_classes).tolist(),
        about.get("margin_px"),
        size_px,
        about.get("max_pixels"),
    )


def _of_saved_model(folder):
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(f"{folder} cannot be loaded as a SavedModel: {error}") from error
    missing = {"scores", "labels"} - set(loaded.signatures)
    if missing:
        raise InputError(
            f"{folder} has no signature {' and '.join(sorted(missing))}: it is not an export of "
            "fcn-tf."
        )
    num_classes = loaded.signatures["scores"].structured_outputs["scores"].shape[-1]

    def checked(name):
        def run(images):
            try:
                # By way of `loaded`, which has to live as long as its signatures are called.
                return loaded.signatures[name](images=tf.constant(images))[name].numpy()
            except tf.errors.InvalidArgumentError as error:
                raise InputError(
                    "The SavedModel refuses the image; above the pixels that it was exported for "
                    f"(--saved_model.max_pixels) give --tile_px: {error.message.splitlines()[-1]}"
                ) from error

        return run

    return _described(checked("scores"), checked("labels"), num_classes, folder)


def _of_tflite(path):
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise InputError(f"{path} is no model: there is no such file.")
    try:
        interpreter = Interpreter(str(path), num_threads=len(os.sched_getaffinity(0)))
    except ValueError as error:
        raise InputError(f"{path} cannot be loaded as a TFLite file: {error}") from error
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if given["dtype"] != np.uint8 or len(given["shape"]) != 4:
        raise InputError(f"{path} does not take a uint8 image: it is not an export of fcn-tf.")
    signature = given["shape_signature"]
    size_px = None if -1 in signature else tuple(int(side) for side in signature[1:3])
    state = {"shape": None}

    def run(images):
        answers = []
        for image in images:  # the files take one at a time
            if state["shape"] != image.shape:
                interpreter.resize_tensor_input(given["index"], (1, *image.shape))
                interpreter.allocate_tensors()
                state["shape"] = image.shape
            interpreter.set_tensor(given["index"], image[None])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(answered["index"])[0])
        return np.stack(answers)

    if answered["dtype"] == np.uint8:
        names = about_of(path).get("classes")
        return _described(None, run, len(names) if names else 256, path, size_px)
    num_classes = int(answered["shape"][-1])
    return _described(
        run, lambda images: run(images).argmax(-1).astype(np.uint8), num_classes, path, size_px
    )
