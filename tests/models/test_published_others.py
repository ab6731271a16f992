"""FCN-AlexNet and torchvision's networks against the same networks written in torch alone."""

import keras
import numpy as np
import pytest

from fcn_tf.commands.import_weights import ImportWeightsOptions, import_weights
from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, load_model, load_published
from tests.models.test_published import needs_torch
from tests.models.torchvision_reference import (
    Tensors,
    parts_of,
    published_forward,
    published_tensors,
)
from tests.networks import random_images, relative_difference

SIZES = [(33, 65), (97, 131)]
# torchvision's documentation of the weights; the auxiliary head is among them.
PUBLISHED_PARAMETERS = {
    "fcn_resnet50": 35_322_218,
    "fcn_resnet101": 54_314_346,
    "deeplabv3_resnet50": 42_004_074,
    "deeplabv3_resnet101": 60_996_202,
    "deeplabv3_mobilenetv3": 11_029_328,
    "lraspp_mobilenetv3": 3_221_538,
}
DROPOUT = {"fcn": 0.1, "deeplabv3": 0.5, "lraspp": 0.0}
NARROW = {"fcn_resnet50": 0.125, "deeplabv3_resnet50": 0.125, "lraspp_mobilenetv3": 0.5}


def alexnet_tensors(num_classes=21, width=1.0, head_units=4096):
    tensors = Tensors()
    filters = [round(f * width) for f in (96, 256, 384, 384, 256)]
    tensors.convolution("conv1", filters[0], 3, 11, gain=2 / 70**2)
    tensors.convolution("conv2", filters[1], filters[0] // 2, 5)
    tensors.convolution("conv3", filters[2], filters[1], 3)
    tensors.convolution("conv4", filters[3], filters[2] // 2, 3)
    tensors.convolution("conv5", filters[4], filters[3] // 2, 3)
    tensors.convolution("fc6", head_units, filters[4], 6)
    tensors.convolution("fc7", head_units, head_units, 1)
    tensors.convolution("score_fr", num_classes, head_units, 1)
    shape = (num_classes, num_classes, 63, 63)
    tensors["upscore.weight"] = tensors.random.standard_normal(shape, "float32") / 63
    return tensors


def alexnet_forward(tensors, images):
    """voc-fcn-alexnet from its description (fcn.berkeleyvision.org)."""
    import torch
    from torch.nn import functional as F

    w = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}

    def convolve(x, name, **kwargs):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **kwargs))

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def normalize(x):
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)

    mean = torch.tensor([104.00698793, 116.66876762, 122.67891434])
    x = torch.from_numpy(images[..., ::-1].astype("float32")) - mean
    x = normalize(pool(convolve(x.permute(0, 3, 1, 2), "conv1", stride=4, padding=100)))
    x = normalize(pool(convolve(x, "conv2", padding=2, groups=2)))
    x = convolve(convolve(x, "conv3", padding=1), "conv4", padding=1, groups=2)
    x = pool(convolve(x, "conv5", padding=1, groups=2))
    x = convolve(convolve(x, "fc6"), "fc7")
    x = F.conv2d(x, w["score_fr.weight"], w["score_fr.bias"])
    x = F.conv_transpose2d(x, w["upscore.weight"], stride=32)
    height, width = images.shape[1:3]
    return x[:, :, 18 : 18 + height, 18 : 18 + width].permute(0, 2, 3, 1).numpy()


def compare(model, forward, sizes=SIZES):
    for size in sizes:
        images = random_images(2, *size, 3)
        reference = forward(images)
        logits = keras.ops.convert_to_numpy(model(images, training=False))
        assert relative_difference(logits, reference) < 1e-4


@needs_torch
def test_alexnet(tmp_path):
    tensors = alexnet_tensors(5, width=0.125, head_units=32)
    np.savez(tmp_path / "alexnet.npz", **tensors)
    model = build_fcn(
        "fcn32s", 5, "alexnet", width=0.125, head_units=32, geometry="caffe", dropout=0.0
    )
    transfer = load_published(model, tmp_path / "alexnet.npz")
    assert len(transfer.moved) == len(tensors) == 8 * 2 + 1
    compare(model, lambda images: alexnet_forward(tensors, images), [(1, 1), *SIZES])


