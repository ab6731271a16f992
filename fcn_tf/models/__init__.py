"""The networks, written in Keras alone: they run on the TensorFlow, JAX and torch backends.

Importing this module registers the classes that a `.keras` file of this package names.
"""

from fcn_tf.config.networks import VARIANTS
from fcn_tf.models.convolutionalize import convolutionalize
from fcn_tf.models.fcn import FCN, build_fcn, train_scores_only
from fcn_tf.models.saving import load_model, save_model
from fcn_tf.models.shift_and_stitch import shift_and_stitch
from fcn_tf.models.weights.classifiers import load_trunk, load_vgg16
from fcn_tf.models.weights.coarse import warm_start
from fcn_tf.models.weights.published import load_published

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
