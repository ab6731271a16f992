"""From a model to a version in each format: written, compared with the model, and published."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.classes import Classes
from fcn_tf.config.export_record import EXPORT_FILE, LABELS_FILE, ExportRecord, lines_of
from fcn_tf.config.files import data_of_run
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source
from fcn_tf.data.pipeline import spread_samples
from fcn_tf.data.shapes import draw_scene
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.score import check_classes, read_as_model, with_classes_of
from fcn_tf.exporting.card import write_export_card
from fcn_tf.exporting.device_graph import check_any_size
from fcn_tf.exporting.formats import FORMATS, Format, Job
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.options import ExportOptions
from fcn_tf.exporting.sizes import rounded_up, with_fixed_size
from fcn_tf.exporting.verify import Reference, Sample
from fcn_tf.exporting.versions import check_tree, new_version
from fcn_tf.images.read import resize
from fcn_tf.models import load_model
from fcn_tf.models.fcn import FCN
from fcn_tf.models.margin import margin_px
from fcn_tf.version import __version__

VERIFIED_IMAGES = 12

# What was measured of each artefact of a format, by kind, as export.json has it.
Artefacts = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What is exported, the same for every format.

    Args:
        model: the network.
        source: the images to calibrate and to verify on, or None where there are none.
        options: what is wanted.
        record: export.json, without what a format adds.
        stem: how the names of files begin.
    """

    model: FCN
    source: Source | None
    options: ExportOptions
    record: ExportRecord
    stem: str


def export(
    model_or_path: FCN | str | Path,
    out: str | Path,
    data: DataConfig | None = None,
    options: ExportOptions | None = None,
) -> dict[str, Artefacts]:
    """Writes a SavedModel and TFLite files, each verified before it gets its name.

    Args:
        model_or_path: an `FCN`, a `.keras` file or a run folder.
        out: folder; saved_model/VERSION and tflite/VERSION appear in it.
        data: the images to calibrate and to verify on; by default the data of a run. Where there
            are none, generated scenes are compared, and there is no mean IU and no int8.
        options: what to write; by default all formats.

    Returns:
        What export.json says of each artefact, by format and kind.

    Raises:
        InputError: no such model, one that no TFLite file of any size can hold, a folder that holds
            something other than versions, int8 without data, or data of other classes.
        RunError: an artefact differs by more than is allowed. It was not published; the
            others were.

    Example:
        >>> fcn_tf.export("runs/mine", "exported/mine", data=config.data)
    """
    options, out = options or ExportOptions(), Path(out).expanduser()
    for name in options.formats:
        check_tree(out / name)
        _check_needs(FORMATS[name], options)
    if isinstance(model_or_path, (str, Path)):
        path = str(model_or_path)
        model, model_file = load_model(path), str(Path(path).expanduser().resolve())
    else:
        path, model, model_file = "a model in memory", model_or_path, None
    if "tflite" in options.formats and options.tflite.size == "any":
        check_any_size(model)
    source = None
    if data is not None:
        source = _opened(data, model, path)
    elif model_file is not None:
        source = _source_of_run(model, path)
    kinds = {name: _kinds_to_write(FORMATS[name], options, source) for name in options.formats}
    if source is not None:
        check_classes(model, source, path)
    options = with_fixed_size(options, source)
    classes = Classes.of(model.class_names, model.palette, model.num_classes)
    record = ExportRecord(
        model=model_file,
        fcn_tf=__version__,
        verified_on="images of the data set" if source else "generated scenes",
        margin_px=margin_px(model),
        classes=classes.names,
        palette=classes.palette,
        value_range=model.value_range,
        bands=model.bands,
    )
    exported = Exported(model=model, source=source, options=options, record=record, stem=out.name)
    samples = list(_samples(source))
    written: dict[str, Artefacts] = {}
    refusals: list[str] = []
    with contextlib.ExitStack() as stack:
        # Formats of one size share their reference.
        reference_at = functools.cache(
            lambda *size_px: stack.enter_context(Reference(model, samples, *size_px))
        )
        for name in options.formats:
            settings = FORMATS[name].settings(options)
            reference = reference_at(settings.size_px, settings.step_px)
            with _kept_in(refusals):
                written[name] = _publish(
                    exported,
                    tree=out / name,
                    format=FORMATS[name],
                    kinds=kinds[name],
                    reference=reference,
                    refusals=refusals,
                )
    if refusals:
        raise RunError(" ".join(refusals))
    return written


def _check_needs(format: Format, options: ExportOptions) -> None:
    """Refuses a format whose module says that something is missing which it needs."""
    if check := getattr(importlib.import_module(format.module), "check", None):
        check(options)


@contextlib.contextmanager
def _kept_in(refusals: list[str]) -> Iterator[None]:
    """Ends the block at a `RunError` and keeps its message, so that the other kinds go on."""
    try:
        yield
    except RunError as error:
        refusals.append(str(error))


