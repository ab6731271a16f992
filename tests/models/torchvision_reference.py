"""torchvision's networks written in torch alone, from their description, and tensors for them."""

import numpy as np

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
ASPP_RATES = (12, 24, 36)
# Kernel, expanded and result channels, squeeze-and-excite, hard swish, stride, dilation.
MOBILENETV3 = (
    (3, 16, 16, False, False, 1, 1),
    (3, 64, 24, False, False, 2, 1),
    (3, 72, 24, False, False, 1, 1),
    (5, 72, 40, True, False, 2, 1),
    (5, 120, 40, True, False, 1, 1),
    (5, 120, 40, True, False, 1, 1),
    (3, 240, 80, False, True, 2, 1),
    (3, 200, 80, False, True, 1, 1),
    (3, 184, 80, False, True, 1, 1),
    (3, 184, 80, False, True, 1, 1),
    (3, 480, 112, True, True, 1, 1),
    (3, 672, 112, True, True, 1, 1),
    (5, 672, 160, True, True, 1, 2),
    (5, 960, 160, True, True, 1, 2),
    (5, 960, 160, True, True, 1, 2),
)


def parts_of(variant):
    """The head and the trunk."""
    return variant.split("_")


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


def published_tensors(variant, num_classes=21, width=1.0):
    """Tensors of the published names and shapes, the auxiliary head among them."""
    tensors = Tensors()
    head, trunk = parts_of(variant)
    add_trunk = mobilenet_tensors if trunk == "mobilenetv3" else resnet_tensors
    low, channels = add_trunk(tensors, trunk, width)
    if head == "deeplabv3":
        aspp_tensors(tensors, num_classes, channels, filters=round(256 * width))
    elif head == "fcn":
        fcn_tensors(tensors, "classifier", num_classes, channels)
    else:
        lraspp_tensors(tensors, num_classes, (low, channels), filters=round(128 * width))
    if head != "lraspp":
        fcn_tensors(tensors, "aux_classifier", num_classes, low)
    return tensors


