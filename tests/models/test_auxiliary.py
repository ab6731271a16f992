"""The auxiliary head of torchvision's networks against the same in torch alone."""

import keras
import numpy as np
import pytest

from fcn_tf.models import build_fcn
from fcn_tf.models.torchvision.auxiliary import with_auxiliary
from tests.models.test_published import needs_torch
from tests.networks import fill, random_images, relative_difference

# Channels and side in px of a cell of the map that the published head scores: that of a ResNet's
# third stage, and that of MobileNetV3's fourth block.
SCORED = {"fcn_resnet50": (1024, 8), "deeplabv3_mobilenetv3": (40, 8)}
# The published head's own parameters with 21 classes.
PARAMETERS = {"fcn_resnet50": 2_365_205, "deeplabv3_mobilenetv3": 3_851}


def torch_head(layers, features, size):
    import torch
    from torch.nn import functional as F

    w = {name: [torch.from_numpy(np.array(v)) for v in one.weights] for name, one in layers.items()}
    x = torch.from_numpy(np.array(features)).permute(0, 3, 1, 2)
    x = F.conv2d(x, w["aux_classifier_0"][0].permute(3, 2, 0, 1), padding=1)
    gamma, beta, mean, variance = w["aux_classifier_1"]
    x = F.relu(F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5))
    kernel, bias = w["aux_classifier_4"]
    x = F.conv2d(x, kernel.permute(3, 2, 0, 1), bias)
    x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return x.permute(0, 2, 3, 1).numpy()


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("variant", SCORED)
def test_logits_of_both_outputs(variant):
    """The first output is the network's own; the second one scores the map in the middle."""
    channels, cell_px = SCORED[variant]
    width = 1.0 if "mobilenet" in variant else 0.125
    model = build_fcn(variant, 21, width=width, dropout=0.0)
    both = with_auxiliary(model)
    fill(both)
    layers = {one.name: one for one in both.layers if one.name.startswith("aux_classifier")}
    c = channels * width
    count = sum(one.count_params() for one in layers.values())
    statistics = 2 * c // 4
    assert count - statistics == 9 * c * (c // 4) + 2 * (c // 4) + 21 * (c // 4 + 1)
    full = 9 * channels * (channels // 4) + 2 * (channels // 4) + 21 * (channels // 4 + 1)
    assert full == PARAMETERS[variant]
    scored = layers["aux_classifier_0"].input
    assert scored.shape[-1] == c
    before = {
        "fcn_resnet50": "backbone_layer3_5_relu",
        "deeplabv3_mobilenetv3": "backbone_4_block_3_1",
    }
    assert model.get_layer(before[variant]).output is scored
    for size in ((33, 65), (64, 40)):
        images = random_images(2, *size, 3)
        own, logits = both(images, training=False)
        np.testing.assert_array_equal(own, model(images, training=False))
        features = keras.Model(both.inputs[0], scored)(images, training=False)
        assert features.shape[1:3] == tuple(-(-side // cell_px) for side in size)
        assert logits.dtype == "float32"
        assert relative_difference(logits, torch_head(layers, features, size)) < 1e-4
    assert layers["aux_classifier_3"].rate == 0.1
    assert {one.name for one in model.layers}.isdisjoint(layers)
