"""What is wrong with which file of a data set, before a training meets it.

An error is what training refuses, a warning what it accepts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import VOID, palette_or_voc
from fcn_tf.config.schema import DataConfig
from fcn_tf.data.broken import SKIPPED_MARK
from fcn_tf.data.drawn import BACKGROUNDS
from fcn_tf.data.frequencies import WEIGHTINGS
from fcn_tf.data.layouts import LabelledFolder, open_folder
from fcn_tf.data.mask_proposals import proposal_for, values_seen, values_text
from fcn_tf.data.occurrence import Occurrence, count_labels, judge, void_words
from fcn_tf.data.pair_faults import PairFaults, faults_of, faults_without_classes
from fcn_tf.data.pairs import Notes, Pair, Problem, ReadPair, read_pair
from fcn_tf.data.pipeline import LabelledImage, open_source, samples_of, spread, whole_images
from fcn_tf.data.skipped import Skipped
from fcn_tf.data.source import Source
from fcn_tf.data.start_check import in_threads
from fcn_tf.errors import InputError
from fcn_tf.files import shown_name
from fcn_tf.images.read import Reading
from fcn_tf.progress import with_progress

SAMPLES = 6
# A mask with nothing but these is noted.
EMPTY = (*BACKGROUNDS, "void", "unlabelled", "unlabeled")


@dataclass
class Checked:
    """The findings in a data set.

    Args:
        errors: what training refuses, each with its file; None for the data set as a whole.
        warnings: what training accepts but may not be meant, likewise.
        seen: what the masks of each split hold.
        class_names: C names; none where the classes are not known.
        colors: C RGB triples, 0..255.
        samples: a few labelled images, for a sheet.
        notes: what may help to mend the errors.
    """

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    seen: dict[str, Occurrence] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    colors: Sequence[Sequence[int]] = ()
    samples: list[LabelledImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_data_set(config: DataConfig) -> Checked:
    """Reads every image and mask of a data set.

    Args:
        config: the data set, resolved.

    Raises:
        InputError: there is nothing to read, because there is no such folder for instance.
    """
    return _check_folder(config) if config.name == "folder" else _check_source(config)


def as_json(checked: Checked) -> dict[str, Any]:
    """The findings as values that JSON has, and figures of each class in train.

    `problems` holds the errors and the warnings together.
    """
    counts = _counts_of_train(checked)
    pixels = counts.sum(axis=0)
    weights = {name: weigh(counts) for name, weigh in WEIGHTINGS.items()}
    errors, warnings = (
        [{"file": path and shown_name(path), "problem": shown_name(text)} for path, text in found]
        for found in (checked.errors, checked.warnings)
    )
    return {
        "images": {split: len(seen.per_image) for split, seen in checked.seen.items()},
        "errors": errors,
        "warnings": warnings,
        "problems": errors + warnings,
        "notes": checked.notes,
        "not_labelled": {split: _unlabelled(seen) for split, seen in checked.seen.items()},
        "classes": {
            name: {
                "images": int((counts[:, index] > 0).sum()),
                "pixels": int(pixels[index]),
                "share": float(pixels[index] / max(pixels.sum(), 1)),
                **{f"{way}_weight": round(of_class[index], 4) for way, of_class in weights.items()},
            }
            for index, name in enumerate(checked.class_names)
        },
    }


def _unlabelled(seen: Occurrence) -> float:
    """The share of VOID in the pixels of a split's masks."""
    labelled_px = sum(int(counts.sum()) for counts in seen.per_image)
    return seen.unlabelled_px / max(labelled_px + seen.unlabelled_px, 1)


def _counts_of_train(checked: Checked) -> NDArray[np.int64]:
    """The labelled pixels of each class in each image of train, (images, C)."""
    train = checked.seen.get("train")
    per_image = train.per_image if train else []
    # (0, C) where no mask could be read
    return np.array(per_image, np.int64).reshape(len(per_image), len(checked.class_names))


def _check_folder(config: DataConfig) -> Checked:
    found = Checked()
    if not Path(config.data_dir or "").expanduser().is_dir():
        open_folder(config)  # refuses it
    try:
        folder = open_folder(config, found.errors)
    except InputError as error:
        found.errors.append((None, str(error)))
        return found
    found.class_names, found.colors = folder.class_names, folder.colors
    reading, notes = Reading(config.exif, config.value_range, config.bands), Notes()
    read = partial(read_pair, coding=folder.coding, reading=reading)
    check = _check_of_pairs(folder, config, reading, partial(read, notes=notes))
    whole: list[Pair] = []
    misfits: list[Path] = []
    for split, pairs in folder.splits.items():
        found.seen[split] = Occurrence(split, len(pairs), void=void_words(config))
        skips = config.broken == "skip"
        for pair, faults in _check_split(found, split, pairs, check, skips_broken=skips):
            misfits += [pair.mask] if faults.misfit else []
            whole += [] if faults.errors else [pair]
    found.warnings += [(None, line) for line in notes.lines(len(whole), reading)]
    _conclude(found, folder, misfits)
    if folder.class_names:
        found.samples = _samples(whole, read)
    return found


