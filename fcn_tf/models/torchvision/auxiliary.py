"""The auxiliary head, with which torchvision's FCN and DeepLab v3 are trained.

It scores a map in the middle of the trunk, so that the gradient reaches the layers before it by a
short way. Only training has it: it shares the trunk with an `FCN` and is no part of it, so that
nothing of it is saved with the network.
"""

from __future__ import annotations

import keras
from keras import layers

from fcn_tf.config.networks import WHOLE_NETWORKS
from fcn_tf.models.fcn import FCN
from fcn_tf.models.layers import ResizeLike, scores_of
from fcn_tf.models.torchvision.layers import convolution
from fcn_tf.models.torchvision.mobilenet import LOW
from fcn_tf.models.torchvision.resnet import BLOCKS

DROPOUT = 0.1  # torchvision's
# What the names of the part of the trunk begin with whose last map is scored: a ResNet's third
# stage, and MobileNetV3's first block at 1/8.
SCORED = {**dict.fromkeys(BLOCKS, "backbone_layer3_"), "mobilenetv3": f"backbone_{LOW}_"}


def with_auxiliary(model: FCN) -> keras.Model:
    """A network that trains an `FCN` together with an auxiliary head.

    The head's layers have the names of the published tensors, with _ instead of each dot.

    Args:
        model: an `FCN` of a variant whose entry of `WHOLE_NETWORKS` has `has_auxiliary`.

    Returns:
        A model of the images of `model`, to its logits and those of the head, each float32
        (N, H, W, num_classes). Its layers are those of `model`, and the head's.
    """
    trunk = WHOLE_NETWORKS[model.variant].options["trunk"]
    dtype, images = model.dtype_policy_name, model.inputs[0]
    # Keras keeps layers in the order of computation.
    *_, scored = (one for one in model.layers if one.name.startswith(SCORED[trunk]))
    x = scored.output
    name = "aux_classifier_{}".format
    x = convolution(x, name(0), x.shape[-1] // 4, 3, norm=name(1), dtype=dtype)
    x = layers.Dropout(DROPOUT, name=name(3), dtype=dtype)(x)
    scores = scores_of(x, model.num_classes, name(4))
    logits = ResizeLike(name="aux_resize", dtype="float32")([scores, images])
    return keras.Model(images, [model.outputs[0], logits], name=f"{model.name}_in_training")
