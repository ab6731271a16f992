"""Masks that are outlines in JSON: what labelme's and COCO's files have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError

# Names of the class that pixels outside all outlines have, in small letters. The first is given
# where none is.
BACKGROUNDS = ("background", "_background_", "bg")
IGNORED = "__ignore__"  # labelme's name of what is not labelled


@dataclass(frozen=True)
class Meaning:
    """What the labels of outlines mean.

    Args:
        labels: the label of each class name, and VOID for what is not labelled.
        undrawn: the label of the pixels outside all outlines.
    """

    labels: Mapping[str, int]
    undrawn: int

    @classmethod
    def of(cls, class_names: Sequence[str]) -> Meaning:
        """The meaning of outlines of these classes, in the order of their labels.

        A pixel outside all outlines is background where that is a class, and not labelled (VOID)
        where it is none.
        """
        labels = {name: label for label, name in enumerate(class_names)}
        undrawn = next((labels[name] for name in class_names if is_background(name)), VOID)
        return cls({IGNORED: VOID} | labels, undrawn)

    def label(self, name: str, path: Path) -> int:
        """The label of an outline.

        Raises:
            InputError: it is of no class.
        """
        if name not in self.labels:
            known = ", ".join(known for known in self.labels if known != IGNORED)
            raise InputError(
                f"{path}: an outline is named {name}, which is no class; the classes are {known}. "
                f"Add it to classes.txt, or name it {IGNORED} if it is not to be learned."
            )
        return self.labels[name]


def is_background(name: str) -> bool:
    """Whether a class is what pixels outside all outlines are."""
    return name.lower() in BACKGROUNDS


def class_names_of(drawn: Iterable[str]) -> tuple[str, ...]:
    """The classes where no file names them: background, then the names of outlines in order.

    Args:
        drawn: the names, in the order of the labels; a background among them is not taken twice.
    """
    names = [name for name in dict.fromkeys(drawn) if name != IGNORED]
    background = next((name for name in names if is_background(name)), BACKGROUNDS[0])
    return (background, *(name for name in names if name != background))


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}).") from error
