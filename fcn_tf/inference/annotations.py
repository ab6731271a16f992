"""The labels of many images in one file of COCO's JSON, as RLE masks; needs the extra `coco`."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from fcn_tf.classes import Classes
from fcn_tf.errors import InputError
from fcn_tf.files import read_text, write_text


class Annotations:
    """A file of COCO's JSON that grows image by image, from several threads too.

    Each image has an annotation for each class that it shows, the first one included. So every
    pixel is in one mask, and the masks drawn are the label map. The id of a category is its label.

    Args:
        path: of the file; what it holds of other images is kept.
        classes: the names of the categories.

    Raises:
        InputError: the file is there, and is none that this class wrote for these classes.
    """

    def __init__(self, path: Path, classes: Classes) -> None:
        self.path = path
        self._categories = [{"id": label, "name": name} for label, name in enumerate(classes.names)]
        self._images: dict[str, dict[str, Any]] = {}  # height, width and annotations, by name
        self._lock = threading.Lock()
        if path.exists():
            self._read()

    def __contains__(self, name: str) -> bool:
        """Whether the labels of an image are there."""
        return name in self._images

    def add(self, name: str, labels: NDArray[np.uint8]) -> None:
        """Takes the labels of an image, uint8 (H, W), under its path below the common folder."""
        columns_first = np.asfortranarray(labels)
        annotations = []
        for label in np.unique(labels):
            mask = rle.encode((columns_first == label).view(np.uint8))
            annotations.append(
                {
                    "category_id": int(label),
                    "segmentation": {"size": mask["size"], "counts": mask["counts"].decode()},
                    "area": int(rle.area(mask)),
                    "bbox": rle.toBbox(mask).tolist(),
                    "iscrowd": 0,
                }
            )
        height_px, width_px = labels.shape
        image = {"height": height_px, "width": width_px, "annotations": annotations}
        with self._lock:
            self._images[name] = image

    def save(self) -> None:
        """Writes the file; the numbers of images and annotations follow the names of the images."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for name, image in sorted(self._images.items()):
            number = len(images) + 1
            size = {"height": image["height"], "width": image["width"]}
            images.append({"id": number, "file_name": name, **size})
            for one in image["annotations"]:
                annotations.append({"id": len(annotations) + 1, "image_id": number, **one})
        values = {"images": images, "annotations": annotations, "categories": self._categories}
        write_text(self.path, json.dumps(values, ensure_ascii=False))

    def _read(self) -> None:
        """Takes the images of the file that is there."""
        what = "no file that --format coco writes"
        try:
            values = json.loads(read_text(self.path))
            if values["categories"] != self._categories:
                what = "of other classes"
                raise ValueError
            names = {one["id"]: one["file_name"] for one in values["images"]}
            for one in values["images"]:
                size = {"height": one["height"], "width": one["width"]}
                self._images[one["file_name"]] = {**size, "annotations": []}
            for one in values["annotations"]:
                own = {key: one[key] for key in one if key not in ("id", "image_id")}
                self._images[names[one["image_id"]]]["annotations"].append(own)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path} is {what}: move it away, or choose another folder with --out."
            ) from error
