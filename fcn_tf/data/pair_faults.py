"""Everything that is wrong with an image and its mask, and what may not be meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.data.occurrence import Counts, count_labels, unlabelled_share
from fcn_tf.data.pairs import Pair, Problem, ReadPair, size_problem
from fcn_tf.errors import InputError
from fcn_tf.images.depth import Bands
from fcn_tf.images.formats import open_in_process, pages_of
from fcn_tf.images.mask_pixels import alpha_that_is_dropped
from fcn_tf.images.masks import Coding, read_mask
from fcn_tf.images.read import UNREADABLE, Reading, open_image


@dataclass
class PairFaults:
    """What was found in a pair.

    Args:
        errors: why training refuses it, each with its file.
        warnings: what training accepts, but may not be meant.
        counts: what the mask holds; None where it cannot be read.
        misfit: whether the mask holds a value or a colour of no class.
    """

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    counts: Counts | None = None
    misfit: bool = False


def faults_of(
    pair: Pair,
    *,
    read: ReadPair,
    coding: Coding,
    background: int | None,
    void: str,
    bands: Bands | None = None,
) -> PairFaults:
    """Reads a pair and says all that is wrong with it.

    It has errors if `read` refuses it, and only then.

    Args:
        pair: the files.
        read: reads a pair, as training does.
        coding: what the values of the mask mean.
        background: the label of the background, or None. A mask with no other label is noted.
        void: what is not labelled, as in `Occurrence`.
        bands: those of the images that `read` reads, as in `open_image`.
    """
    found = PairFaults()
    labels = None
    try:
        labels = read(pair)[1]
    except InputError as error:
        labels = _read_mask(pair, coding, found, bands)
        _add_error(found, pair, str(error))
    found.errors.sort(key=lambda problem: problem[0] != pair.image)
    if labels is not None:
        found.counts = count_labels(labels, coding.num_classes)
        if text := _empty(found.counts, background, void):
            found.warnings.append((pair.mask, text))
    found.warnings += [(pair.image, text) for text in _image_notes(pair.image)]
    if labels is not None and (text := _mask_note(pair.mask, coding)):
        found.warnings.append((pair.mask, text))
    return found


def faults_without_classes(pair: Pair, coding: Coding, reading: Reading) -> PairFaults:
    """As `faults_of`, where it is not known what the values of masks mean."""
    found = PairFaults()
    image = _opened(pair.image, found, reading.bands)
    mask = None if coding.drawn else _opened(pair.mask, found)
    if image and mask and (text := size_problem(pair, image, mask, reading)):
        found.errors.append((pair.mask, text))
    found.warnings += [(pair.image, text) for text in _image_notes(pair.image)]
    return found


def _read_mask(
    pair: Pair, coding: Coding, found: PairFaults, bands: Bands | None
) -> NDArray[np.uint8] | None:
    """The labels of a pair that is refused; what is wrong with each of its files is added."""
    _opened(pair.image, found, bands)
    if coding.drawn is None and _opened(pair.mask, found) is None:
        return None
    try:
        return read_mask(pair.mask, coding)
    except InputError as error:
        found.misfit = coding.drawn is None
        _add_error(found, pair, str(error))
        return None


def _opened(path: Path, found: PairFaults, bands: Bands | None = None) -> Image.Image | None:
    """A decoded file; None and an error in `found` where it cannot be read."""
    try:
        return open_image(path, bands=bands)
    except InputError as error:
        found.errors.append((path, str(error)))
        return None


def _add_error(found: PairFaults, pair: Pair, text: str) -> None:
    """Adds an error, unless it is known."""
    file = pair.image if text.startswith(str(pair.image)) else pair.mask
    if all(text != known for _, known in found.errors):
        found.errors.append((file, text))


def _image_notes(path: Path) -> Iterator[str]:
    """What training does with an image that some may not expect."""
    try:
        with open_in_process(path) as image:
            has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa")
            has_alpha |= "transparency" in image.info
            mode = image.mode
    except (InputError, *UNREADABLE):  # which is an error
        return
    if (pages := pages_of(path)) > 1:
        yield f"{pages} pages or frames: the first is read; save it as a file of its own"
    if mode == "CMYK":
        yield "CMYK: colours are converted roughly; save it as RGB"
    if has_alpha:
        yield "an alpha channel, which is dropped: save it as RGB"


def _mask_note(path: Path, coding: Coding) -> str | None:
    """What training does with a mask that some may not expect."""
    if coding.drawn is not None:
        return None
    with open_in_process(path) as mask:
        has_alpha = mask.mode in ("RGBA", "LA")
    return alpha_that_is_dropped(open_image(path)) if has_alpha else None


def _empty(counts: Counts, background: int | None, void: str) -> str | None:
    """The message for a mask without labels or with background alone, or None."""
    labelled_px = int(counts.labelled.sum())
    if not labelled_px:
        return f"empty: no pixel is labelled; all are {void}"
    if background is None or counts.labelled[background] < labelled_px:
        return None
    text = "empty: nothing but background"
    if counts.unlabelled_px:
        share = unlabelled_share(labelled_px, counts.unlabelled_px)
        text += f"; {share} of this mask is {void}, which means: not labelled"
    return text
