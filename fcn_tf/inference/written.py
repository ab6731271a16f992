"""What is written of a predicted image: the formats, and where their files go."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.classes import Classes
from fcn_tf.errors import InputError, check_names
from fcn_tf.images.draw import overlay, palette_picture
from fcn_tf.images.find import ImageFile
from fcn_tf.images.georeference import Place, place_of

if TYPE_CHECKING:
    from fcn_tf.inference.annotations import Annotations
    from fcn_tf.inference.maps import LabelWindow


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
        write_label_tiff(
            path, [whole], size_px=(height_px, width_px), place=predicted.place, classes=classes
        )
        return
    palette_picture(predicted.all_labels, classes.palette).save(path)


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

        place = predicted.place
        write_map_polygons(path, labels, place=place, classes=classes, simplify_px=simplify_px)


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
        """Where the files of an image go, by format.

        Raises:
            InputError: nobody knows where on the earth the image lies, though its file says it.
        """
        return self.named(image.name, "png" in self.formats and place_of(image.path) is not None)

    def named(self, image: Path, is_map: bool) -> dict[str, Path]:
        """As `paths`, of an image by its name alone.

        Args:
            image: its path below the folder that all images share.
            is_map: whether its labels are written as GeoTIFF.
        """
        name = Path(self.out) / image
        suffixes = {kind: OUTPUTS[kind].suffix for kind in self.formats if kind in OUTPUTS}
        suffixes |= {"png": ".labels.tif"} if is_map and "png" in self.formats else {}
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
