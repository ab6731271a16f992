"""Where in an image a model sees a class: figure 2 of the paper, of classifiers and of FCNs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.config.schema import Preprocessing
from fcn_tf.errors import InputError
from fcn_tf.images.figures import heatmap_figure, write_figure
from fcn_tf.images.formats import pages_of
from fcn_tf.images.read import read_rgb, resize
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import FCN, convolutionalize
from fcn_tf.models.saving import load_keras_file
from fcn_tf.models.weights.classifiers import imagenet_classifier

IMAGENET_CLASSES = 1000


def heatmap(
    model: str | Path,
    classes: Sequence[str],
    image: str | Path,
    out: str | Path,
    *,
    preprocessing: str | None = None,
    class_names: Sequence[str] | None = None,
    weights: str | Path = "imagenet",
) -> NDArray[np.float32]:
    """Draws where a model sees some classes: the sum of their probabilities.

    Args:
        model: "vgg16", the .keras or .h5 file of a classifier, or a segmentation model of any kind
            that `Predictor` takes.
        classes: names or numbers of classes.
        image: path of an image. One smaller than the classifier's is enlarged.
        out: path of the PNG.
        preprocessing: "caffe" (BGR less the mean), "tf" (-1..1), "torch" (0..1,
            less the mean, by the deviation) or "none"; what keras.applications
            documents for the classifier. Default caffe for vgg16.
        class_names: names in the order of the classifier's outputs; default
            ImageNet's where there are 1000. A segmentation model has its own.
        weights: of vgg16: "imagenet", or a file of such weights.

    Returns:
        float32 array (h, w), the map: a cell for each window of a classifier, and a cell for each
        pixel of a segmentation model.

    Raises:
        InputError: no such model, class or image, or a place that cannot be written to.
    """
    out = Path(out)
    if out.suffix.lower() != ".png" or (out.exists() and out.samefile(image)):
        raise InputError(f"--out {out}: it must end in .png and not be the image.")
    # Weights may be fetched for vgg16; an image that cannot be read is refused before.
    pixels = read_rgb(image) if model == "vgg16" else None
    found = _model(model, weights)
    if isinstance(found, Predictor):
        if preprocessing is not None or class_names is not None:
            raise InputError(
                f"--preprocessing and --class_names are of classifiers: {model} is a segmentation "
                "model, which holds both."
            )
        drawn = _of_segmentation(found, image, classes)
    else:
        if preprocessing is None and model != "vgg16":
            raise InputError(
                f"--preprocessing is needed for {model}: {', '.join(get_args(Preprocessing))}, as "
                "keras.applications documents for the classifier."
            )
        network = _convolutionalized(found, model)
        columns = _columns(classes, network.output.shape[-1], class_names)
        mode = preprocessing or "caffe"
        pixels = read_rgb(image) if pixels is None else pixels
        drawn = _of_classifier(found, network, pixels, columns, preprocessing=mode)
    if (pages := pages_of(image)) > 1:
        print(f"{image} has {pages} pages or frames, of which the first is taken.")

    heat = drawn.heat
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    size = f"{heat.shape[0]} x {heat.shape[1]}"
    print(f"{size} cells; the highest, row {row}, column {column}: {heat.max():.3f}")
    title = ", ".join(f"class {name}" if name.isdecimal() else name for name in classes)
    write_figure(out, heatmap_figure(drawn.image, heat, drawn.extent_px, title))
    print(f"Written: {out}")
    return heat


def _model(model: str | Path, weights: str | Path) -> Any:
    """The classifier that the user names, a Keras model of RGB images; or a `Predictor`."""
    if model == "vgg16":
        return imagenet_classifier("VGG16", "--weights FILE", str(weights))
    path = Path(model).expanduser()
    if path.suffix not in (".keras", ".h5"):
        if not path.exists():
            raise InputError(f"--model {model}: neither vgg16 nor a file.")
        return Predictor(path)
    if not path.is_file():
        raise InputError(f"--model {model}: neither vgg16 nor a file.")
    loaded = load_keras_file(path)
    return Predictor(loaded) if isinstance(loaded, FCN) else loaded


class Drawn(NamedTuple):
    """What is drawn.

    Args:
        image: uint8 (H, W, 3).
        heat: float32 (h, w).
        extent_px: left, right, bottom and top of the map in the image.
    """

    image: NDArray[np.uint8]
    heat: NDArray[np.float32]
    extent_px: tuple[float, float, float, float]


def _of_segmentation(predictor: Predictor, image: str | Path, classes: Sequence[str]) -> Drawn:
    """The probabilities at every pixel."""
    model = predictor.model
    columns = _columns(classes, model.num_classes, model.class_names)
    pixels = read_rgb(image, value_range=model.value_range, bands=model.bands)
    heat = predictor.scores(pixels)[..., columns].sum(axis=-1)
    if line := predictor.other_sizes_line():
        print(line)
    return Drawn(pixels, heat, (0.0, float(pixels.shape[1]), float(pixels.shape[0]), 0.0))


def _of_classifier(
    classifier: Any,
    network: Any,
    pixels: NDArray[np.uint8],
    columns: list[int],
    *,
    preprocessing: str,
) -> Drawn:
    """The probabilities that the classifier's network gives at every place."""
    side_px = classifier.inputs[0].shape[1:3]
    pixels = _enlarged(pixels, side_px)
    fed = pixels[None].astype("float32")
    if preprocessing != "none":
        fed = keras.applications.imagenet_utils.preprocess_input(fed, mode=preprocessing)
    scores = network(fed, training=False)[0]  # (h, w, classes)
    if not _gives_probabilities(classifier):
        print("The classifier gives logits: softmax makes them probabilities.")
        scores = keras.ops.softmax(scores)
    heat = keras.ops.convert_to_numpy(scores)[..., columns].sum(axis=-1)
    return Drawn(pixels, heat, _extent(network, side_px, heat.shape))


