"""`shapes`: generated scenes with masks, a TFDS data set that needs no download.

Only the form tells objects apart: colours and textures are drawn from the same
distributions for every class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from fcn_tf.classes import VOID
from fcn_tf.data.random_access import LoadsArrayRecords

CLASSES = ("background", "disc", "ring", "triangle", "cross", "bar")
SPLIT_SIZES = {"train": 1000, "val": 200, "test": 200}

# If the scenes change, give them another seed and the builder another version.
SEED = 20150607

SUPERSAMPLING = 4  # outlines are drawn at 4 times the size, for smooth edges
SIDE_RANGE_PX = (72, 121)
OBJECTS_RANGE = (4, 9)
SMALLEST_PX = 5
LARGEST_SHARE = 0.6  # of the shorter side
SIZE_EXPONENT = 0.8  # 1 spreads the sizes evenly on a log scale; less favours large ones
HIDDEN_SHARE = 0.25  # the share of an object that another one may hide
RING_PX = 1  # width of the VOID ring around an object


class Shapes(LoadsArrayRecords, tfds.core.GeneratorBasedBuilder):
    """Scenes of discs, rings, triangles, crosses and bars.

    Features: `image` uint8 (H, W, 3), `segmentation_mask` and `instance_mask`
    uint8 (H, W, 1) with VOID around each object, `file_name`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "segmentation_mask": tfds.features.Image(
                        shape=(None, None, 1), encoding_format="png"
                    ),
                    "instance_mask": tfds.features.Image(
                        shape=(None, None, 1), encoding_format="png"
                    ),
                    "file_name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(class_names=list(CLASSES)),
            license="Apache-2.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        split_index = list(SPLIT_SIZES).index(split)
        for index in range(SPLIT_SIZES[split]):
            image, mask, instances = draw_scene(np.random.default_rng((SEED, split_index, index)))
            yield (
                index,
                {
                    "image": image,
                    "segmentation_mask": mask[..., None],
                    "instance_mask": instances[..., None],
                    "file_name": f"{split}_{index:04d}.png",
                },
            )


