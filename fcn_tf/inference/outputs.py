"""The work on many images: each is predicted and written, and what there is to say of them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from fcn_tf.classes import Classes
from fcn_tf.counted import counted
from fcn_tf.errors import InputError, RunError, failure_line
from fcn_tf.files import written_whole
from fcn_tf.images.find import ImageFile
from fcn_tf.images.formats import pages_of
from fcn_tf.images.georeference import place_of, says_its_place
from fcn_tf.images.raster import has_rasterio
from fcn_tf.inference.written import OUTPUTS, Prediction, Wanted
from fcn_tf.progress import with_progress

NAMED_FAILURES = 1000  # more are counted
NAMED_PAGED = 5


def work_through(
    images: Sequence[ImageFile],
    predict: Callable[[ImageFile], Prediction],
    classes: Classes,
    wanted: Wanted,
    concurrency: int = 1,
) -> None:
    """Predicts images and writes what is wanted of each; one that fails does not stop the others.

    Args:
        images: the images.
        predict: makes the prediction of one.
        classes: names and colours.
        wanted: what to write, and where.
        concurrency: how many images at once.

    Raises:
        RunError: some failed; each was named on standard error.
        InputError: the file of COCO's JSON that is there is of other classes.
    """
    annotations = wanted.annotations(classes)

    def is_finished(image: ImageFile) -> bool:
        is_listed = annotations is None or image.name.as_posix() in annotations
        with contextlib.suppress(InputError):  # it is named when its turn comes
            return is_listed and all(map(os.path.exists, wanted.paths(image).values()))
        return False

    todo = images
    if not wanted.overwrite:
        todo = [image for image in images if not is_finished(image)]
    if len(todo) < len(images):
        skipped = len(images) - len(todo)
        left_out = counted(skipped, "finished image{}")
        print(f"{left_out} left out; --overwrite predicts again.")

    paged: dict[str, int] = {}
    maps: list[Path] = []

    def attempt(image: ImageFile) -> str | None:
        try:
            paths = wanted.paths(image)
            predicted = replace(predict(image), place=place_of(image.path))
            if says_its_place(image.path):
                maps.append(image.path)
            if (pages := pages_of(image.path)) > 1:
                paged[str(image.name)] = pages
            write_files(paths, predicted, classes, wanted)
            if annotations is not None:
                annotations.add(image.name.as_posix(), predicted.all_labels)
        except Exception as error:  # a name too long, memory: whatever it is, the others go on
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            return failure_line(image.path, error)
        return None

    failures: list[str] = []
    pool = ThreadPoolExecutor(concurrency)
    try:
        results = with_progress(pool.map(attempt, todo), len(todo), "image")
        failures.extend(failure for failure in results if failure)
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C those in work are finished
        for failure in failures[:NAMED_FAILURES]:
            print(failure, file=sys.stderr)
        if annotations is not None and todo:
            annotations.save()
    if paged:
        print(_said_of_pages(paged), flush=True)
    if maps and (line := _said_of_maps(maps, wanted)):
        print(line, flush=True)
    if failures:
        raise RunError(
            f"{len(failures)} of {len(todo)} images failed, as said above; the same command "
            "again, without --overwrite, tries them alone."
        )
    print(f"{counted(len(todo), 'image{}')} done, in {wanted.out}", flush=True)


def write_files(
    paths: dict[str, Path], predicted: Prediction, classes: Classes, wanted: Wanted
) -> None:
    """Writes what is wanted of an image.

    Args:
        paths: where its files go, from `Wanted.paths`.
        predicted: what was predicted of it, with its place.
        classes, wanted: as in `work_through`.
    """
    if predicted.windows is not None and predicted.place is not None:
        from fcn_tf.inference.maps import write_large_map

        height_px, width_px = predicted.image.shape[:2]
        write_large_map(
            *(paths, predicted.windows),
            size_px=(height_px, width_px),
            place=predicted.place,
            classes=classes,
            simplify_px=wanted.simplify_px,
        )
        return
    for kind, path in paths.items():
        with written_whole(path) as beside:
            OUTPUTS[kind].write(beside, predicted, classes, wanted)


def _said_of_maps(maps: Sequence[Path], wanted: Wanted) -> str | None:
    """One line about georeferenced images whose files do not say where they lie."""
    count = f"{len(maps)} image{'s say' if len(maps) > 1 else ' says'} where on the earth"
    line = f"{count} ({maps[0].name} for example), and what was written does not: "
    if not has_rasterio():
        return f"{line}pip install 'fcn_tf[maps]' makes --format png GeoTIFF."
    if not {"png", "geojson"} & set(wanted.formats):
        return f"{line}--format png writes GeoTIFF, and geojson has the map's coordinates."
    return None


def _said_of_pages(paged: dict[str, int]) -> str:
    """One line that names the files of several pages or frames."""
    named = [f"{name} ({pages})" for name, pages in sorted(paged.items())[:NAMED_PAGED]]
    more = [f"{len(paged) - NAMED_PAGED} more"] if len(paged) > NAMED_PAGED else []
    return (
        "Only the first was taken of the pages or frames of "
        f"{', '.join(named + more)}; to label the others, save each as a file of its own."
    )
