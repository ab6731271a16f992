"""COCO's JSON: the outlines of many images in one file; needs the extra `coco`.

pycocotools draws them. They are drawn in the order of the file, a later one over an earlier one;
crowds (iscrowd) are drawn as what they are crowds of.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.data.drawn import Meaning
from fcn_tf.errors import InputError


@dataclass(frozen=True)
class CocoFile:
    """What a file says.

    Args:
        path: of the file.
        categories: the names of the classes by their number, in the order of the numbers.
        sizes_px: height and width of each image, by its file name.
        outlines: the annotations of each image, by its file name.
    """

    path: Path
    categories: dict[int, str]
    sizes_px: dict[str, tuple[int, int]]
    outlines: dict[str, list[dict[str, Any]]]


def is_coco(values: Any) -> bool:
    """Whether the values of a JSON file are COCO's."""
    keys = ("images", "annotations", "categories")
    return isinstance(values, dict) and all(isinstance(values.get(key), list) for key in keys)


def read_coco(path: Path, values: Any) -> CocoFile:
    """What a file says.

    Args:
        path: of the file.
        values: what `read_json` gives of it.

    Raises:
        InputError: it is none of COCO's, an annotation is of no image or of no category, or two
            images have one name.
    """
    if not is_coco(values):
        raise InputError(f"{path} is no file of COCO's: it has no images, annotations, categories.")
    try:
        categories = {int(one["id"]): str(one["name"]) for one in values["categories"]}
        names = {one["id"]: str(one["file_name"]) for one in values["images"]}
        sizes = [(int(one["height"]), int(one["width"])) for one in values["images"]]
        of = [(one["image_id"], one["category_id"]) for one in values["annotations"]]
        unknown = [pair for pair in of if pair[0] not in names or pair[1] not in categories]
    except (KeyError, TypeError, ValueError) as error:
        what = f"an entry has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} is no file of COCO's: {what}.") from error
    if unknown:
        raise InputError(
            f"{path}: an annotation is of image {unknown[0][0]} and category {unknown[0][1]}, and "
            "one of them is not in the file."
        )
    if len(set(names.values())) < len(sizes):
        raise InputError(f"{path}: two images have the same file_name or the same id.")
    outlines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in values["annotations"]:
        outlines[names[one["image_id"]]].append(one)
    return CocoFile(
        path,
        dict(sorted(categories.items())),
        dict(zip(names.values(), sizes, strict=True)),
        dict(outlines),
    )


def draw_coco(file: CocoFile, name: str, meaning: Meaning) -> NDArray[np.uint8]:
    """The labels of an image.

    Args:
        file: the outlines.
        name: the file_name of the image.
        meaning: what the names of the categories mean.

    Returns:
        uint8 (H, W), labels and VOID. (H, W) is what the file says of its image.

    Raises:
        InputError: pycocotools is missing, an annotation has no outline or a broken one, or its
            category is no class.
    """
    if importlib.util.find_spec("pycocotools") is None:
        raise InputError(
            f"{file.path}: pycocotools draws COCO's outlines: pip install 'fcn_tf[coco]'."
        )
    from pycocotools import mask as rle

    size_px = file.sizes_px[name]
    labels = np.full(size_px, meaning.undrawn, np.uint8)
    for outline in file.outlines.get(name, ()):
        label = meaning.label(file.categories[outline["category_id"]], file.path)
        parts: Any = outline.get("segmentation")
        try:
            if isinstance(parts, list):  # the polygons of one object
                coded = rle.merge(rle.frPyObjects(parts, *size_px))
            elif isinstance(parts["counts"], list):  # runs as numbers
                coded = rle.frPyObjects(parts, *size_px)
            else:
                coded = parts
            drawn = rle.decode(coded)
        except Exception as error:  # pycocotools raises what it likes
            raise InputError(
                f"{file.path}: annotation {outline.get('id')} of {name} has no outline that "
                f"pycocotools draws ({error})."
            ) from error
        if drawn.shape != size_px:
            raise InputError(
                f"{file.path}: annotation {outline.get('id')} of {name} is drawn on "
                f"{drawn.shape} px (height, width), and the image has {size_px}."
            )
        labels[drawn != 0] = label
    return labels
