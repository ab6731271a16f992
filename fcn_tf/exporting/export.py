"""From a model to versions for a server and for a device."""

import contextlib
import functools
import gc
import json
from pathlib import Path

import numpy as np

from fcn_tf.classes import voc_palette
from fcn_tf.config import ExportConfig
from fcn_tf.config_files import EXPORT_FILE, load_config, run_config
from fcn_tf.data import open_source
from fcn_tf.data.pipeline import spread_samples
from fcn_tf.data.shapes import draw_scene
from fcn_tf.errors import InputError, RunError
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.saved_model import write_saved_model
from fcn_tf.exporting.tflite import convert
from fcn_tf.exporting.verify import Reference
from fcn_tf.exporting.versions import check_tree, new_version
from fcn_tf.image_files import resize
from fcn_tf.models import load_model
from fcn_tf.models.reach import margin_px
from fcn_tf.scoring import check_classes
from fcn_tf.version import __version__

VERIFIED_IMAGES = 12


def export(model_or_path, out, data=None, config=None):
    """Writes a SavedModel and TFLite files, each verified before it gets its name.

    Args:
        model_or_path: an `FCN`, a `.keras` file or a run folder.
        out: folder; saved_model/VERSION and tflite/VERSION appear in it.
        data: the `DataConfig` of the images to calibrate and to verify on; by default the
            data of a run. Where there are none, the images are generated scenes, without
            mean IU and int8.
        config: an `ExportConfig`.

    Returns:
        dict of what export.json says of each artefact, by format and precision.

    Raises:
        InputError: no such model, a folder that is no tree of versions, int8 without
            data, or data of other classes.
        RunError: an artefact differs by more than is allowed. It was not published; the
            others were.
    """
    config, out = config or ExportConfig(), Path(out).expanduser()
    is_path = isinstance(model_or_path, (str, Path))
    name = str(model_or_path) if is_path else "a model in memory"
    for kind in config.formats:
        check_tree(out / kind)
    model = load_model(model_or_path) if is_path else model_or_path
    source = open_source(data) if data else _source_of_run(model_or_path) if is_path else None
    quantize = config.quantize or ("float32", "float16", "dynamic", *(["int8"] if source else []))
    if "tflite" in config.formats and "int8" in quantize and source is None:
        raise InputError(
            "quantize=int8 needs images to calibrate on: give --config or --data.*, or leave "
            "int8 out."
        )
    if source is not None:
        check_classes(model, source, name)
    samples = list(_samples(source))
    verified_on = "images of the data set" if source else "generated scenes"
    about = {
        "model": str(Path(name).expanduser().resolve()) if is_path else None,
        "fcn_tf": __version__,
        "verified_on": verified_on,
        "margin_px": margin_px(model),
    }
    written, refused = {}, []
    with contextlib.ExitStack() as stack:
        # Made when it is first needed: at any size the two formats have the same.
        reference_at = functools.cache(
            lambda size_px: stack.enter_context(Reference(model, samples, size_px))
        )
        if "saved_model" in config.formats:
            with _noted(refused):
                written["saved_model"] = _export_saved_model(
                    model,
                    out / "saved_model",
                    reference_at(None),
                    config,
                    about,
                )
        if "tflite" in config.formats:
            with _noted(refused):
                written["tflite"] = _export_tflite(
                    model,
                    out / "tflite",
                    reference_at(config.size_px),
                    config,
                    about,
                    quantize,
                    source,
                    refused,
                )
    if refused:
        raise RunError(" ".join(refused))
    return written


@contextlib.contextmanager
def _noted(refused):
    """Notes the reason of what is refused; the rest goes on."""
    try:
        yield
    except RunError as error:
        refused.append(str(error))


def _export_saved_model(model, tree, reference, config, about):
    """Publishes a SavedModel; returns what was measured, by precision."""
    with new_version(tree) as folder:
        print(f"SavedModel, {config.precision} …", flush=True)
        write_saved_model(freeze(model, config.precision), folder, config.max_pixels)
        gc.collect()  # graphs with copies of the weights, before another process loads them
        found = reference.compare(folder, config.precision, config.max_pixels)
        artefacts = {config.precision: found}
        _describe(folder, model, {**about, "max_pixels": config.max_pixels}, artefacts)
    return artefacts


def _export_tflite(model, tree, reference, config, about, quantize, source, refused):
    """Publishes TFLite files; returns what was measured, by kind."""
    artefacts, logits = {}, freeze(model)
    with new_version(tree) as folder:
        for kind in quantize:
            print(f"TFLite, {kind} …", flush=True)
            images = _calibration(source, config) if kind == "int8" else ()
            path = folder / f"{tree.parent.name}-{kind}.tflite"
            path.write_bytes(convert(logits, kind, config.size_px, config.output, images))
            gc.collect()
            with _noted(refused):
                found = reference.compare(path, kind)
                artefacts[kind] = {"file": path.name, "bytes": path.stat().st_size, **found}
            if kind not in artefacts:
                path.unlink()
        if not artefacts:
            raise RunError("No TFLite file is left to publish.")
        size = "x".join(map(str, config.size_px)) if config.size_px else "any"
        _describe(folder, model, {**about, "size": size, "output": config.output}, artefacts)
    return artefacts


def _source_of_run(path):
    """The data set that a run was trained on, or None where it is no run or the data are gone."""
    config_file = run_config(path)
    if not config_file.is_file():
        return None
    try:
        return open_source(load_config(config_file).data)
    except InputError as error:
        print(f"The data of the run are left out: {error}", flush=True)
        return None


def _samples(source):
    """(image, labels or None) pairs to verify on."""
    if source is None:
        random = np.random.default_rng(0)
        for _ in range(VERIFIED_IMAGES):
            yield draw_scene(random)[0], None
        return
    split = "val" if source.split_sizes.get("val") else "train"
    for sample in spread_samples(source, split, source.split_sizes[split], VERIFIED_IMAGES):
        yield sample["image"], sample["truth"]


def _calibration(source, config):
    """Images of train, spread over it."""
    size = source.split_sizes["train"]
    images = spread_samples(source, "train", size, config.calibration_images)
    for sample in images:
        yield resize(sample["image"], config.size_px or sample["image"].shape[:2])


def _describe(folder, model, about, artefacts):
    """Writes labels.txt and export.json, and prints what was measured."""
    names = model.class_names or [str(index) for index in range(model.num_classes)]
    palette = model.palette or voc_palette(model.num_classes).tolist()
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    described = {**about, "classes": list(names), "palette": palette, "artefacts": artefacts}
    (folder / EXPORT_FILE).write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    for kind, found in artefacts.items():
        parts = [f"same label on {100 * found['same_label']:.3f} % of the decided pixels"]
        if found["largest_difference"] is not None:
            parts.append(f"largest difference of a score {found['largest_difference']:.2g}")
        if found["mean_iou"] is not None:
            parts.append(
                f"mean IU {100 * found['mean_iou']:.2f} % "
                f"(float32 model {100 * found['reference_mean_iou']:.2f} %)"
            )
        print(f"  {kind}: {'; '.join(parts)}", flush=True)
