"""`fcn-tf import-weights`: published weights into a `.keras` file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from fcn_tf.commands.options import POSITIONAL, command
from fcn_tf.config.networks import RESNETS
from fcn_tf.config.schema import GeometryName, VariantName
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines
from fcn_tf.quiet import import_quietly

RESNET_DROPOUT = 0.1  # of torchvision's head


@dataclass(frozen=True, kw_only=True)
class ImportWeightsOptions:
    """Which published file becomes which model.

    Args:
        file: a .pth, .npz or .safetensors file with the published names.
        variant: what the file holds: fcn32s (of VGG16 or AlexNet), fcn16s, fcn8s or fcn8s_atonce;
            torchvision's fcn_resnet50 or fcn_resnet101, without their auxiliary head.
        out: the .keras file to write.
        geometry: caffe, the default, answers what the published network does; same is cheaper,
            but the weights were not trained for it. The ResNets have same alone.
        class_names: a file with a name a line; default PASCAL VOC's where there are 21 classes.
    """

    file: str = dataclasses.field(metadata=POSITIONAL)
    variant: VariantName
    out: str
    geometry: GeometryName | None = None
    class_names: str | None = None


def import_weights(options: ImportWeightsOptions) -> None:
    """Turn published weights (.pth, .npz, .safetensors) into a model.

    Raises:
        InputError: `out` exists or is no .keras file, the file is not that variant's, or the names
            are not one for each class. Nothing is written.

    Example:
        >>> import_weights(ImportWeightsOptions(file="fcn8s.pth", variant="fcn8s", out="m.keras"))
    """
    out = _free_keras_file(options.out)
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
    if options.variant in RESNETS:
        geometry = options.geometry or "same"
        network["dropout"] = RESNET_DROPOUT
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


def _free_keras_file(path: str) -> Path:
    """The file to write.

    Raises:
        InputError: it is no .keras file, it exists, or its folder does not.
    """
    out = Path(path)
    if out.suffix != ".keras":
        raise InputError(f"--out {out}: it must end in .keras.")
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
