"""Trunks: classifiers without their last layer, which extract an FCN's features.

A builder maps preprocessed images to a dict of maps by endpoint: `pool3` (1/8), `pool4`
(1/16) and `fc7` (1/32), whatever the classifier itself calls them. A trunk whose variants
have no skips has `fc7` alone. Sizes round up: H/8 means ceil(H / 8), where H includes the
padding. `fcn_tf.config.networks.TRUNKS` names the builder of each trunk.
"""

from __future__ import annotations

from collections.abc import Callable

from fcn_tf.models.layers import Tensor
from fcn_tf.models.trunks.alexnet import alexnet
from fcn_tf.models.trunks.applications import application
from fcn_tf.models.trunks.googlenet import googlenet
from fcn_tf.models.trunks.vgg import vgg

BUILDERS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "vgg": vgg,
    "alexnet": alexnet,
    "googlenet": googlenet,
    "application": application,
}
