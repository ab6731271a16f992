"""What is written of a predicted image, and the work on many of them."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.classes import Classes
from fcn_tf.errors import InputError, RunError, check_names
from fcn_tf.files import written_whole
from fcn_tf.images.draw import overlay
from fcn_tf.images.find import ImageFile
from fcn_tf.images.formats import pages_of
from fcn_tf.images.georeference import Place, place_of, says_its_place
from fcn_tf.images.raster import has_rasterio
from fcn_tf.progress import with_progress

if TYPE_CHECKING:
    from fcn_tf.inference.annotations import Annotations
    from fcn_tf.inference.maps import LabelWindow

NAMED_FAILURES = 1000  # more are counted
NAMED_PAGED = 5


@dataclass(frozen=True)
class Prediction:
    """An image and what was predicted of it.

    Args:
        image: anything with a shape (H, W, 3) whose slices are uint8 RGB.
        labels: uint8 (H, W); None where `windows` gives them.
        scores: float32 (H, W, C), softmax; None where no output needs them.
        windows: of a map larger than memory, its parts and their labels, as `Predictor.windows`.
        place: where the image lies on the earth; None where it does not say, or is not known.
    """

    image: Any
    labels: NDArray[np.uint8] | None
    scores: NDArray[np.float32] | None = None
    windows: Iterable[LabelWindow] | None = None
    place: Place | None = None

    @property
    def all_labels(self) -> NDArray[np.uint8]:
        """The labels of the whole image, uint8 (H, W)."""
        assert self.labels is not None
        return self.labels


@dataclass(frozen=True)
class Output:
    """A file that is written of an image.

    Args:
        suffix: what follows the full name of the image.
        write: writes a prediction to a path, with the classes and what is wanted.
        needs_scores: whether it is made of the scores.
        needs: the extra of the package that it needs, and its modules.
    """

    suffix: str
    write: Callable[[Path, Prediction, Classes, Wanted], None]
    needs_scores: bool = False
    needs: tuple[str, ...] = ()


def _write_labels(path: Path, predicted: Prediction, classes: Classes, wanted: Wanted) -> None:
    """Class indices with a palette, which viewers show in colour: PNG, or of a map GeoTIFF."""
    if predicted.place is not None:
        from fcn_tf.inference.maps import write_label_tiff

        labels = predicted.all_labels
        height_px, width_px = labels.shape
        whole = (slice(0, height_px), slice(0, width_px)), labels
        write_label_tiff(path, [whole], labels.shape, predicted.place, classes)
        return
    picture = Image.fromarray(predicted.all_labels, "P")
    picture.putpalette(np.asarray(classes.palette, np.uint8).tobytes())
    picture.save(path)


def _write_gray(path: Path, predicted: Prediction, classes: Classes, wanted: Wanted) -> None:
    """An 8-bit greyscale PNG of class indices, which every program reads as they are."""
    Image.fromarray(predicted.all_labels, "L").save(path)


def _write_overlay(path: Path, predicted: Prediction, classes: Classes, wanted: Wanted) -> None:
    """The image with the colours of its labels laid over it, and a legend."""
    pixels = np.asarray(predicted.image[:, :])
    drawn = overlay(
        pixels, predicted.all_labels, classes.names, classes.palette, opacity=wanted.opacity
    )
    drawn.save(path)


def _write_scores(path: Path, predicted: Prediction, classes: Classes, wanted: Wanted) -> None:
    """The scores, float32 (H, W, C), as numpy.load reads them."""
    assert predicted.scores is not None
    np.save(path, predicted.scores)


def _write_polygons(path: Path, predicted: Prediction, classes: Classes, wanted: Wanted) -> None:
    """The labels as polygons, GeoJSON."""
    from fcn_tf.inference.polygons import write_polygons

    labels, simplify_px = predicted.all_labels, wanted.simplify_px
    if predicted.place is None:
        write_polygons(path, labels, classes, simplify_px)
    else:
        from fcn_tf.inference.maps import write_map_polygons

        write_map_polygons(path, labels, predicted.place, classes, simplify_px)


# By the name that --format takes.
OUTPUTS = {
    "png": Output(".png", _write_labels),
    "gray": Output(".gray.png", _write_gray),
    "overlay": Output(".overlay.png", _write_overlay),
    "npy": Output(".scores.npy", _write_scores, needs_scores=True),
    "geojson": Output(".geojson", _write_polygons, needs=("maps", "rasterio", "shapely")),
}
# The name of one file for all images, `annotations`.
COCO = "coco"
NEEDS_OF_COCO = ("coco", "pycocotools")
# All that --format takes.
FORMATS = (*OUTPUTS, COCO)


def formats_of_scores(formats: Sequence[str]) -> list[str]:
    """Those of some formats that are made of the scores."""
    return [kind for kind in formats if kind in OUTPUTS and OUTPUTS[kind].needs_scores]


@dataclass(frozen=True)
class Wanted:
    """What to write of each image, and where.

    Args:
        out: folder for the files.
        formats: some of `FORMATS`.
        opacity: of the overlay's colours, 0 to 1.
        overwrite: whether images whose files all exist are taken again.
        simplify_px: of polygons, as in `polygons.write_polygons`.
        shard: (index, count) where the images are a share of all.

    Raises:
        InputError: a format is not known, or needs an extra that is not installed, or there are no
            polygons to simplify.
    """

    out: str | Path
    formats: Sequence[str]
    opacity: float
    overwrite: bool = False
    simplify_px: float = 0.0
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_names("format", self.formats, FORMATS)
        needs = {**{kind: output.needs for kind, output in OUTPUTS.items()}, COCO: NEEDS_OF_COCO}
        for kind in self.formats:
            extra, *modules = needs[kind] or [""]
            if not all(map(importlib.util.find_spec, modules)):
                raise InputError(f"--format {kind}: pip install 'fcn_tf[{extra}]' writes it.")
        if self.simplify_px and "geojson" not in self.formats:
            raise InputError("--simplify_px is of polygons: it needs --format geojson.")

    def paths(self, image: ImageFile) -> dict[str, Path]:
        """Where the files of an image go, by format."""
        name = Path(self.out) / image.name
        is_map = "png" in self.formats and place_of(image.path) is not None
        suffixes = {kind: OUTPUTS[kind].suffix for kind in self.formats if kind in OUTPUTS}
        suffixes |= {"png": ".labels.tif"} if is_map else {}
        return {kind: name.with_name(name.name + suffix) for kind, suffix in suffixes.items()}

    @property
    def is_flat(self) -> bool:
        """Whether the files of a map can be written window by window."""
        return set(self.formats) <= {"png", "geojson"}

    def annotations(self, classes: Classes) -> Annotations | None:
        """The one file of all images, or of those of a shard; None where it is not wanted."""
        if COCO not in self.formats:
            return None
        from fcn_tf.inference.annotations import Annotations

        share = f"-{self.shard[0]}-of-{self.shard[1]}" if self.shard else ""
        return Annotations(Path(self.out) / f"annotations{share}.json", classes)


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
        print(f"{skipped} images are finished and left out; --overwrite predicts them again.")

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
            _write_files(paths, predicted, classes, wanted)
            if annotations is not None:
                annotations.add(image.name.as_posix(), predicted.all_labels)
        except Exception as error:  # a name too long, memory: whatever it is, the others go on
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            return _failure(image.path, error)
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
    print(f"{len(todo)} images done, in {wanted.out}", flush=True)


def _write_files(
    paths: dict[str, Path], predicted: Prediction, classes: Classes, wanted: Wanted
) -> None:
    """Writes what is wanted of an image."""
    if predicted.windows is not None and predicted.place is not None:
        from fcn_tf.inference.maps import write_large_map

        height_px, width_px = predicted.image.shape[:2]
        size_px, simplify_px = (height_px, width_px), wanted.simplify_px
        write_large_map(paths, predicted.windows, size_px, predicted.place, classes, simplify_px)
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


def _failure(path: Path, error: Exception) -> str:
    """One line that names the image and the reason."""
    if isinstance(error, (InputError, RunError)):
        return f"{path}: {str(error).removeprefix(f'{path}: ')}"
    return f"{path}: {type(error).__name__}: {' '.join(str(error).split())}"
