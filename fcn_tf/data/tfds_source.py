"""Data sets of TensorFlow Datasets (TFDS) with masks: `shapes`, `voc`, and any other by its name.

Importing this module registers `shapes` and `voc_segmentation`.
"""

from __future__ import annotations

import difflib
import errno
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from numpy.typing import NDArray

import fcn_tf.data.shapes
import fcn_tf.data.voc  # noqa: F401 (both register a data set)
from fcn_tf.config.schema import DataConfig
from fcn_tf.data.source import Example, Record, Source
from fcn_tf.data.tfds_features import (
    Chosen,
    choose_features,
    class_colors_of,
    class_names_of,
)
from fcn_tf.data.tfds_records import Builder, stored_records
from fcn_tf.data.tfds_splits import Share, share_out
from fcn_tf.errors import InputError, RunError
from fcn_tf.images.coding import Coding
from fcn_tf.images.graph import Tensor, Window, cut, decode_image, from_python, image_size
from fcn_tf.images.mask_graph import decode_mask

INFO_FILE = "dataset_info.json"  # of a prepared data set


def tfds_source(config: DataConfig) -> Source:
    """A TFDS data set with masks, generated or downloaded at the first call.

    Args:
        config: the data set, resolved.

    Raises:
        InputError: there is no such data set, it has no images with masks, its files are damaged,
            or the archives that the user gives are missing or not whole.
        RunError: the disk is full.
    """
    builder = open_builder(config)
    chosen = choose_features(builder.info, config)
    coding = _coding(builder.info, chosen.mask, config)
    shares = share_out(builder.info, config.validation_fraction)
    if config.name == "tfds":
        print(
            f"{builder.info.full_name}: images from the feature {chosen.image}, masks from "
            f"{chosen.mask}; classes: {', '.join(coding.class_names)}.",
            flush=True,
        )
    unpack = _unpacker(builder.info.features, chosen)
    stored = stored_records(builder, shares, unpack)

    def decode(record: Record, window: Window | None = None) -> Example:
        name = record["place"]
        mask = decode_mask(record["mask"], coding, name)
        size_px = image_size(record["image"], name)
        same_size = tf.reduce_all(tf.shape(mask)[:2] == size_px)
        sizes = size_px, tf.shape(mask)[:2], name
        mask = tf.cond(same_size, lambda: mask, lambda: from_python(_refuse_sizes, sizes, 1))
        return {
            "image": decode_image(record["image"], window, name, config.value_range),
            "segmentation_mask": cut(mask, window),
            "file_name": record["file_name"],
        }

    return Source(
        class_names=coding.class_names,
        split_sizes={split: share.size for split, share in shares.items()},
        records=stored.records,
        image_size=lambda record: image_size(record["image"], record["place"]),
        decode=decode,
        colors=class_colors_of(builder.info, len(coding.class_names)),
        coding=coding,
        record_at=stored.record_at,
        pieces=stored.pieces,
    )


def open_builder(config: DataConfig) -> Builder:
    """The builder of the data set that a configuration names; what it builds is prepared.

    Raises:
        InputError, RunError: as in `tfds_source`.
    """
    manual_dir = config.manual_dir
    if manual_dir is not None and not Path(manual_dir).expanduser().is_dir():
        raise InputError(f"data.manual_dir={manual_dir}: no such folder.")
    builder = _found_builder(config)
    if not (builder.data_path / INFO_FILE).exists():
        _prepare(builder, config)
    return builder