def fcn_tensors(tensors, name, num_classes, channels):
    tensors.convolution(f"{name}.0", channels // 4, channels, 3, bias=False)
    tensors.batch_norm(f"{name}.1", channels // 4)
    tensors.convolution(f"{name}.4", num_classes, channels // 4, 1)


def lraspp_tensors(tensors, num_classes, channels, filters):
    low, high = channels
    tensors.convolution("classifier.cbr.0", filters, high, 1, bias=False)
    tensors.batch_norm("classifier.cbr.1", filters)
    tensors.convolution("classifier.scale.1", filters, high, 1, bias=False)
    tensors.convolution("classifier.low_classifier", num_classes, low, 1)
    tensors.convolution("classifier.high_classifier", num_classes, filters, 1)


def mobilenet_tensors(tensors, trunk, width):
    """Adds the trunk's; returns the channels of the maps at 1/8 and at 1/16."""
    x = channels_of(16, width)
    tensors.convolution("backbone.0.0", x, 3, 3, bias=False)
    tensors.batch_norm("backbone.0.1", x)
    for number, (side, expanded, filters, squeezes, *_) in enumerate(MOBILENETV3, start=1):
        expanded, filters = channels_of(expanded, width), channels_of(filters, width)
        parts = [(expanded, x, 1)] if expanded != x else []
        parts.append((expanded, 1, side))
        if squeezes:
            parts.append(None)
        parts.append((filters, expanded, 1))
        for part, shape in enumerate(parts):
            name = f"backbone.{number}.block.{part}"
            if shape:
                tensors.convolution(f"{name}.0", *shape, bias=False)
                # Small at the end of a block, so that the sums of many blocks stay in range.
                is_last = part == len(parts) - 1
                tensors.batch_norm(f"{name}.1", shape[0], gain=0.3 if is_last else 1.0)
            else:
                few = channels_of(expanded // 4, 1)
                tensors.convolution(f"{name}.fc1", few, expanded, 1)
                tensors.convolution(f"{name}.fc2", expanded, few, 1)
        x = filters
    last = channels_of(960, width)
    tensors.convolution("backbone.16.0", last, x, 1, bias=False)
    tensors.batch_norm("backbone.16.1", last)
    return channels_of(40, width), last


def channels_of(published, width):
    """A multiple of 8, as MobileNets have it."""
    wanted = published * width
    near = max(8, 8 * ((int(wanted) + 4) // 8))
    return near + 8 if near < 0.9 * wanted else near


def resnet_tensors(tensors, trunk, width):
    """Adds the trunk's; returns the channels of the third and of the fourth stage."""
    unit = round(64 * width)
    tensors.convolution("backbone.conv1", unit, 3, 7, bias=False)
    tensors.batch_norm("backbone.bn1", unit)
    channels = unit
    for stage, blocks in enumerate(BLOCKS[trunk], start=1):
        filters = unit * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"backbone.layer{stage}.{block}"
            tensors.convolution(f"{name}.conv1", filters, channels, 1, bias=False)
            tensors.batch_norm(f"{name}.bn1", filters)
            tensors.convolution(f"{name}.conv2", filters, filters, 3, bias=False)
            tensors.batch_norm(f"{name}.bn2", filters)
            tensors.convolution(f"{name}.conv3", 4 * filters, filters, 1, bias=False)
            # Small, so that the sums of many blocks stay in range.
            tensors.batch_norm(f"{name}.bn3", 4 * filters, gain=0.3)
            if block == 0:
                name = f"{name}.downsample"
                tensors.convolution(f"{name}.0", 4 * filters, channels, 1, bias=False)
                tensors.batch_norm(f"{name}.1", 4 * filters)
            channels = 4 * filters
    return channels // 2, channels


def aspp_tensors(tensors, num_classes, channels, filters):
    """The head of DeepLab v3."""
    name = "classifier.0.convs"
    for branch, side in enumerate((1, *(3 for _ in ASPP_RATES))):
        tensors.convolution(f"{name}.{branch}.0", filters, channels, side, bias=False)
        tensors.batch_norm(f"{name}.{branch}.1", filters)
    tensors.convolution(f"{name}.4.1", filters, channels, 1, bias=False)
    tensors.batch_norm(f"{name}.4.2", filters)
    tensors.convolution("classifier.0.project.0", filters, 5 * filters, 1, bias=False)
    tensors.batch_norm("classifier.0.project.1", filters)
    tensors.convolution("classifier.1", filters, filters, 3, bias=False)
    tensors.batch_norm("classifier.2", filters)
    tensors.convolution("classifier.4", num_classes, filters, 1)


class Torch:
    """torch's operations on a set of tensors; `eps` is that of batch normalization."""

    def __init__(self, tensors, eps=1e-5):
        import torch

        self.w = {name: torch.from_numpy(np.asarray(tensor)) for name, tensor in tensors.items()}
        self.eps = eps

    def normalize(self, x, name):
        from torch.nn import functional as F

        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.w[f"{name}.{part}"] for part in parts), eps=self.eps)

    def convolve(self, x, name, **kwargs):
        from torch.nn import functional as F

        return F.conv2d(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"), **kwargs)


def published_forward(tensors, variant, images, output_stride=8, grid=None):
    """Logits (N, H, W, C) of images (N, H, W, 3); the output stride is that of ResNets, 8 or 16."""
    import torch
    from torch.nn import functional as F

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.from_numpy(images / np.float32(255)) - mean) / std).permute(0, 3, 1, 2)
    head, trunk = parts_of(variant)
    if trunk == "mobilenetv3":
        low, x = mobilenet_forward(Torch(tensors, eps=1e-3), x)
    else:
        low, x = None, resnet_forward(Torch(tensors), trunk, x, output_stride, grid)
    net = Torch(tensors)
    if head == "lraspp":
        x = lraspp_forward(net, low, x)
    else:
        if head == "deeplabv3":
            # The paper's: at 16 half of the rates at 8.
            x = aspp_forward(net, x, output_stride // 8)
        else:
            x = F.relu(net.normalize(net.convolve(x, "classifier.0", padding=1), "classifier.1"))
        x = net.convolve(x, "classifier.4")
    x = F.interpolate(x, size=images.shape[1:3], mode="bilinear", align_corners=False)
    return x.permute(0, 2, 3, 1).numpy()


# By output stride, the stride of each stage, the rate of its first block, and of its others.
STAGES = {
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
}


def resnet_forward(net, trunk, x, output_stride, grid):
    """A dilated ResNet, its stride in conv2."""
    from torch.nn import functional as F

    x = net.convolve(x, "backbone.conv1", stride=2, padding=3)
    x = F.max_pool2d(F.relu(net.normalize(x, "backbone.bn1")), 3, 2, padding=1)
    for stage, blocks in enumerate(BLOCKS[trunk], start=1):
        for block in range(blocks):
            name = f"backbone.layer{stage}.{block}"
            stride, first_rate, rate = STAGES[output_stride][stage - 1]
            stride, rate = (stride, first_rate) if block == 0 else (1, rate)
            if grid and stage == 4:
                rate = STAGES[output_stride][3][2] * grid[block]
            y = F.relu(net.normalize(net.convolve(x, f"{name}.conv1"), f"{name}.bn1"))
            y = net.convolve(y, f"{name}.conv2", stride=stride, padding=rate, dilation=rate)
            y = F.relu(net.normalize(y, f"{name}.bn2"))
            y = net.normalize(net.convolve(y, f"{name}.conv3"), f"{name}.bn3")
            if block == 0:
                x = net.convolve(x, f"{name}.downsample.0", stride=stride)
                x = net.normalize(x, f"{name}.downsample.1")
            x = F.relu(x + y)
    return x


def mobilenet_forward(net, x):
    """The maps at 1/8 and at 1/16; of the last three blocks none has a stride."""
    from torch.nn import functional as F

    x = net.convolve(x, "backbone.0.0", stride=2, padding=1)
    x = F.hardswish(net.normalize(x, "backbone.0.1"))
    for number, (side, _, _, squeezes, swish, stride, rate) in enumerate(MOBILENETV3, start=1):
        act, before = F.hardswish if swish else F.relu, x
        parts = iter(f"backbone.{number}.block.{part}" for part in range(4))
        name = next(parts)
        if net.w[f"{name}.0.weight"].shape[1] > 1:
            x = act(net.normalize(net.convolve(x, f"{name}.0"), f"{name}.1"))
            name = next(parts)
        same = {"padding": side // 2 * rate, "dilation": rate, "groups": x.shape[1]}
        x = net.convolve(x, f"{name}.0", stride=stride, **same)
        x = act(net.normalize(x, f"{name}.1"))
        if squeezes:
            name = next(parts)
            y = F.relu(net.convolve(x.mean((2, 3), keepdim=True), f"{name}.fc1"))
            x = x * F.hardsigmoid(net.convolve(y, f"{name}.fc2"))
        name = next(parts)
        x = net.normalize(net.convolve(x, f"{name}.0"), f"{name}.1")
        if stride == 1 and number != 13 and x.shape == before.shape:
            x = x + before
        if number == 4:
            low = x
    return low, F.hardswish(net.normalize(net.convolve(x, "backbone.16.0"), "backbone.16.1"))


def aspp_forward(net, x, parts_of_rates):
    """Atrous spatial pyramid pooling, and the convolution behind it."""
    import torch
    from torch.nn import functional as F

    size, name = x.shape[2:], "classifier.0.convs"
    parts = [F.relu(net.normalize(net.convolve(x, f"{name}.0.0"), f"{name}.0.1"))]
    for branch, rate in enumerate(ASPP_RATES, start=1):
        rate //= parts_of_rates
        y = net.convolve(x, f"{name}.{branch}.0", padding=rate, dilation=rate)
        parts.append(F.relu(net.normalize(y, f"{name}.{branch}.1")))
    y = net.convolve(F.adaptive_avg_pool2d(x, 1), f"{name}.4.1")
    y = F.relu(net.normalize(y, f"{name}.4.2"))
    parts.append(F.interpolate(y, size=size, mode="bilinear", align_corners=False))
    x = net.convolve(torch.cat(parts, 1), "classifier.0.project.0")
    x = F.relu(net.normalize(x, "classifier.0.project.1"))
    return F.relu(net.normalize(net.convolve(x, "classifier.1", padding=1), "classifier.2"))


def lraspp_forward(net, low, x):
    from torch.nn import functional as F

    features = F.relu(net.normalize(net.convolve(x, "classifier.cbr.0"), "classifier.cbr.1"))
    x = features * net.convolve(F.adaptive_avg_pool2d(x, 1), "classifier.scale.1").sigmoid()
    x = F.interpolate(x, size=low.shape[2:], mode="bilinear", align_corners=False)
    low = net.convolve(low, "classifier.low_classifier")
    return low + net.convolve(x, "classifier.high_classifier")
