"""The option `--data.mask_values` that would make masks fit the classes, as a line to paste."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from fcn_tf.config.mask_values import MaskValue
from fcn_tf.errors import InputError
from fcn_tf.images.mask_proposals import as_option, proposed_mask_values
from fcn_tf.images.masks import values_in
from fcn_tf.images.read import open_image

MASKS_READ = 100  # for the values that masks hold


def values_seen(masks: Sequence[Path]) -> Counter[MaskValue]:
    """The pixels of each value or colour that mask files hold, from at most `MASKS_READ` of them.

    Files that cannot be read are left out.
    """
    seen: Counter[MaskValue] = Counter()
    for path in masks[:: -(-len(masks) // MASKS_READ) or 1]:
        with contextlib.suppress(InputError):
            seen.update(values_in(open_image(path), path))
    return seen


def values_text(values: Collection[MaskValue], most: int = 12) -> str:
    """Values for a message, in order: "0, 1, 255"."""
    in_order = sorted(values, key=lambda value: value if isinstance(value, tuple) else (value,))
    shown = [str(value) for value in in_order[:most]]
    return ", ".join(shown) + (f" and {len(values) - most} more" if len(values) > most else "")


def proposal_for(masks: Iterable[Path], class_names: Sequence[str]) -> str | None:
    """The option that the values in mask files suggest, or None where they suggest none."""
    text = proposed_mask_values(values_seen(list(masks)), class_names)
    return None if text is None else as_option(text)
