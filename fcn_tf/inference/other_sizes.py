"""What is said of images whose sizes a model does not take as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fcn_tf.config.types import Size
from fcn_tf.inference.loaded import LoadedModel


def is_other_size(model: LoadedModel, size_px: Sequence[int]) -> bool:
    """Whether an image is scaled, or filled up, before a model sees it.

    Args:
        model: the model.
        size_px: height and width of the image.
    """
    if model.size_px is not None:
        return tuple(size_px) != tuple(model.size_px)
    return any(side % model.step_px for side in size_px)


def other_sizes_line(model: LoadedModel, sizes: Collection[Sequence[int]]) -> str | None:
    """A line that says what became of images of other sizes; None where there were none.

    Args:
        model: the model.
        sizes: heights and widths for which `is_other_size` holds.
    """
    if not sizes:
        return None
    first = min(map(Size, sizes))
    more = len(set(map(tuple, sizes))) - 1
    others = f" and {more} other size{'s' if more > 1 else ''}" if more else ""
    if model.size_px is not None:
        return (
            f"Images of {first}{others} were scaled to {Size(model.size_px)}, which is all that "
            "the file takes, and what it found was scaled back."
        )
    return (
        f"Images of {first}{others} were filled up at the bottom and at the right to multiples of "
        f"{model.step_px} px, as the file takes no others: labels near these two borders can "
        "differ from the model's."
    )
