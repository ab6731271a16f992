"""FCN-AlexNet and torchvision's FCNs against the same networks written in torch alone."""

import keras
import numpy as np
import pytest

from fcn_tf.commands.import_weights import ImportWeightsOptions, import_weights
from fcn_tf.errors import InputError
from fcn_tf.models import build_fcn, load_model, load_published
from tests.models.test_published import needs_torch
from tests.networks import random_images, relative_difference

SIZES = [(33, 65), (97, 131)]
BLOCKS = {"fcn_resnet50": (3, 4, 6, 3), "fcn_resnet101": (3, 4, 23, 3)}
# torchvision's documentation of the weights; the auxiliary head is among them.
PUBLISHED_PARAMETERS = {"fcn_resnet50": 35_322_218, "fcn_resnet101": 54_314_346}


class Tensors(dict):
    """Random tensors by published name."""

    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(0)

    def convolution(self, name, channels_out, channels_in, side, bias=True, gain=2.0):
        shape = (channels_out, channels_in, side, side)
        scale = np.float32(np.sqrt(gain / (channels_in * side**2)))
        self[f"{name}.weight"] = self.random.standard_normal(shape, "float32") * scale
        if bias:
            self[f"{name}.bias"] = self.random.standard_normal(channels_out, "float32") * 0.1

    def batch_norm(self, name, channels, gain=1.0):
        draw = self.random.uniform
        self[f"{name}.weight"] = (gain * draw(0.5, 1.5, channels)).astype("float32")
        self[f"{name}.bias"] = draw(-0.3, 0.3, channels).astype("float32")
        self[f"{name}.running_mean"] = draw(-0.3, 0.3, channels).astype("float32")
        self[f"{name}.running_var"] = draw(0.5, 1.5, channels).astype("float32")
        self[f"{name}.num_batches_tracked"] = np.array(7)


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