def _check_of_pairs(
    folder: LabelledFolder, config: DataConfig, reading: Reading, read: ReadPair
) -> Callable[[Pair], PairFaults]:
    """What finds the faults of a pair, with the classes of the folder or without any."""
    if not folder.class_names:
        return partial(faults_without_classes, coding=folder.coding, reading=reading)
    background = 0 if folder.class_names[0].lower() in EMPTY else None
    return partial(
        faults_of,
        read=read,
        coding=folder.coding,
        background=background,
        void=void_words(config),
        bands=reading.bands,
    )


def _check_split(
    found: Checked,
    split: str,
    pairs: Sequence[Pair],
    check: Callable[[Pair], PairFaults],
    *,
    skips_broken: bool,
) -> Iterator[tuple[Pair, PairFaults]]:
    """Each pair of a split with its faults, which are added to `found`."""
    seen = found.seen[split]
    for pair, faults in zip(pairs, _checked(split, pairs, check), strict=True):
        _add(found, seen, faults, bool(faults.errors) and skips_broken)
        yield pair, faults
    if split == "train" and pairs and not seen.total:  # all are skipped
        found.errors.append((None, "No pair of train can be used."))


def _checked(
    split: str, pairs: Sequence[Pair], check: Callable[[Pair], PairFaults]
) -> Iterable[PairFaults]:
    """What is found in each pair of a split, with a bar; nothing is printed of an empty split."""
    if not pairs:
        return ()
    _announce(split, len(pairs))
    return with_progress(in_threads(check, pairs), len(pairs), "pair")


def _add(found: Checked, seen: Occurrence, faults: PairFaults, skips: bool) -> None:
    """Adds what was found in a pair; where training skips it, nothing of it is an error."""
    (found.warnings if skips else found.errors).extend(faults.errors)
    found.warnings += faults.warnings
    seen.total -= skips
    if faults.counts is not None and not skips:
        seen.add(faults.counts)


def _conclude(found: Checked, folder: LabelledFolder, misfits: list[Path]) -> None:
    """Adds what follows from the masks of all splits together.

    Args:
        found: takes it.
        folder: the pairs.
        misfits: the masks with a value of no class. A few are mistakes; many have a coding of
            their own.
    """
    masks = [pair.mask for pairs in folder.splits.values() for pair in pairs]
    if not folder.class_names:
        if values := values_seen(masks):
            found.notes.append(f"The masks hold the values {values_text(values)}.")
        return
    _judge(found, lambda: proposal_for(masks, found.class_names))
    if 2 * len(misfits) > len(masks) and (line := proposal_for(misfits, found.class_names)):
        found.notes.append(f"If the values of the masks are meant so: {line}")


def _judge(found: Checked, remedy: Callable[[], str | None]) -> None:
    """Adds what the classes of each split mean for a training."""
    for seen in found.seen.values():
        judged = judge(seen, found.class_names, remedy)
        found.errors += [(None, judged.error)] if judged.error else []
        found.warnings += [(None, text) for text in judged.warnings]
        if seen.total and not seen.per_image:
            found.notes.append(f"The classes in {seen.split} could not be counted.")


def _announce(split: str, size: int) -> None:
    images = "image and its mask" if size == 1 else "images and masks"
    print(f"{split}, {size} {images}:", flush=True)


def _samples(whole: list[Pair], read: ReadPair) -> list[LabelledImage]:
    """A few pairs, evenly spread, for a sheet."""
    samples: list[LabelledImage] = []
    for number in spread(len(whole), SAMPLES):
        pair = whole[number]
        with contextlib.suppress(InputError):  # where it broke meanwhile
            image, mask = read(pair)
            title = shown_name(pair.image.name)
            samples.append({"image": image, "truth": mask[..., 0], "title": title})
    return samples


def _check_source(config: DataConfig) -> Checked:
    skipped = Skipped()
    source = replace(open_source(config, trains=False), skipped=skipped)
    found = Checked(class_names=source.class_names)
    found.colors = palette_or_voc(source.colors, len(source.class_names))
    whole: list[int] = []
    for split, size in source.split_sizes.items():
        _announce(split, size)
        numbers = _count_split(source, split, found)
        whole = numbers if split == "train" else whole
    found.errors[:0] = [(None, text) for text in skipped.texts()]
    _judge(found, lambda: None)
    numbers = [whole[place] for place in spread(len(whole), SAMPLES)]
    found.samples = list(samples_of(source, "train", numbers))
    return found


def _count_split(source: Source, split: str, found: Checked) -> list[int]:
    """Counts what the masks of a split hold; returns the numbers of the records without a fault."""
    num_classes = len(source.class_names)
    seen = found.seen[split] = Occurrence(split, source.split_sizes[split])
    whole = []
    examples = with_progress(
        whole_images(source, split).as_numpy_iterator(), source.split_sizes[split], "image"
    )
    for number, example in enumerate(examples):
        image, mask, name = example["image"], example["segmentation_mask"], example["file_name"]
        title = shown_name(name)
        if title.endswith(SKIPPED_MARK):
            continue
        seen.add(count_labels(mask, num_classes))
        if image.shape[:2] != mask.shape[:2]:
            found.errors.append((title, f"{image.shape[:2]}, its mask {mask.shape[:2]}"))
        elif np.any((mask >= num_classes) & (mask != VOID)):
            found.errors.append((title, "its mask has values of no class"))
        else:
            whole.append(number)
    return whole