def draw_scene(
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws one scene.

    Args:
        rng: the random numbers.

    Returns:
        image uint8 (H, W, 3), labels uint8 (H, W) and instances uint8 (H, W)
        numbered from 1; both masks have VOID around each object.
    """
    height, width = rng.integers(*SIDE_RANGE_PX, size=2)
    image = texture(rng, (height, width), rng.uniform(0, 255, 3), contrast=15)
    labels = np.zeros((height, width), np.uint8)
    instances = np.zeros((height, width), np.uint8)

    largest = LARGEST_SHARE * min(height, width)
    draws = rng.random(rng.integers(*OBJECTS_RANGE)) ** SIZE_EXPONENT
    # Large ones first: a small object in front of a large one stays visible.
    sizes = np.sort(SMALLEST_PX * (largest / SMALLEST_PX) ** draws)[::-1]
    areas = np.zeros(VOID + 1)
    for number, size in enumerate(sizes, start=1):
        label = rng.integers(1, len(CLASSES))
        alpha = outline(rng, CLASSES[label], size)
        side = len(alpha)
        top, left = rng.integers(-side // 4, np.array([height, width]) - side + side // 4 + 1)
        window = np.s_[max(top, 0) : top + side, max(left, 0) : left + side]
        # The part of the object that lies in the image.
        alpha = alpha[max(-top, 0) : height - top, max(-left, 0) : width - left]
        inside = alpha >= 0.5
        hidden = np.bincount(instances[window][inside], minlength=len(areas))
        if (hidden > HIDDEN_SHARE * areas)[1:VOID].any():
            continue
        areas[number] = inside.sum()

        color = distinct_color(rng, image[window].mean((0, 1)))
        surface = texture(rng, alpha.shape, color, contrast=20)
        image[window] += alpha[..., None] * (surface - image[window])
        around = dilate(inside, RING_PX) & ~inside
        for mask, value in ((labels, label), (instances, number)):
            mask[window][around] = VOID
            mask[window][inside] = value

    image *= lighting(rng, height, width)
    image += rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), labels, instances


def outline(rng: np.random.Generator, form: str, size_px: float) -> NDArray[np.float32]:
    """The coverage of each pixel by an object, turned and squeezed at random.

    Args:
        rng: the random numbers.
        form: a key of `FORMS`.
        size_px: the diameter of a disc of the same area, before it is squeezed.

    Returns:
        float32 (s, s) in 0..1, with an empty margin wider than RING_PX.
    """
    points = FORMS[form]
    reach = np.linalg.norm(points, axis=1).max()
    side = int(np.ceil(size_px * reach)) + 2 * (RING_PX + 1)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (points * (1, rng.uniform(0.75, 1))) @ turn * size_px / 2

    canvas = Image.new("L", (side * SUPERSAMPLING,) * 2)
    draw = ImageDraw.Draw(canvas)
    for fill, scale in ((255, 1), (0, RING_HOLE))[: 2 if form == "ring" else 1]:
        corners = (points * scale + side / 2) * SUPERSAMPLING
        draw.polygon([tuple(corner) for corner in corners], fill=fill)
    smooth = canvas.resize((side, side), Image.Resampling.BOX)
    return np.asarray(smooth, np.float32) / np.float32(255)


def regular(corners: int) -> NDArray[np.float64]:
    """The corners of a regular polygon in the unit circle, (n, 2)."""
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


RING_HOLE = 0.5  # diameter of the hole, as a share of the ring's
_ARM = np.array([(0.96, 0.28), (-0.96, 0.28), (-0.96, -0.28), (0.96, -0.28)])
_CROSS = np.array(
    [(0.28, 0.28), (0.28, 0.96), (-0.28, 0.96), (-0.28, 0.28), (-0.96, 0.28), (-0.96, -0.28)]
)
# Outlines around the origin, all of about the same area, so that no class is rare.
FORMS = {
    "disc": 0.8 * regular(48),
    "ring": 0.92 * regular(48),
    "triangle": 1.24 * regular(3),
    "cross": 1.04 * np.concatenate([_CROSS, -_CROSS]),
    "bar": 1.36 * _ARM,
}


def texture(
    rng: np.random.Generator,
    size_px: tuple[int, ...],
    color: NDArray[np.float64],
    contrast: float,
) -> NDArray[np.float32]:
    """A surface of about the given colour.

    It is flat, or has stripes, checks or clouds of any size and angle, between the colour and
    one that differs from it by about `contrast` in each channel.

    Args:
        rng: the random numbers.
        size_px: height and width.
        color: RGB, in 0..255.
        contrast: standard deviation of the difference, in 0..255.

    Returns:
        float32 (height, width, 3), about 0..255.
    """
    height, width = size_px
    kind = rng.choice(["flat", "stripes", "checks", "clouds"])
    other = np.clip(color + rng.normal(0, contrast, 3), 0, 255)
    if kind == "flat":
        pattern = np.full((height, width), 0.5)
    elif kind == "clouds":
        cells = rng.random(rng.integers(3, 13, 2)).astype(np.float32)
        clouds = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        pattern = np.clip(np.asarray(clouds), 0, 1)
    else:
        period_px = rng.uniform(3, 16)
        angle = rng.uniform(0, np.pi)
        y, x = np.mgrid[:height, :width] * (2 * np.pi / period_px)
        pattern = np.sin(x * np.cos(angle) + y * np.sin(angle))
        if kind == "checks":
            pattern = pattern * np.sin(y * np.cos(angle) - x * np.sin(angle))
        pattern = np.clip(0.5 + 1.5 * pattern, 0, 1)
    return (color + (other - color) * pattern[..., None]).astype(np.float32)


def distinct_color(
    rng: np.random.Generator, color: NDArray[np.floating], distance: float = 100
) -> NDArray[np.float64]:
    """A colour at least `distance` away from the given one, so that every object can be seen."""
    while True:
        other = rng.uniform(0, 255, 3)
        if np.linalg.norm(other - color) >= distance:
            return other


def lighting(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A slope of light across the image: float32 (height, width, 1) around 0.9."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = rng.uniform(0, 0.25) * (x * np.cos(angle) + y * np.sin(angle))
    return (rng.uniform(0.75, 1.05) * (1 + slope))[..., None].astype(np.float32)


def dilate(mask: NDArray[np.bool_], margin_px: int) -> NDArray[np.bool_]:
    """A boolean mask grown by `margin_px` in all eight directions."""
    grown = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * margin_px + 1))
    return np.asarray(grown) > 0
