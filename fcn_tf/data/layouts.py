"""The layouts of folders of images and masks, and what a folder in one of them holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.class_files import Colors, Names, find_coding
from fcn_tf.data.listing import list_pairs
from fcn_tf.data.pairs import Pair, Problem
from fcn_tf.data.splits import listed_splits
from fcn_tf.errors import InputError
from fcn_tf.images.coding import Coding

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Layout:
    """A way to lay out images and masks in a folder.

    SPLIT in a name stands for train, val and test. Without it the layout has no folders of
    splits: lists in ImageSets/Segmentation or a hash of the names decide.

    Args:
        images: the folder of the images, "images/SPLIT" for instance.
        masks: the folder of the masks.
        origin: the tools that write it, for messages; none for people's own folders.
        some_unlabelled: whether images without a mask are left out. They are refused otherwise.
    """

    images: str
    masks: str
    origin: str = ""
    some_unlabelled: bool = False

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return f"{self.images}/ + {self.masks}/{origin}"

    @property
    def has_splits(self) -> bool:
        """Whether the folders say which pair is in which split."""
        return "SPLIT" in self.images

    def folders(self, data_dir: Path) -> dict[str, tuple[Path, Path]]:
        """The folders of images and masks of this layout that are in a folder, by split.

        A layout without splits has its folders under "". If the images of a split are there,
        its masks are asked for later, with an error that names them.
        """
        found = {}
        for split in SPLITS if self.has_splits else ("",):
            images, masks = (
                data_dir / name.replace("SPLIT", split) for name in (self.images, self.masks)
            )
            if images.is_dir() and (self.has_splits or masks.is_dir()):
                found[split] = images, masks
        return found


# A further layout is a further entry. The first that fits a folder is taken.
LAYOUTS = (
    Layout("images/SPLIT", "masks/SPLIT"),
    Layout("SPLIT", "SPLITannot", "the SegNet tutorial"),
    Layout("images", "masks"),
    Layout("JPEGImages", "SegmentationClassPNG", "older labelme", some_unlabelled=True),
    Layout("JPEGImages", "SegmentationClass", "labelme, CVAT, VOC", some_unlabelled=True),
)


@dataclass(frozen=True)
class LabelledFolder:
    """What a folder holds.

    Args:
        class_names: the classes, in the order of the masks' indices.
        colors: an RGB triple for each, 0..255; PASCAL VOC's if the folder gives none.
        splits: the pairs of each split, sorted by name.
        coding: what the values of the masks mean.
    """

    class_names: Names
    colors: Colors
    splits: dict[str, list[Pair]]
    coding: Coding


def open_folder(config: DataConfig, problems: list[Problem] | None = None) -> LabelledFolder:
    """Finds the classes and the pairs of a folder, in whichever layout it has.

    Args:
        config: the folder, and how it is read.
        problems: takes a `Problem` for each file without a partner, in place of an error.

    Raises:
        InputError: no such folder, layout or classes; train or val empty; an image
            without a mask or a mask without an image.

    Example:
        >>> open_folder(DataConfig(data_dir="street")).class_names
        ('road', 'car', 'tree')
    """
    data_dir = Path(config.data_dir or "").expanduser()
    if not data_dir.is_dir():
        raise InputError(f"data.data_dir={data_dir}: no such folder.")
    coding = find_coding(data_dir, config.class_names, config.mask_values, config.ignore_label)
    layout = find_layout(data_dir)
    splits = {
        split: list_pairs(images, masks, some_unlabelled=layout.some_unlabelled, problems=problems)
        for split, (images, masks) in layout.folders(data_dir).items()
    }
    if not layout.has_splits:
        pairs = splits[""]
        if not pairs:
            raise InputError(f"No image in {data_dir} has a mask of the same stem.")
        splits = listed_splits(data_dir, pairs, config.validation_fraction)
    for split in ("train", "val"):
        if not splits.get(split):
            raise InputError(
                f"{data_dir} has no images in split {split}; known are {known_layouts()}."
            )
    return LabelledFolder(coding.class_names, coding.colors, splits, coding)


def find_layout(data_dir: Path) -> Layout:
    """The layout of a folder.

    Raises:
        InputError: none of `LAYOUTS` fits.
    """
    for layout in LAYOUTS:
        if layout.folders(data_dir):
            return layout
    raise InputError(f"{data_dir} has none of the known layouts: {known_layouts()}.")


def known_layouts() -> str:
    """All layouts, for messages."""
    *most, last = map(str, LAYOUTS)
    return f"{', '.join(most)} or {last}"
