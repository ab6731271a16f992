"""Narrow networks whose every layer is filled from a seed, and how outputs are compared."""

import keras
import numpy as np

from fcn_tf.config.networks import WHOLE_NETWORKS
from fcn_tf.models import build_fcn

# First layers that see pixels of about 100, because preprocessing does not scale them.
SEES_PIXELS = ("conv1_1", "block1_conv1", "conv1", "conv1_7x7_s2", "conv1_conv")
NARROW = {"width": 0.125, "head_units": 128}


def narrow_fcn(variant, num_classes=5, seed=0, **kwargs):
    """A narrow network with random weights in every layer; a fresh one answers 0 everywhere."""
    model = build_fcn(variant, num_classes, **{**NARROW, **kwargs})
    fill(model, seed)
    return model


def fill(model, seed=0):
    """Fills kernels with He's variance and biases with small numbers; upsampling stays bilinear."""
    rng = np.random.default_rng(seed)
    sums = [one for one in model.layers if isinstance(one, keras.layers.Add)]
    summed = {id(tensor) for one in sums for tensor in one.input}
    for layer in model.layers:
        if layer.name.startswith("upscore"):
            continue
        for weight in layer.weights:
            if weight.name in ("gamma", "moving_variance"):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
                continue
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            fan_in = np.prod(weight.shape[: 2 if depthwise else -1])
            deviation = np.sqrt(2 / fan_in) if len(weight.shape) > 1 else 0.15
            weight.assign(rng.standard_normal(weight.shape, "float32") * np.float32(deviation))
        # Bring the first layer's values from about 100 to about 1.
        if layer.name in SEES_PIXELS:
            layer.kernel.assign(layer.kernel / 70)
        # Small at the end of a block, so that the sums of many blocks stay in range.
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        is_whole = getattr(model, "variant", None) in WHOLE_NETWORKS
        if is_whole and is_normalization and id(layer.output) in summed:
            layer.gamma.assign(0.3 * layer.gamma)
        # fcn8s_atonce scales its skips down: scale their scores up, so that the logits show them.
        scale = {"score_pool4": 100, "score_pool3": 10_000}.get(layer.name, 1)
        if scale > 1 and model.variant.endswith("atonce"):
            layer.kernel.assign(layer.kernel * scale)


def keras_vgg16(width, head_units, cells=7, classes=10):
    """A narrow VGG16 with the layer names of keras.applications, filled from a seed.

    Its images are (32 * cells) px wide and high.
    """
    shape = (32 * cells, 32 * cells, 3)
    trunk = keras.applications.VGG16(include_top=False, weights=None, input_shape=shape)
    config = trunk.get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)
        if "filters" in layer["config"]:
            layer["config"]["filters"] = round(layer["config"]["filters"] * width)
    trunk = keras.Model.from_config(config)
    x = keras.layers.Flatten(name="flatten")(trunk.output)
    for name in ("fc1", "fc2"):
        x = keras.layers.Dense(head_units, activation="relu", name=name)(x)
    x = keras.layers.Dense(classes, name="predictions")(x)
    classifier = keras.Model(trunk.inputs[0], x, name="vgg16")
    fill(classifier)
    return classifier


def random_images(*shape, seed=0):
    """uint8 noise from a seed."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def relative_difference(actual, reference):
    """Largest difference relative to the largest absolute reference value (DESIGN: equality)."""
    actual, reference = np.asarray(actual), np.asarray(reference)
    assert actual.shape == reference.shape
    if reference.shape[1] * reference.shape[2] > 1:
        constant = "a constant reference proves nothing"
        assert reference.std(axis=(1, 2)).min() > 0, constant
    return np.abs(actual - reference).max() / np.abs(reference).max()