def _convolutionalized(classifier: Any, name: str | Path) -> Any:
    """The classifier's network on larger images; an `InputError` where there is none."""
    try:
        network = convolutionalize(classifier)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    channels = classifier.inputs[0].shape[3]
    if channels != 3:
        raise InputError(f"{name} takes images of {channels} channels, not RGB.")
    return network


def _enlarged(pixels: NDArray[np.uint8], side_px: tuple[int, int]) -> NDArray[np.uint8]:
    """The image, enlarged where it is smaller than the classifier's; that is said."""
    scale = max(1.0, *(least / side for least, side in zip(side_px, pixels.shape, strict=False)))
    if scale == 1:
        return pixels
    size = f"{side_px[0]} x {side_px[1]} px"
    print(f"The image is smaller than the classifier's {size}: enlarged {scale:.2f} times.")
    larger_px = [math.ceil(side * scale) for side in pixels.shape[:2]]
    return resize(pixels, larger_px, Image.Resampling.BICUBIC)


def _gives_probabilities(classifier: Any) -> bool:
    """Whether the last layer is a softmax or a sigmoid, inside it or of its own."""
    last = classifier.layers[-1]
    ends = (keras.activations.softmax, keras.activations.sigmoid)
    return isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) in ends


def _columns(
    classes: Sequence[str], num_classes: int, class_names: Sequence[str] | None
) -> list[int]:
    """The numbers of the classes that are named."""
    if not classes:
        raise InputError('--classes names none: give names or numbers, "tabby,tiger cat".')
    names = None
    if not all(name.isdecimal() for name in classes):
        names = [_spelled_alike(name) for name in class_names or _imagenet_names(num_classes)]
        if len(names) != num_classes:
            raise InputError(
                f"--class_names has {len(names)} names, the classifier {num_classes} classes."
            )
    columns = [_column(name, names, num_classes) for name in classes]
    if len(set(columns)) < len(columns):
        raise InputError(f"--classes {', '.join(classes)}: each may be named once.")
    return columns


def _column(name: str, names: list[str] | None, num_classes: int) -> int:
    """The number of a class that is given by its name, or by its number where `names` is None."""
    if names is None:
        found = [int(name)] if int(name) < num_classes else []
    else:
        found = [index for index, known in enumerate(names) if known == _spelled_alike(name)]
    if len(found) > 1:
        raise InputError(f"--classes {name}: {found} are called so; give numbers.")
    if not found:
        shown = f" ({', '.join(names[:5])}, …)" if names else ""
        raise InputError(
            f"--classes {name}: the model has {num_classes} classes{shown}; give all by "
            f"name or all by number, 0 to {num_classes - 1}."
        )
    return found[0]


def _imagenet_names(num_classes: int) -> list[str]:
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
            "The names of ImageNet's classes cannot be had: give their numbers, or "
            f"--class_names FILE, a name a line. {error}"
        ) from error
    return [name for ((_, name, _),) in best]


def _spelled_alike(name: str) -> str:
    return name.strip().lower().replace("_", " ")


def _extent(
    network: Any, side_px: Sequence[int], cells: Sequence[int]
) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) in px of a map whose cells stand at their windows' centres."""
    far_px = 3200  # far enough that the rounding of sizes inside the network does not show
    steps = network.compute_output_shape((1, side_px[0] + far_px, side_px[1], 3))[1] - 1
    stride_px = far_px / steps
    top, left = (side / 2 - stride_px / 2 for side in side_px)
    return (left, left + stride_px * cells[1], top + stride_px * cells[0], top)
