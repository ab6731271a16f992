"""The networks, in Keras alone: they run on the TensorFlow, JAX and torch backends.

Importing this module registers every class that a `.keras` file of ours names.
"""

from fcn_tf.models.fcn import FCN, VARIANTS, build_fcn
from fcn_tf.models.saving import load_model, save_model

__all__ = ["FCN", "VARIANTS", "build_fcn", "load_model", "save_model"]