def as_pth(tensors, path):
    import torch

    torch.save({n: torch.from_numpy(np.asarray(t)) for n, t in tensors.items()}, path)
    return path


@needs_torch
@pytest.mark.slow
def test_alexnet_of_full_size_by_the_command(tmp_path):
    tensors = alexnet_tensors()
    import_weights(
        ImportWeightsOptions(
            file=as_pth(tensors, tmp_path / "a.pth"), variant="fcn32s", out=tmp_path / "a.keras"
        )
    )
    model = load_model(tmp_path / "a.keras")
    assert model.build_arguments["trunk"] == "alexnet"
    compare(model, lambda images: alexnet_forward(tensors, images), [(375, 500)])


@needs_torch
@pytest.mark.parametrize("variant", NARROW)  # the others have the test of full size
def test_torchvision(variant, tmp_path, capsys):
    tensors = published_tensors(variant, 5, NARROW[variant])
    import_weights(
        ImportWeightsOptions(
            file=as_pth(tensors, tmp_path / "r.pth"), variant=variant, out=tmp_path / "r.keras"
        )
    )
    said = capsys.readouterr().out
    assert ("left out: aux_classifier;" in said) == any("aux_" in name for name in tensors)
    assert "kept" not in said
    model = load_model(tmp_path / "r.keras")
    # What torchvision's head has, which the file does not say; and no geometry but one.
    built = model.build_arguments
    assert (built["dropout"], built["geometry"]) == (DROPOUT[parts_of(variant)[0]], "same")
    compare(model, lambda images: published_forward(tensors, variant, images))
    if variant == "deeplabv3_resnet50":
        at_16 = build_fcn(**{**built, "output_stride": 16, "multi_grid": (1, 2, 4)})
        at_16.set_weights(model.get_weights())
        assert at_16.build_arguments["output_stride"] == 16
        compare(
            at_16, lambda images: published_forward(tensors, variant, images, 16, grid=(1, 2, 4))
        )


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("variant", PUBLISHED_PARAMETERS)
def test_torchvision_of_full_size(variant, tmp_path):
    tensors = published_tensors(variant)
    parameters = [n for n in tensors if not n.rpartition(".")[2].startswith(("running", "num_"))]
    assert sum(tensors[name].size for name in parameters) == PUBLISHED_PARAMETERS[variant]
    import_weights(
        ImportWeightsOptions(
            file=as_pth(tensors, tmp_path / "r.pth"), variant=variant, out=tmp_path / "r.keras"
        )
    )
    model = load_model(tmp_path / "r.keras")
    assert model.class_names[15] == "person"
    assert model.build_arguments["dropout"] == DROPOUT[parts_of(variant)[0]]
    auxiliary = sum(tensors[n].size for n in parameters if n.startswith("aux_"))
    trained = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert trained == PUBLISHED_PARAMETERS[variant] - auxiliary
    compare(model, lambda images: published_forward(tensors, variant, images), SIZES[1:])


@pytest.mark.parametrize(
    ("held", "variant"),
    [
        ("fcn_resnet101", "fcn8s"),
        ("fcn_resnet101", "fcn_resnet50"),
        ("deeplabv3_resnet50", "fcn_resnet50"),
        ("lraspp_mobilenetv3", "deeplabv3_mobilenetv3"),
    ],
)
def test_another_network_of_torchvision_is_recognized(held, variant, tmp_path):
    np.savez(tmp_path / "r.npz", **published_tensors(held, 5, width=1 / 32))
    out = tmp_path / "r.keras"
    with pytest.raises(InputError, match=f"not {variant}, but has the layers of {held}[.]"):
        import_weights(ImportWeightsOptions(file=tmp_path / "r.npz", variant=variant, out=out))
    assert not out.exists()