def _found_builder(config: DataConfig) -> Builder:
    name = config.tfds_name or "shapes"
    if config.name == "shapes":
        name = "shapes"
    if config.name == "voc":
        name = f"voc_segmentation/{config.tfds_config}"
    folder = tfds.core.Path(name).expanduser()  # or a URL
    if config.name == "tfds" and (name[0] in "./~" or (folder / INFO_FILE).exists()):
        return _builder_of_folder(folder)
    try:
        return tfds.builder(name, data_dir=config.tfds_dir)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders()
        near = difflib.get_close_matches(name.partition("/")[0], known, n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InputError(
            f"data.tfds_name={name}: TFDS knows no such data set, and there is no folder of this "
            f"name with a {INFO_FILE}.{meant}"
        ) from error
    except (ValueError, AssertionError) as error:  # its config or its version is another one
        configs = ", ".join(tfds.builder_cls(name.partition("/")[0]).builder_configs)
        known = f"its configs are {configs}" if configs else "it has no configs"
        raise InputError(f"data.tfds_name={name}: {known}. ({error})") from error


def _builder_of_folder(folder: Any) -> Builder:
    """The builder of a data set that lies prepared in a folder, whoever built it."""
    if not (folder / INFO_FILE).exists():
        inside = sorted(path.parent for path in Path(folder).rglob(INFO_FILE))
        there = f"; {inside[0]} has one" if inside else ""
        raise InputError(
            f"data.tfds_name={folder}: a prepared data set has a {INFO_FILE}, and this folder has "
            f"none{there}."
        )
    return tfds.builder_from_directory(folder)


def _prepare(builder: Builder, config: DataConfig) -> None:
    """Downloads and prepares a data set, so that its records can be read in any order."""
    has_array_record = importlib.util.find_spec("array_record") is not None
    file_format = "array_record" if has_array_record else None
    if config.name == "tfds" and file_format:
        print(
            f"Preparing {builder.info.full_name} in {builder.data_dir} as array_record files: read "
            "them elsewhere with tfds.data_source, as tfds.load cannot.",
            flush=True,
        )
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=config.manual_dir, try_download_gcs=False
            ),
            file_format=file_format,
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            message = f"The disk of {builder.data_dir} is full: make room and run again."
            raise RunError(message) from error
        raise


def _coding(info: Any, mask: str, config: DataConfig) -> Coding:
    """What the values of the masks mean, and the names of the classes."""
    names = class_names_of(info, mask, config)
    if names is None:
        raise InputError(
            f"{info.full_name} does not say what its classes are called: give their names in the "
            'order of their values, --data.class_names "[background, pet]", or the class that each '
            'value means, --data.mask_values "{1: pet, 2: background, 3: ignore}".'
        )
    return Coding.of(names, None, config.mask_values, config.ignore_label)


def _unpacker(features: Any, chosen: Chosen) -> Any:
    """A function of a share, a number and the bytes of an example, which gives a `Record`."""
    names = [name for name in chosen if name is not None]
    read = tfds.features.FeaturesDict({name: features[name] for name in names})
    pictures = [name for name in names if isinstance(features[name], tfds.features.Image)]
    undecoded = {name: tfds.decode.SkipDecoding() for name in pictures}

    def unpack(share: Share, number: Tensor, serialized: Tensor) -> Record:
        example = read.deserialize_example(serialized, decoders=undecoded)
        mask = example[chosen.mask]
        if chosen.mask not in pictures:  # from here on as if it were a file
            mask = tf.cast(mask, tf.uint8)
            mask = tf.io.encode_png(mask if len(mask.shape) == 3 else mask[..., None])
        place = tf.strings.join([share.split, "[", tf.strings.as_string(number), "]"])
        title = example[chosen.title] if chosen.title else place
        if chosen.title:
            place = tf.strings.join([title, " (", place, ")"])
        return {"image": example[chosen.image], "mask": mask, "file_name": title, "place": place}

    return unpack


def _refuse_sizes(image_px: Any, mask_px: Any, name: Any) -> NDArray[np.uint8]:
    (height, width), (mask_height, mask_width) = image_px, mask_px
    raise InputError(
        f"{os.fsdecode(np.asarray(name, object).item())}: the image has {height}x{width} pixels "
        f"(height x width), its mask {mask_height}x{mask_width}; they must be equal."
    )
