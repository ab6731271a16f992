"""Published weights into a `.keras` file."""

from pathlib import Path

from fcn_tf.classes import VOC_CLASSES, voc_palette
from fcn_tf.errors import InputError
from fcn_tf.files import read_lines
from fcn_tf.models import build_fcn, save_model
from fcn_tf.models.weight_files import read_published
from fcn_tf.models.weights import move_published, published_network
from fcn_tf.networks import RESNETS

RESNET_DROPOUT = 0.1  # of torchvision's head


def import_weights(file, variant, out, geometry=None, class_names=None):
    """Writes the model that a published file of weights holds.

    Args:
        file: a .pth, .npz or .safetensors file with the published names.
        variant: fcn32s (of VGG16 or AlexNet), fcn16s, fcn8s or fcn8s_atonce; fcn_resnet50
            or fcn_resnet101 of torchvision, without their auxiliary head.
        out: the .keras file to write.
        geometry: "caffe", the default, answers what the published network does; "same" is
            the cheaper geometry, for which the weights were not trained. The ResNets have
            "same" alone.
        class_names: path of a file with a name a line; default PASCAL VOC's
            where there are 21 classes.

    Raises:
        InputError: `out` is taken or no .keras file, the file is not that variant's,
            or the names are not one for each class. Nothing is written.
    """
    out = Path(out)
    if out.suffix != ".keras":
        raise InputError(f"--out {out}: it must end in .keras.")
    if out.exists():
        raise InputError(f"--out {out} is there already and is left alone: choose another name.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}.")
    tensors = read_published(file)
    network = published_network(tensors, file)
    if network.get("trunk") == "alexnet" and variant != "fcn32s":
        raise InputError(f"{file} holds AlexNet: give --variant fcn32s.")
    if variant in RESNETS:
        geometry = geometry or "same"
        network["dropout"] = RESNET_DROPOUT
    names = read_lines(class_names) if class_names else None
    if names is not None and len(set(names)) < len(names):
        raise InputError(f"{class_names} names a class twice: {', '.join(names)}.")
    if names is None and network["num_classes"] == len(VOC_CLASSES):
        names = VOC_CLASSES
    palette = voc_palette(network["num_classes"]).tolist()
    try:
        model = build_fcn(
            variant, **network, geometry=geometry or "caffe", class_names=names, palette=palette
        )
    except ValueError as error:
        raise InputError(f"{file} as {variant}: {error}") from error
    transfer = move_published(model, tensors, file)
    save_model(model, out)
    classes = "unnamed" if names is None else f"{names[0]} to {names[-1]}"
    print(f"{file}: {transfer}; {model.num_classes} classes, {classes}.\nWritten: {out}")
