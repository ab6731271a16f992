"""Published weights against the published networks written in torch alone."""

import keras
import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import VARIANTS, build_fcn, load_model, load_published
from tests.extras import needs_extra
from tests.networks import random_images, relative_difference

needs_torch = needs_extra("import", "torch")
needs_safetensors = needs_extra("import", "safetensors")
SIZES = [(33, 65), (97, 131), (375, 500)]
CONVOLUTIONS = (2, 2, 3, 3, 3)
FILTERS = (64, 128, 256, 512, 512)


def published_tensors(variant, num_classes=21, width=1.0, head_units=4096, seed=0):
    """Random tensors with the names, layouts and (at width 1) shapes of the published files."""
    rng = np.random.default_rng(seed)
    tensors = {}

    def convolution(name, channels_out, channels_in, side):
        fan_in = channels_in * side * side
        shape = (channels_out, channels_in, side, side)
        kernel = rng.standard_normal(shape, "float32") * np.sqrt(2 / fan_in).astype("float32")
        # The first layer sees values around 100; at-once scales its skips down.
        factor = {"conv1_1": 1 / 70}.get(name, 1)
        if variant == "fcn8s_atonce":
            factor = {"score_pool4": 100, "score_pool3": 10_000}.get(name, factor)
        tensors[f"{name}.weight"] = kernel * np.float32(factor)
        tensors[f"{name}.bias"] = rng.standard_normal(channels_out, "float32") * 0.1

    channels = 3
    filters = [round(f * width) for f in FILTERS]
    for block, (count, channels_out) in enumerate(zip(CONVOLUTIONS, filters, strict=True), 1):
        for index in range(1, count + 1):
            convolution(f"conv{block}_{index}", channels_out, channels, 3)
            channels = channels_out
    convolution("fc6", head_units, channels, 7)
    convolution("fc7", head_units, head_units, 1)
    convolution("score_fr", num_classes, head_units, 1)
    upsampling = {"fcn32s": {"upscore": 64}, "fcn16s": {"upscore2": 4, "upscore16": 32}}
    if variant != "fcn32s":
        convolution("score_pool4", num_classes, filters[3], 1)
    if variant.startswith("fcn8s"):
        convolution("score_pool3", num_classes, filters[2], 1)
    finest = {"upscore2": 4, "upscore_pool4": 4, "upscore8": 16}
    for name, side in upsampling.get(variant, finest).items():
        # Not bilinear and not diagonal, so that a transposed axis shows.
        shape = (num_classes, num_classes, side, side)
        tensors[f"{name}.weight"] = rng.standard_normal(shape, "float32") / side
    return tensors


def reference_forward(tensors, variant, images):
    """The published network, written from its description (fcn.berkeleyvision.org) in torch."""
    import torch
    from torch.nn import functional as F

    w = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}

    def convolve(x, name, padding=0):
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    def upsample(x, name, stride):
        return F.conv_transpose2d(x, w[f"{name}.weight"], stride=stride)

    def crop(x, offset, reference):
        return x[:, :, offset:, offset:][:, :, : reference.shape[2], : reference.shape[3]]

    bgr = images[..., ::-1].astype("float32") - np.float32(
        [104.00698793, 116.66876762, 122.67891434]
    )
    image = x = torch.from_numpy(bgr.transpose(0, 3, 1, 2).copy())
    pools = {}
    for block, count in enumerate(CONVOLUTIONS, 1):
        for index in range(1, count + 1):
            padding = 100 if (block, index) == (1, 1) else 1
            x = F.relu(convolve(x, f"conv{block}_{index}", padding))
        x = pools[block] = F.max_pool2d(x, 2, 2, ceil_mode=True)
    scores = convolve(F.relu(convolve(F.relu(convolve(x, "fc6")), "fc7")), "score_fr")
    if variant == "fcn32s":
        logits = crop(upsample(scores, "upscore", 32), 19, image)
    else:
        scale4, scale3 = (0.01, 0.0001) if variant == "fcn8s_atonce" else (1, 1)
        coarse = upsample(scores, "upscore2", 2)
        scores = coarse + crop(convolve(pools[4] * scale4, "score_pool4"), 5, coarse)
        if variant == "fcn16s":
            logits = crop(upsample(scores, "upscore16", 16), 27, image)
        else:
            coarse = upsample(scores, "upscore_pool4", 2)
            scores = coarse + crop(convolve(pools[3] * scale3, "score_pool3"), 9, coarse)
            logits = crop(upsample(scores, "upscore8", 8), 31, image)
    return logits.numpy().transpose(0, 2, 3, 1)


