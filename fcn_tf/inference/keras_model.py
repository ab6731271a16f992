"""A network in Keras as a function of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.classes import palette_or_voc
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.one_process import check_tensorflow_runs_here, in_one_process
from fcn_tf.models import FCN, load_model
from fcn_tf.models.margin import layer_of_whole_image, margin_px


def loaded_from_file(path: Path) -> LoadedModel:
    """The `LoadedModel` of a run folder or a `.keras` file.

    Raises:
        InputError: there is none, or it is none of this package.
        RunError: this process was forked from one in which TensorFlow had begun to compute.
    """
    check_tensorflow_runs_here()
    return loaded_from_keras(load_model(path))


def loaded_from_keras(model: FCN) -> LoadedModel:
    """The `LoadedModel` of an `FCN`, compiled once for all image sizes."""
    check_tensorflow_runs_here()

    def compiled(function: Callable[[Any], Any]) -> Callable[[NDArray[np.uint8]], Any]:
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        traced = tf.function(lambda x: function(model(x, training=False)), signature)
        return in_one_process(lambda images: traced(images).numpy())

    return LoadedModel(
        scores=compiled(tf.nn.softmax),
        labels=compiled(lambda logits: tf.cast(tf.argmax(logits, axis=-1), tf.uint8)),
        num_classes=model.num_classes,
        class_names=None if model.class_names is None else tuple(model.class_names),
        palette=palette_or_voc(model.palette, model.num_classes),
        margin_px=margin_px(model),
        whole_image_layer=layer_of_whole_image(model),
        value_range=model.value_range,
        bands=model.bands,
    )