def _kinds_to_write(format: Format, options: ExportOptions, source: Source | None) -> Sequence[str]:
    """The kinds that the options ask for, or else all that can be made.

    Raises:
        InputError: one that is asked for needs images, and there are none.
    """
    asked_for = format.settings(options).kinds
    needing = [kind for kind, what in format.kinds.items() if what.needs_images and not source]
    if asked_for is None:
        possible = [
            kind for kind, what in format.kinds.items() if what.by_default and kind not in needing
        ]
        return possible[:1] if format.is_folder else possible
    for kind in asked_for:
        if kind in needing:
            raise InputError(
                f"{format.title}: {kind} needs images to calibrate on: give --config or --data.*, "
                f"or leave {kind} out."
            )
    return asked_for


def _publish(
    exported: Exported,
    *,
    tree: Path,
    format: Format,
    kinds: Sequence[str],
    reference: Reference,
    refusals: list[str],
) -> Artefacts:
    """Publishes a version of a format with those of its kinds that are within their bars.

    Args:
        exported: what is exported.
        tree: folder of the versions.
        format: an entry of `FORMATS`.
        kinds: those of its kinds that are written.
        reference: what to compare with.
        refusals: takes the messages of kinds that are refused.

    Returns:
        What was measured of the kinds that are published.

    Raises:
        RunError: no kind is left to publish.
    """
    artefacts: Artefacts = {}
    settings = format.settings(exported.options)
    with new_version(tree) as folder:
        paths = _write(exported, format, kinds, folder)
        gc.collect()  # graphs with copies of the weights, before other processes load them
        for kind, path in paths.items():
            with _kept_in(refusals):
                found = reference.compare(path, format, kind, max_pixels=settings.max_pixels)
                artefacts[kind] = found if format.is_folder else {**_file(path), **found}
            if kind not in artefacts:
                _remove(path)
        if not artefacts:
            raise RunError(f"No {format.title} file is left to publish.")
        record = replace(
            exported.record,
            max_pixels=settings.max_pixels,
            artefacts=artefacts,
            **settings.described,
        )
        _describe(folder, record)
        # A format may keep the path of the model to itself; a card shows none.
        of_model = replace(record, model=exported.record.model)
        write_export_card(folder, exported.stem, exported.model, format=format, record=of_model)
    return artefacts


def _write(
    exported: Exported, format: Format, kinds: Sequence[str], folder: Path
) -> dict[str, Path]:
    """Writes kinds of a format into a folder; returns the path of each."""
    module = importlib.import_module(format.module)
    frozen = functools.cache(lambda precision: freeze(exported.model, precision))
    paths = {}
    for kind in kinds:
        print(f"{format.title}, {kind} …", flush=True)
        job = Job(
            model=exported.model,
            frozen=functools.partial(frozen, format.kinds[kind].computes_in),
            options=exported.options,
            calibration_images=_calibration_images(exported, format, kind),
            stem=exported.stem,
            record=exported.record,
        )
        paths[kind] = module.write(job, kind, folder)
    return paths


def _opened(data: DataConfig, model: FCN, path: str) -> Source:
    """A data set, read with the model's range of values and its classes."""
    return open_source(with_classes_of(model, read_as_model(data, model), path), trains=False)


def _source_of_run(model: FCN, path: str) -> Source | None:
    """The data set that a run was trained on, or None where it is no run or the data are gone."""
    try:
        data = data_of_run(path)
        return None if data is None else _opened(data, model, path)
    except InputError as error:
        print(f"The data of the run are left out: {error}", flush=True)
        return None


def _samples(source: Source | None) -> Iterator[Sample]:
    """(image, labels or None) pairs to verify on."""
    if source is None:
        random = np.random.default_rng(0)
        for _ in range(VERIFIED_IMAGES):
            yield draw_scene(random)[0], None
        return
    split = "val" if source.split_sizes.get("val") else "train"
    for sample in spread_samples(source, split, source.split_sizes[split], VERIFIED_IMAGES):
        yield sample["image"], sample["truth"]


def _calibration_images(
    exported: Exported, format: Format, kind: str
) -> Iterator[NDArray[np.uint8]]:
    """Images spread over train, of the artefact's size; none for a kind that needs none."""
    source, settings = exported.source, format.settings(exported.options)
    if source is None or not format.kinds[kind].needs_images:
        return
    size, count = source.split_sizes["train"], settings.calibration_images
    for sample in spread_samples(source, "train", size, count):
        size_px = settings.size_px or rounded_up(sample["image"].shape[:2], settings.step_px)
        yield resize(sample["image"], size_px)


def _file(path: Path) -> dict[str, Any]:
    """Name and size of an artefact, which is a file, or a folder of files."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {"file": path.name, "bytes": sum(file.stat().st_size for file in files)}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _describe(folder: Path, record: ExportRecord) -> None:
    """Writes labels.txt and export.json, and prints what was measured."""
    (folder / LABELS_FILE).write_text(lines_of(record.classes or ()), encoding="utf-8")
    (folder / EXPORT_FILE).write_text(record.to_json(), encoding="utf-8")
    for kind, found in record.artefacts.items():
        parts = [f"same label on {100 * found['same_label']:.3f} % of the decided pixels"]
        if found["largest_difference"] is not None:
            parts.append(f"largest difference of a score {found['largest_difference']:.2g}")
        if found["mean_iou"] is not None:
            parts.append(
                f"mean IU {100 * found['mean_iou']:.2f} % "
                f"(float32 model {100 * found['reference_mean_iou']:.2f} %)"
            )
        print(f"  {kind}: {'; '.join(parts)}", flush=True)