def compare_with_reference(model, tensors, variant, sizes=SIZES):
    for size in sizes:
        images = random_images(1, *size, 3)
        reference = reference_forward(tensors, variant, images)
        logits = keras.ops.convert_to_numpy(model(images, training=False))
        assert relative_difference(logits, reference) < 1e-4
        assert (logits.argmax(-1) == reference.argmax(-1)).mean() >= 0.9999


@needs_torch
@pytest.mark.parametrize("variant", VARIANTS)
def test_narrow_published_weights_answer_what_the_published_network_does(variant, tmp_path):
    tensors = published_tensors(variant, num_classes=5, width=1 / 16, head_units=32)
    np.savez(tmp_path / "published.npz", **tensors)
    model = build_fcn(variant, 5, width=1 / 16, head_units=32, geometry="caffe")
    transfer = load_published(model, tmp_path / "published.npz")
    assert len(transfer.moved) == len(tensors)
    assert not transfer.kept
    compare_with_reference(model, tensors, variant)


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["fcn8s"])  # of 538 MB; the others differ in the narrow test
def test_published_weights_of_full_size(variant, tmp_path):
    """From a .pth to a .keras file by the command, and loaded again."""
    import torch

    from fcn_tf.commands.import_weights import ImportWeightsOptions, import_weights

    tensors = published_tensors(variant)
    torch.save({name: torch.from_numpy(t) for name, t in tensors.items()}, tmp_path / "fcn.pth")
    import_weights(
        ImportWeightsOptions(file=tmp_path / "fcn.pth", variant=variant, out=tmp_path / "fcn.keras")
    )
    (tmp_path / "fcn.pth").unlink()
    model = load_model(tmp_path / "fcn.keras")
    assert model.class_names[15] == "person"
    assert model.palette[15] == [192, 128, 128]
    compare_with_reference(model, tensors, variant, SIZES[1:2])  # all are those of narrow ones


def narrow(variant="fcn16s", **kwargs):
    return build_fcn(variant, 3, width=1 / 64, head_units=4, geometry="caffe", **kwargs)


def narrow_tensors(variant="fcn16s"):
    return published_tensors(variant, num_classes=3, width=1 / 64, head_units=4)


@needs_torch
@needs_safetensors
def test_every_format_holds_the_same(tmp_path):
    import torch
    from safetensors.numpy import save_file

    tensors = narrow_tensors()
    as_torch = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    torch.save(as_torch, tmp_path / "state_dict.pth")
    checkpoint = {"epoch": 3, "arch": "FCN16s", "model_state_dict": as_torch}
    torch.save(checkpoint, tmp_path / "checkpoint.pth.tar")
    torch.save({f"module.{n}": t for n, t in as_torch.items()}, tmp_path / "parallel.pt")
    np.savez(tmp_path / "caffe_names.npz", **tensors)
    chainer = {n.replace(".weight", "/W").replace(".bias", "/b"): t for n, t in tensors.items()}
    np.savez(tmp_path / "chainer.npz", **chainer)
    save_file(tensors, tmp_path / "state_dict.safetensors")

    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 6
    for path in paths:
        model = narrow()
        load_published(model, path)
        kernel = model.get_layer("conv3_2").kernel.numpy()
        np.testing.assert_array_equal(kernel[2, 0, 1, 3], tensors["conv3_2.weight"][3, 1, 2, 0])
        kernel = model.get_layer("upscore16").kernel.numpy()  # (h, w, out, in)
        np.testing.assert_array_equal(kernel[2, 0, 1, 0], tensors["upscore16.weight"][0, 1, 2, 0])
        np.testing.assert_array_equal(model.get_layer("fc7").bias, tensors["fc7.bias"])


def refusal(tmp_path, tensors, variant="fcn16s"):
    """The message that refuses a file; the model must be unchanged."""
    np.savez(tmp_path / "file.npz", **tensors)
    model = narrow(variant)
    before = model.get_weights()
    with pytest.raises(InputError) as error:
        load_published(model, tmp_path / "file.npz")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(error.value)