def resnet_tensors(variant, num_classes=21, unit=64):
    """A state_dict of torchvision's, auxiliary head and all."""
    tensors = Tensors()
    tensors.convolution("backbone.conv1", unit, 3, 7, bias=False)
    tensors.batch_norm("backbone.bn1", unit)
    channels = unit
    for stage, blocks in enumerate(BLOCKS[variant], start=1):
        filters = unit * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"backbone.layer{stage}.{block}"
            tensors.convolution(f"{name}.conv1", filters, channels, 1, bias=False)
            tensors.batch_norm(f"{name}.bn1", filters)
            tensors.convolution(f"{name}.conv2", filters, filters, 3, bias=False)
            tensors.batch_norm(f"{name}.bn2", filters)
            tensors.convolution(f"{name}.conv3", 4 * filters, filters, 1, bias=False)
            tensors.batch_norm(f"{name}.bn3", 4 * filters, gain=0.2)  # a sum of many
            if block == 0:
                name = f"{name}.downsample"
                tensors.convolution(f"{name}.0", 4 * filters, channels, 1, bias=False)
                tensors.batch_norm(f"{name}.1", 4 * filters)
            channels = 4 * filters
    for name, inputs in (("classifier", channels), ("aux_classifier", channels // 2)):
        tensors.convolution(f"{name}.0", inputs // 4, inputs, 3, bias=False)
        tensors.batch_norm(f"{name}.1", inputs // 4)
        tensors.convolution(f"{name}.4", num_classes, inputs // 4, 1)
    return tensors


def resnet_forward(tensors, variant, images):
    """torchvision's fcn_resnet50 and -101 from their description: dilated, stride in conv2."""
    import torch
    from torch.nn import functional as F

    w = {name: torch.from_numpy(np.asarray(tensor)) for name, tensor in tensors.items()}

    def normalize(x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(w[f"{name}.{part}"] for part in parts), eps=1e-5)

    def convolve(x, name, **kwargs):
        return F.conv2d(x, w[f"{name}.weight"], **kwargs)

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(images / np.float32(255)) - mean) / std
    x = convolve(x.permute(0, 3, 1, 2), "backbone.conv1", stride=2, padding=3)
    x = F.max_pool2d(F.relu(normalize(x, "backbone.bn1")), 3, 2, padding=1)
    for stage, blocks in enumerate(BLOCKS[variant], start=1):
        for block in range(blocks):
            name = f"backbone.layer{stage}.{block}"
            stride = 2 if (stage, block) == (2, 0) else 1
            # Of the dilated stages the first block still has the rate before.
            rate = {3: 1 if block == 0 else 2, 4: 2 if block == 0 else 4}.get(stage, 1)
            y = F.relu(normalize(convolve(x, f"{name}.conv1"), f"{name}.bn1"))
            y = convolve(y, f"{name}.conv2", stride=stride, padding=rate, dilation=rate)
            y = F.relu(normalize(y, f"{name}.bn2"))
            y = normalize(convolve(y, f"{name}.conv3"), f"{name}.bn3")
            if block == 0:
                x = convolve(x, f"{name}.downsample.0", stride=stride)
                x = normalize(x, f"{name}.downsample.1")
            x = F.relu(x + y)
    x = F.relu(normalize(convolve(x, "classifier.0", padding=1), "classifier.1"))
    x = F.conv2d(x, w["classifier.4.weight"], w["classifier.4.bias"])
    x = F.interpolate(x, size=images.shape[1:3], mode="bilinear", align_corners=False)
    return x.permute(0, 2, 3, 1).numpy()


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
@pytest.mark.parametrize("variant", ["fcn_resnet50"])  # the other has the test of full size
def test_resnets(variant, tmp_path, capsys):
    tensors = resnet_tensors(variant, 5, unit=8)
    import_weights(
        ImportWeightsOptions(
            file=as_pth(tensors, tmp_path / "r.pth"), variant=variant, out=tmp_path / "r.keras"
        )
    )
    said = capsys.readouterr().out
    assert "left out: aux_classifier;" in said
    assert "kept" not in said
    model = load_model(tmp_path / "r.keras")
    # What torchvision's head has, which the file does not say; and no geometry but one.
    assert (model.build_arguments["dropout"], model.build_arguments["geometry"]) == (0.1, "same")
    compare(model, lambda images: resnet_forward(tensors, variant, images))


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("variant", BLOCKS)
def test_resnets_of_full_size(variant, tmp_path):
    tensors = resnet_tensors(variant)
    parameters = [n for n in tensors if not n.rpartition(".")[2].startswith(("running", "num_"))]
    assert sum(tensors[name].size for name in parameters) == PUBLISHED_PARAMETERS[variant]
    import_weights(
        ImportWeightsOptions(
            file=as_pth(tensors, tmp_path / "r.pth"), variant=variant, out=tmp_path / "r.keras"
        )
    )
    model = load_model(tmp_path / "r.keras")
    assert model.class_names[15] == "person"
    assert model.build_arguments["dropout"] == 0.1
    auxiliary = sum(tensors[n].size for n in parameters if n.startswith("aux_"))
    trained = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert trained == PUBLISHED_PARAMETERS[variant] - auxiliary
    compare(model, lambda images: resnet_forward(tensors, variant, images), SIZES[1:])


def test_another_resnet_is_recognized(tmp_path):
    np.savez(tmp_path / "r.npz", **resnet_tensors("fcn_resnet101", 5, unit=2))
    with pytest.raises(InputError, match="not fcn_resnet50, but has the layers of fcn_resnet101"):
        import_weights(
            ImportWeightsOptions(
                file=tmp_path / "r.npz", variant="fcn_resnet50", out=tmp_path / "r.keras"
            )
        )
    with pytest.raises(InputError, match="not fcn8s, but has the layers of fcn_resnet101"):
        import_weights(
            ImportWeightsOptions(file=tmp_path / "r.npz", variant="fcn8s", out=tmp_path / "r.keras")
        )
    assert not (tmp_path / "r.keras").exists()
