"""Trunks: classifiers without their last layer, as the source of features.

A builder is a function of preprocessed images to maps by endpoint: `pool3` (1/8), `pool4`
(1/16) and `fc7` (1/32), whatever the classifier calls them; `fc7` alone where no skip joins.
Sizes round up: H/8 means ceil(H / 8), H being the height with the padding.
`fcn_tf.networks.TRUNKS` names them.
"""

from collections import namedtuple

from fcn_tf.models.trunks.alexnet import alexnet
from fcn_tf.models.trunks.applications import application
from fcn_tf.models.trunks.googlenet import googlenet
from fcn_tf.models.trunks.vgg import vgg

# What a builder is told, and takes what concerns it: the arguments of `build_fcn`, a
# `Geometry`, and the dtype policy of the layers.
Arguments = namedtuple(
    "Arguments", "width head_units fc6_kernel dropout output_stride geometry dtype"
)

BUILDERS = {
    "vgg": vgg,
    "alexnet": alexnet,
    "googlenet": googlenet,
    "application": application,
}