def test_missing_extra_and_misshapen_tensors_are_named(tmp_path):
    tensors = narrow_tensors()
    del tensors["conv2_1.bias"]
    tensors["fc8.weight"] = np.zeros((3, 3), "float32")
    message = refusal(tmp_path, tensors)
    assert "Missing: conv2_1.bias." in message
    assert "Not of fcn16s: fc8.weight." in message

    tensors = narrow_tensors()
    tensors["fc6.weight"] = tensors["fc6.weight"][:, :, :3]
    tensors["score_fr.bias"] = np.zeros(21, "float32")
    message = refusal(tmp_path, tensors)
    assert "fc6.weight is (4, 8, 3, 7), the network's (4, 8, 7, 7)" in message
    assert "score_fr.bias is (21,), the network's (3,)" in message


@pytest.mark.parametrize("held", VARIANTS)
def test_another_variant_is_recognized(held, tmp_path):
    model = "fcn16s" if held != "fcn16s" else "fcn32s"
    message = refusal(tmp_path, narrow_tensors(held), model)
    assert f"is not {model}, but has the layers of" in message
    assert held in message


class Code:
    """An object that writes a file when its pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@needs_torch
def test_code_in_a_file_is_not_run(tmp_path):
    import torch

    torch.save({"conv1_1.weight": Code(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="code from a file is not run"):
        load_published(narrow(), tmp_path / "evil.pth")
    np.savez(tmp_path / "evil.npz", a=np.array([Code(tmp_path / "ran")], dtype=object))
    with pytest.raises(InputError, match="numeric arrays"):
        load_published(narrow(), tmp_path / "evil.npz")
    assert not (tmp_path / "ran").exists()


@needs_torch
@needs_safetensors
@pytest.mark.parametrize("suffix", ["pth", "npz", "safetensors"])
def test_files_that_are_something_else(suffix, tmp_path):
    path = tmp_path / f"file.{suffix}"
    with pytest.raises(InputError, match="no such file"):
        load_published(narrow(), path)
    path.write_bytes(b"<!DOCTYPE html>, as a dead link gives it")
    said = {"pth": "it starts with b'<!DOCTYPE", "npz": "as .npz with numeric arrays"}
    with pytest.raises(InputError, match=said.get(suffix, r"cannot be read as .safetensors")):
        load_published(narrow(), path)
    (tmp_path / "file.caffemodel").write_bytes(b"")
    with pytest.raises(InputError, match="read from"):
        load_published(narrow(), tmp_path / "file.caffemodel")


@needs_torch
def test_files_that_hold_something_else(tmp_path):
    import torch

    def said_of(content, name):
        if name.endswith("pth"):
            torch.save(content, tmp_path / name)
        else:
            np.savez(tmp_path / name, **content)
        with pytest.raises(InputError) as error:
            load_published(narrow(), tmp_path / name)
        return str(error.value)

    assert "holds a Tensor, not tensors by name" in said_of(torch.zeros(3), "a.pth")
    assert "other things than tensors by name: epoch" in said_of({"epoch": 3}, "b.pth")
    assert "other things than tensors by name: 0" in said_of({0: torch.zeros(3)}, "c.pth")
    assert "arch is of type <U6" in said_of({"arch": np.array("FCN16s")}, "d.npz")
    nan = narrow_tensors()
    nan["fc6.bias"] = nan["fc6.bias"] * np.float32("nan")
    assert "NaN or infinity in fc6.bias" in said_of(nan, "e.npz")
    np.save(tmp_path / "f.npy", np.zeros(3))
    (tmp_path / "f.npy").rename(tmp_path / "f.npz")
    with pytest.raises(InputError, match="one array"):
        load_published(narrow(), tmp_path / "f.npz")
    # Parameters that still ask for a gradient are tensors like others.
    tensors = {n: torch.nn.Parameter(torch.from_numpy(t)) for n, t in narrow_tensors().items()}
    torch.save({"model": tensors}, tmp_path / "g.pth")
    assert len(load_published(narrow(), tmp_path / "g.pth").moved) == len(tensors)
