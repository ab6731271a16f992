"""The networks, in Keras alone: they run on the TensorFlow, JAX and torch backends.

Importing this module registers every class that a `.keras` file of ours names.
"""

from fcn_tf.models.convolutionalize import convolutionalize
from fcn_tf.models.fcn import FCN, build_fcn, train_scores_only
from fcn_tf.models.saving import load_model, save_model
from fcn_tf.models.shift_and_stitch import shift_and_stitch
from fcn_tf.models.weights import load_published, load_trunk, load_vgg16, warm_start
from fcn_tf.networks import VARIANTS

__all__ = [
    "FCN",
    "VARIANTS",
    "build_fcn",
    "convolutionalize",
    "load_model",
    "load_published",
    "load_trunk",
    "load_vgg16",
    "save_model",
    "shift_and_stitch",
    "train_scores_only",
    "warm_start",
]
