"""The size that files are fixed to where none is given: the commonest of the data."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fcn_tf.config.types import Size
from fcn_tf.data.pipeline import spread_samples
from fcn_tf.data.source import Source
from fcn_tf.exporting.options import DEFAULT_SIZE_PX, ExportOptions

LOOKED_AT = 50  # images of val
COMMON_SHARE = 0.1  # below it no size is common
# A larger size is halved: a phone has neither the time nor the memory.
MOST_PIXELS = 2**21


def with_fixed_size(options: ExportOptions, source: Source | None) -> ExportOptions:
    """The options with a size for TFLite files; which, and why, is printed.

    Args:
        options: what is wanted.
        source: the data at hand, or None.
    """
    if options.tflite.size is not None or {"tflite", "web"}.isdisjoint(options.formats):
        return options
    size_px, because = DEFAULT_SIZE_PX, "as there are no data"
    if source is not None:
        split = "val" if source.split_sizes.get("val") else "train"
        size_px, because = _commonest(source, split)
    print(
        f"The TFLite files take images of {size_px}, {because}; --tflite.size HEIGHTxWIDTH or any "
        "changes that.",
        flush=True,
    )
    return replace(options, tflite=replace(options.tflite, size=size_px))


def rounded_up(size_px: Sequence[int], step_px: int) -> tuple[int, int]:
    """A height and a width, each the next multiple of a step."""
    height_px, width_px = (-(-side // step_px) * step_px for side in size_px)
    return height_px, width_px


def _commonest(source: Source, split: str) -> tuple[Size, str]:
    """The commonest size of images spread over a split, halved if it is large; and why."""
    count = min(LOOKED_AT, source.split_sizes[split])
    samples = spread_samples(source, split, source.split_sizes[split], count)
    sizes = [Size(sample["image"].shape[:2]) for sample in samples]
    size_px, of_this = Counter(sizes).most_common(1)[0]
    because = f"the size of {of_this} of {len(sizes)} images of {split}"
    if of_this < COMMON_SHARE * len(sizes):
        size_px = Size(statistics.median_high(sides) for sides in zip(*sizes, strict=True))
        because = f"the median height and width of {len(sizes)} images of {split}"
    divisor = 1
    while size_px[0] * size_px[1] > MOST_PIXELS * divisor**2:
        divisor *= 2
    if divisor == 1:
        return size_px, because
    smaller = Size(max(1, round(side / divisor)) for side in size_px)
    return smaller, f"1/{divisor} of {size_px}, {because}"
