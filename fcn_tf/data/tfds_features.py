"""Which features of a TFDS data set are the image and the mask, and what its classes are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from fcn_tf.config.schema import DataConfig
from fcn_tf.counted import counted
from fcn_tf.errors import InputError

Feature = Any  # a tfds.features.FeatureConnector; TFDS has no types

# What data sets call the text that tells a record from another.
TITLES = ("file_name", "filename", "image_id", "id")


class Chosen(NamedTuple):
    """The names of the features that are read; `title` is None where no text names a record."""

    image: str
    mask: str
    title: str | None


def choose_features(info: Any, config: DataConfig) -> Chosen:
    """Finds image and mask by their types, or takes those that are named.

    Args:
        info: the data set's `tfds.core.DatasetInfo`.
        config: its `tfds_image` and `tfds_mask`.

    Raises:
        InputError: a name is none of the features, its type is no image or no mask, or the types
            alone do not decide.
    """
    features = dict(info.features.items())
    image = _chosen(info, features, "image", config.tfds_image)
    rest = {name: feature for name, feature in features.items() if name != image}
    masks = _labelled(rest) if config.tfds_mask is None else {}
    mask = _chosen(info, masks or rest, "mask", config.tfds_mask)
    texts = [name for name in TITLES if isinstance(features.get(name), tfds.features.Text)]
    return Chosen(image, mask, texts[0] if texts else None)


def is_image(feature: Feature) -> bool:
    """Whether it is a picture in colour."""
    return _is_picture(feature) and feature.shape[-1] == 3 and feature.np_dtype == np.uint8


def is_mask(feature: Feature) -> bool:
    """Whether it is a picture, or an array of whole numbers, with one channel."""
    if _is_picture(feature):
        return feature.shape[-1] == 1 and feature.np_dtype in (np.uint8, np.uint16)
    shape: Any = getattr(feature, "shape", ())
    plain = type(feature) is tfds.features.Tensor and feature.np_dtype in (np.uint8, np.bool_)
    return plain and (len(shape) == 2 or (len(shape) == 3 and shape[-1] == 1))


def class_names_of(info: Any, mask: str, config: DataConfig) -> tuple[str, ...] | None:
    """The names of the classes, in the order of their values; None where nothing says them.

    `data.class_names` comes first, then `data.mask_values`, then the mask's LabeledImage, then the
    metadata's `class_names`.
    """
    if config.class_names is not None:
        return tuple(config.class_names)
    if config.mask_values is not None:
        return config.mask_values.class_names
    feature = info.features[mask]
    if isinstance(feature, tfds.features.LabeledImage) and feature.num_classes:
        return tuple(feature.names)
    metadata = info.metadata or {}
    names = metadata.get("class_names")
    return tuple(map(str, names)) if names else None


def class_colors_of(info: Any, num_classes: int) -> tuple[tuple[int, int, int], ...] | None:
    """The RGB triples that the metadata's `class_colors` gives the classes, or None."""
    colors = (info.metadata or {}).get("class_colors") or ()
    triples = [tuple(map(int, color)) for color in colors]
    if len(triples) != num_classes or any(len(triple) != 3 for triple in triples):
        return None
    return tuple((red, green, blue) for red, green, blue in triples)


def _is_picture(feature: Feature) -> bool:
    return isinstance(feature, tfds.features.Image)


def _labelled(features: dict[str, Feature]) -> dict[str, Feature]:
    return {n: f for n, f in features.items() if isinstance(f, tfds.features.LabeledImage)}


class Kind(NamedTuple):
    """What an image or a mask is.

    Args:
        words: the same in words.
        fits: whether a feature is one.
        usual: what data sets call it; the first of these is taken where several fit.
    """

    words: str
    fits: Callable[[Feature], bool]
    usual: tuple[str, ...]


KINDS = {
    "image": Kind("an Image of three channels", is_image, ("image",)),
    "mask": Kind(
        "a LabeledImage, or an Image or a Tensor of whole numbers with one channel",
        is_mask,
        ("segmentation_mask", "segmentation_label", "mask"),
    ),
}


def _chosen(info: Any, features: dict[str, Feature], what: str, named: str | None) -> str:
    """The feature that is named, or the one that fits."""
    kind = KINDS[what]
    if named is not None:
        _check_named(info, features, what, named)
        return named
    found = [name for name, feature in features.items() if kind.fits(feature)]
    if len(found) > 1:
        found = [name for name in kind.usual if name in found][:1] or found
    if len(found) == 1:
        return found[0]
    several = f"several could be the {what}: {', '.join(found)}"
    which = several if found else f"none is {kind.words}"
    raise InputError(
        f"{info.full_name}: of its features {which}. Name one with --data.tfds_{what}. It has: "
        f"{_listed(info)}."
    )


def _check_named(info: Any, features: dict[str, Feature], what: str, named: str) -> None:
    kind = KINDS[what]
    if named not in features:
        raise InputError(
            f"data.tfds_{what}={named}: {info.full_name} has no such feature. It has: "
            f"{_listed(info)}. A feature inside another one or in a sequence cannot be read."
        )
    # An image may also be grey or have an alpha channel, where the user says that it is the image.
    if not (kind.fits(features[named]) or (what == "image" and _is_picture(features[named]))):
        raise InputError(
            f"data.tfds_{what}={named}: it is {_described(features[named])}; it must be "
            f"{kind.words}."
        )


def _listed(info: Any) -> str:
    return ", ".join(f"{name} ({_described(feature)})" for name, feature in info.features.items())


def _described(feature: Feature) -> str:
    """A feature's type in a few words: "Image, 1 channel", "Sequence"."""
    name = type(feature).__name__
    if _is_picture(feature):
        channels = feature.shape[-1]
        return f"{name}, {counted(channels, 'channel{}')}"
    return name
