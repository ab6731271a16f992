"""What a command makes of many images: files of each, and the names of those that failed."""

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_tf.drawing import overlay
from fcn_tf.errors import InputError, RunError
from fcn_tf.files import written_whole
from fcn_tf.progress import with_progress

# What follows the full name of an image, by format.
SUFFIXES = {"png": ".png", "overlay": ".overlay.png", "npy": ".scores.npy"}
NAMED_FAILURES = 1000  # more are counted


def paths_of(image, out, formats):
    """Where the files of an image go, a dict by format."""
    name = Path(out) / image.name
    return {kind: name.with_name(name.name + SUFFIXES[kind]) for kind in formats}


def write_prediction(paths, image, labels, names, palette, opacity, scores=None):
    """Writes what was predicted of an image, each file whole.

    Args:
        paths: as `paths_of` gives them.
        image: uint8 (H, W, 3), for the overlay.
        labels: uint8 (H, W).
        names, palette: of the classes, for legend and colours.
        opacity: of the colours over the image, 0 to 1.
        scores: float32 (H, W, C), for "npy".
    """
    for kind, path in paths.items():
        with written_whole(path) as beside:
            if kind == "png":
                picture = Image.fromarray(labels, "P")
                picture.putpalette(np.asarray(palette, np.uint8).tobytes())
                picture.save(beside)
            elif kind == "overlay":
                overlay(image, labels, names, palette, opacity).save(beside)
            else:
                np.save(beside, scores)


def work_through(images, work, out, formats, overwrite=False, concurrency=1):
    """Calls a function for every image; one that fails does not stop the others.

    Args:
        images: a list of `ImageFile`.
        work: a function of an `ImageFile` and its `paths_of`, which writes them.
        out, formats: as in `paths_of`.
        overwrite: bool, whether images whose files are all there are taken again.
        concurrency: int, how many at once.

    Raises:
        RunError: some failed; each was named on standard error.
    """
    todo = [(image, paths_of(image, out, formats)) for image in images]
    if not overwrite:
        todo = [one for one in todo if not all(map(os.path.exists, one[1].values()))]
    if len(todo) < len(images):
        skipped = len(images) - len(todo)
        print(f"{skipped} images are finished and left out; --overwrite takes them again.")

    def attempt(one):
        try:
            work(*one)
        except (InputError, RunError) as error:
            return f"{one[0].path}: {str(error).removeprefix(f'{one[0].path}: ')}"
        except Exception as error:  # a name too long, memory: whatever it is, the others go on
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            return f"{one[0].path}: {type(error).__name__}: {' '.join(str(error).split())}"

    failures = []
    pool = ThreadPoolExecutor(concurrency)
    try:
        results = with_progress(pool.map(attempt, todo), len(todo), "image")
        failures.extend(failure for failure in results if failure)
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C those in work are finished
        for failure in failures[:NAMED_FAILURES]:
            print(failure, file=sys.stderr)
    if failures:
        raise RunError(
            f"{len(failures)} of {len(todo)} images failed, as said above; the same command "
            "again, without --overwrite, tries them alone."
        )
    print(f"{len(todo)} images done, in {out}", flush=True)
