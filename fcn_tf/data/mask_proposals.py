"""The option `--data.mask_values` that would make masks fit the classes, as a line to paste."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.images.read import open_image

MASKS_READ = 100  # for the values that masks hold

Value = int | tuple[int, int, int]  # a value or an RGB colour of a mask


def values_seen(masks: Sequence[Path]) -> list[Value]:
    """The values or colours that mask files hold, sorted, from at most `MASKS_READ` of them.

    Files that cannot be read are left out.
    """
    seen: set[Value] = set()
    for path in masks[:: -(-len(masks) // MASKS_READ) or 1]:
        try:
            pixels = np.asarray(open_image(path))
        except InputError:
            continue
        if pixels.ndim == 2:
            seen.update(np.unique(pixels).astype(int).tolist())
        else:
            colors = np.unique(pixels[..., :3].reshape(-1, 3), axis=0)
            seen.update(tuple(color) for color in colors.tolist())
    return sorted(seen, key=lambda value: value if isinstance(value, tuple) else (value,))


def values_text(values: Collection[Value], most: int = 12) -> str:
    """Values for a message: "0, 1, 255"."""
    shown = [str(value) for value in list(values)[:most]]
    return ", ".join(shown) + (f" and {len(values) - most} more" if len(values) > most else "")


# TODO of the merge: replaced by the function of the part `masks`.
def proposed_mask_values(values: Collection[Value], class_names: Sequence[str]) -> str | None:
    """The option that gives each value that masks hold its class, or None where none is obvious.

    Args:
        values: the values or colours that masks hold, without those that mean "ignore".
        class_names: the classes.

    Example:
        >>> proposed_mask_values([0, 255], ["background", "vessel"])
        "--data.mask_values '{0: background, 255: vessel}'"
    """
    numbers = sorted(value for value in values if isinstance(value, int))
    if len(numbers) < len(values):
        return None
    known = numbers
    if len(numbers) == len(class_names) + 1:
        known = numbers[1:] if VOID not in numbers else numbers[:-1]
    if len(known) != len(class_names):
        return None
    named = dict(zip(known, class_names, strict=True))
    pairs = [f"{n}: {_quoted(named.get(n, 'ignore'))}" for n in numbers]
    return f"--data.mask_values {shlex.quote('{' + ', '.join(pairs) + '}')}"


def _quoted(name: str) -> str:
    return name if name.isalnum() else json.dumps(name, ensure_ascii=False)


def proposal_for(masks: Iterable[Path], class_names: Sequence[str]) -> str | None:
    """`proposed_mask_values` for what mask files hold."""
    return proposed_mask_values(values_seen(list(masks)), class_names)
