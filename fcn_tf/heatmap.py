"""Where in an image a classifier sees a class: figure 2 of the paper."""

import math
from pathlib import Path

import keras
import numpy as np
from PIL import Image, UnidentifiedImageError

from fcn_tf.drawing import heatmap_figure, write_figure
from fcn_tf.errors import InputError
from fcn_tf.models import convolutionalize
from fcn_tf.models.weights import imagenet_vgg16

IMAGENET_CLASSES = 1000
# keras.applications' names of what a classifier wants its pixels turned into.
PREPROCESSING = ("caffe", "tf", "torch", "none")


def heatmap(model, classes, image, out, preprocessing=None, class_names=None):
    """Draws where a classifier sees some classes, the sum of their probabilities.

    Args:
        model: "vgg16", with ImageNet's weights, or the .keras or .h5 file of a
            classifier.
        classes: names or numbers of classes.
        image: path of an image. One smaller than the classifier's is enlarged.
        out: path of the PNG.
        preprocessing: "caffe" (BGR less the mean), "tf" (-1..1), "torch" (0..1,
            less the mean, by the deviation) or "none"; what keras.applications
            documents for the classifier. Default caffe for vgg16.
        class_names: names in the order of the classifier's outputs; default
            ImageNet's where there are 1000.

    Returns:
        float32 array (h, w), the map.

    Raises:
        InputError: no such model, class or image.
    """
    if preprocessing is None and model != "vgg16":
        raise InputError(
            f"--preprocessing is needed for {model}: {', '.join(PREPROCESSING)}, as "
            "keras.applications documents for the classifier."
        )
    pixels = _read(image)
    classifier = imagenet_vgg16() if model == "vgg16" else _load(model)
    try:
        network = convolutionalize(classifier)
    except ValueError as error:
        raise InputError(f"{model}: {error}") from error
    columns = _columns(classes, network.output.shape[-1], class_names)

    side_px = classifier.inputs[0].shape[1:3]
    scale = max(
        1.0, *(side / length for side, length in zip(side_px, pixels.size[::-1], strict=True))
    )
    if scale > 1:
        print(f"The image is smaller than the classifier's {side_px}: enlarged {scale:.2f} times.")
        pixels = pixels.resize([math.ceil(length * scale) for length in pixels.size])
    fed = np.asarray(pixels, "float32")[None]
    if (mode := preprocessing or "caffe") != "none":
        fed = keras.applications.imagenet_utils.preprocess_input(fed, mode=mode)
    scores = keras.ops.convert_to_numpy(network(fed, training=False))[0]  # (h, w, classes)
    heat = scores[..., columns].sum(axis=-1)

    row, column = np.unravel_index(heat.argmax(), heat.shape)
    print(
        f"{heat.shape[0]} x {heat.shape[1]} cells, the highest {heat.max():.3f} at {row}, {column}"
    )
    extent_px = _extent(network, side_px, heat.shape)
    title = ", ".join(map(str, classes))
    write_figure(Path(out), heatmap_figure(np.asarray(pixels), heat, extent_px, title))
    print(f"Written: {out}")
    return heat


def _read(path):
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error


def _load(path):
    if not Path(path).is_file():
        raise InputError(f"--model {path}: neither vgg16 nor a file.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"{path} cannot be loaded as a Keras model: {error}") from error


def _columns(classes, num_classes, class_names):
    """The numbers of the classes that are named."""
    if all(str(name).isdigit() for name in classes):
        columns = [int(name) for name in classes]
        names = None
    else:
        names = class_names or _imagenet_names(num_classes)
        known = {_plain(name): index for index, name in enumerate(names)}
        columns = [known.get(_plain(name), num_classes) for name in classes]
    wrong = [str(n) for n, column in zip(classes, columns, strict=True) if column >= num_classes]
    if wrong:
        shown = f": {', '.join(names[:5])}, …" if names else ""
        raise InputError(
            f"--classes {', '.join(wrong)}: the classifier has {num_classes} classes{shown}; give "
            f"their names or their numbers, 0 to {num_classes - 1}."
        )
    return columns


def _imagenet_names(num_classes):
    if num_classes != IMAGENET_CLASSES:
        raise InputError(
            f"The names of the classifier's {num_classes} classes are not known: give "
            "--class_names FILE, a name a line, or numbers."
        )
    try:
        # The one class of probability 1, for each class: so the whole list by a public call.
        best = keras.applications.imagenet_utils.decode_predictions(np.eye(num_classes), top=1)
    except Exception as error:  # Keras raises a bare Exception
        raise InputError(
            "The names of ImageNet's classes cannot be downloaded: give their numbers, or "
            f"--class_names FILE, a name a line. {error}"
        ) from error
    return [name for ((_, name, _),) in best]


def _plain(name):
    return str(name).strip().lower().replace("_", " ")


def _extent(network, side_px, cells):
    """(left, right, bottom, top) in pixels of a map whose cells stand at their windows' centres."""
    many = 100
    far = network.compute_output_shape((1, side_px[0] + 32 * many, side_px[1], 3))[1] - 1
    stride_px = 32 * many / far
    middles = [side / 2 - stride_px / 2 for side in side_px]
    bottom, right = (m + stride_px * n for m, n in zip(middles, cells, strict=True))
    return (middles[1], right, bottom, middles[0])
