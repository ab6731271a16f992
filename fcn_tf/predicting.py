"""`predict`: the labels of many images, as files."""

import numpy as np

from fcn_tf.errors import InputError
from fcn_tf.files import make_folder
from fcn_tf.image_files import MAX_PIXELS, find_images, open_pixels
from fcn_tf.prediction_files import work_through, write_prediction
from fcn_tf.predictor import Predictor


def predict(
    model,
    images,
    out,
    formats=("png", "overlay"),
    tile_px=None,
    flip=False,
    scales=(1.0,),
    batch_size=1,
    max_pixels=MAX_PIXELS,
    shard=None,
    opacity=0.5,
    overwrite=False,
):
    """Predicts images and writes their labels, overlays or scores.

    Args:
        model: a run folder, a `.keras` file, a SavedModel or a `.tflite` file.
        images: list of strings: files, folders, patterns, "-" for standard input.
        out: folder for the files.
        formats: some of "png", the labels, "overlay" and "npy", the scores.
        tile_px, flip, scales, batch_size: as in `Predictor`.
        max_pixels: int, the largest image that is read.
        shard: (index, count) to take every count-th image alone, or None.
        opacity: of the overlay's colours, 0 to 1.
        overwrite: bool, whether images whose files are there are predicted again.

    Raises:
        InputError: no such model or image, or options that do not fit.
        RunError: images that failed, each of which was named.
    """
    images = find_images(images, out, shard)
    make_folder(out)
    predictor = Predictor(model, tile_px, flip, scales, batch_size, shows_progress=True)
    network = predictor.network
    if "npy" in formats and network.scores is None:
        raise InputError("--format npy: this file gives labels alone; export it with scores.")
    names = network.class_names or [str(label) for label in range(network.num_classes)]

    def work(image, paths):
        pixels = open_pixels(image.path, max_pixels)
        scores = predictor.scores(pixels) if "npy" in paths else None
        labels = predictor(pixels) if scores is None else scores.argmax(-1).astype(np.uint8)
        shown = np.asarray(pixels[:, :]) if "overlay" in paths else None
        write_prediction(paths, shown, labels, names, network.palette, opacity, scores)

    work_through(images, work, out, formats, overwrite)
