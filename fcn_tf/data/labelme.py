"""labelme's JSON: the outlines of one image, drawn as labelme's own export draws them.

The shapes are drawn in the order of the file, a later one over an earlier one. Lines are 10 px wide
and points have a radius of 5 px, as in `labelme.utils.shape_to_mask`.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fcn_tf.data.drawn import Meaning, read_json
from fcn_tf.errors import InputError
from fcn_tf.images.read import UNREADABLE

LINE_WIDTH_PX = 10
POINT_RADIUS_PX = 5

Point = tuple[float, float]


def is_labelme(values: Any) -> bool:
    """Whether the values of a JSON file are labelme's."""
    return isinstance(values, dict) and isinstance(values.get("shapes"), list)


def names_in(path: Path) -> list[str]:
    """The names of the outlines in a file, in its order, each once.

    Raises:
        InputError: it is no file of labelme's.
    """
    return list(dict.fromkeys(shape["label"] for shape in _shapes(path, read_json(path))))


def draw_labelme(
    path: Path, meaning: Meaning, image_px: Callable[[], tuple[int, int]]
) -> NDArray[np.uint8]:
    """The labels of an image.

    Args:
        path: of the JSON file.
        meaning: what the names of its outlines mean.
        image_px: gives height and width of the image, for a file that does not.

    Returns:
        uint8 (H, W), labels and VOID. (H, W) is what the file says of its image.

    Raises:
        InputError: it is no file of labelme's, or an outline is of no class or of an unknown kind.
    """
    values = read_json(path)
    shapes = _shapes(path, values)
    size_px = values.get("imageHeight"), values.get("imageWidth")
    height_px, width_px = size_px if all(size_px) else image_px()
    canvas = Image.new("L", (int(width_px), int(height_px)), meaning.undrawn)
    for shape in shapes:
        label = meaning.label(shape["label"], path)
        kind = shape.get("shape_type") or "polygon"
        if kind == "mask":
            _paste(canvas, shape, label, path)
            continue
        points = [(float(x), float(y)) for x, y in shape["points"]]
        fewest, most, draw = KINDS.get(kind, NO_KIND)
        if not fewest <= len(points) <= most:
            raise InputError(
                f"{path}: the outline {shape['label']} is a {kind} of {len(points)} points, which "
                f"labelme does not draw; it draws {', '.join((*KINDS, 'mask'))}."
            )
        draw(ImageDraw.Draw(canvas), points, label)
    return np.array(canvas)


def _shapes(path: Path, values: Any) -> list[dict[str, Any]]:
    """The outlines of a file, checked as far as they are used."""

    def is_shape(shape: Any) -> bool:
        return (
            isinstance(shape, dict)
            and isinstance(shape.get("label"), str)
            and isinstance(shape.get("points"), list)
            and all(isinstance(point, list) and len(point) == 2 for point in shape["points"])
        )

    if not is_labelme(values) or not all(map(is_shape, values["shapes"])):
        raise InputError(f"{path} is no file of labelme's: its shapes have no label or no points.")
    return values["shapes"]


def _paste(canvas: Image.Image, shape: dict[str, Any], label: int, path: Path) -> None:
    """Draws the shape that is a picture: where it is not 0, at the place of its first point."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
            mask = np.asarray(picture).astype(bool)
    except (KeyError, TypeError, *UNREADABLE) as error:
        raise InputError(f"{path}: the mask of {shape['label']} cannot be read.") from error
    left, top = (int(value) for value in shape["points"][0])
    canvas.paste(label, (left, top), Image.fromarray(mask))


def _polygon(draw: ImageDraw.ImageDraw, points: Sequence[Point], label: int) -> None:
    draw.polygon(points, fill=label, outline=label)


def _rectangle(draw: ImageDraw.ImageDraw, points: Sequence[Point], label: int) -> None:
    lows, highs = (tuple(map(choose, zip(*points, strict=True))) for choose in (min, max))
    draw.rectangle((*lows, *highs), fill=label, outline=label)


def _circle(draw: ImageDraw.ImageDraw, points: Sequence[Point], label: int) -> None:
    """The first point is the centre, and the second lies on the circle."""
    _disc(draw, points[0], math.dist(*points), label)


def _point(draw: ImageDraw.ImageDraw, points: Sequence[Point], label: int) -> None:
    _disc(draw, points[0], POINT_RADIUS_PX, label)


def _line(draw: ImageDraw.ImageDraw, points: Sequence[Point], label: int) -> None:
    draw.line(points, fill=label, width=LINE_WIDTH_PX)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius_px: float, label: int) -> None:
    (x, y), r = centre, radius_px
    draw.ellipse((x - r, y - r, x + r, y + r), fill=label, outline=label)


# By labelme's shape_type: its fewest and its most points, and what draws it.
Draw = Callable[[ImageDraw.ImageDraw, Sequence[Point], int], None]
KINDS: dict[str, tuple[float, float, Draw]] = {
    "polygon": (3, math.inf, _polygon),
    "rectangle": (2, 2, _rectangle),
    "oriented_rectangle": (4, 4, _polygon),
    "circle": (2, 2, _circle),
    "line": (2, 2, _line),
    "linestrip": (1, math.inf, _line),
    "point": (1, 1, _point),
}
NO_KIND = (math.inf, 0, _polygon)
