"""FCN-8s of the geometry "same" in plain PyTorch, with a Keras model's weights."""

import numpy as np
import torch
from torch.nn import functional

BLOCKS = (2, 2, 3, 3, 3)  # convolutions


class TorchFCN8s(torch.nn.Module):
    """uint8 images (N, H, W, 3), RGB, to logits (N, C, H, W).

    Args:
        model: an `FCN` of variant fcn8s and geometry same, without dropout.
    """

    def __init__(self, model):
        super().__init__()
        self.is_channels_last = False
        mean = model.get_layer("preprocessing").mean_bgr
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        for layer in model.layers:
            for weight in layer.weights:
                array = np.array(weight)
                if weight.name == "kernel":  # (k, k, in, out), transposed ones (k, k, out, in)
                    array = np.ascontiguousarray(array.transpose(3, 2, 0, 1))
                parameter = torch.nn.Parameter(torch.from_numpy(array), layer.trainable)
                self.register_parameter(f"{layer.name}_{weight.name}", parameter)

    def channels_last(self):
        """The same network, whose maps and kernels lie channels-last."""
        self.is_channels_last = True
        return self.to(memory_format=torch.channels_last)

    def convolution(self, name, x):
        kernel = getattr(self, f"{name}_kernel")
        return functional.conv2d(x, kernel, getattr(self, f"{name}_bias"), padding="same")

    def upsample(self, name, x, factor):
        """Bilinear at first, after a cell repeated all around; cut at the top left."""
        # Not functional.pad, whose gradient PyTorch 2.13 does not compile.
        for axis in (2, 3):
            first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
            x = torch.cat((first, x, last), axis)
        x = functional.conv_transpose2d(x, getattr(self, f"{name}_kernel"), stride=factor)
        start = factor + factor // 2
        return x[:, :, start:, start:]

    def forward(self, images):
        x = images.permute(0, 3, 1, 2).flip(1).float() - self.mean  # channels-last as it comes
        x = x if self.is_channels_last else x.contiguous()
        pools = []
        for block, convolutions in enumerate(BLOCKS, start=1):
            for index in range(1, convolutions + 1):
                x = functional.relu(self.convolution(f"conv{block}_{index}", x))
            x = functional.max_pool2d(x, 2, ceil_mode=True)
            pools.append(x)
        for name in ("fc6", "fc7"):
            x = functional.relu(self.convolution(name, x))
        x = self.convolution("score_fr", x)
        for number, upscore in ((4, "upscore2"), (3, "upscore_pool4")):
            finer = self.convolution(f"score_pool{number}", pools[number - 1])
            coarser = self.upsample(upscore, x, 2)
            x = finer + coarser[:, :, : finer.shape[2], : finer.shape[3]]
        x = self.upsample("upscore8", x, 8)
        return x[:, :, : images.shape[1], : images.shape[2]]


class Labels(torch.nn.Module):
    """uint8 images (N, H, W, 3) to uint8 labels (N, H, W)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).argmax(1).to(torch.uint8)
