"""Images of several sizes and a network, to be evaluated whole and in tiles."""

import keras
import numpy as np
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.training.evaluation import compile_evaluation_call
from tests.training.small import CLASSES

SIZES = [(70, 150), (64, 64), (33, 130)]  # the last has no label
# Constants of fcn_tf.training.evaluation, with which all but the second image are cut.
TILES = {"WHOLE_PIXELS": 64 * 64, "DEFAULT_TILE_PX": 32}


def network():
    """A network whose labels depend on all that is at most 8 px away."""
    image = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, -0.5)(image)
    x = keras.layers.Conv2D(4, 17, padding="same", activation="relu", name="wide")(x)
    model = keras.Model(image, keras.layers.Conv2D(CLASSES, 1, name="scores")(x))
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(random.standard_normal(weight.shape) / (17 if "wide" in weight.path else 1))
    return model


class Noting:
    """A network that notes the heights and widths of the images that it is fed."""

    def __init__(self, model):
        self.model, self.fed = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, image, training):
        note = tf.numpy_function(
            lambda size: self.fed.append(tuple(size.tolist())), [tf.shape(image)[1:3]], []
        )
        with tf.control_dependencies([note]):
            return self.model(tf.identity(image), training=training)


def examples():
    """Images of `SIZES` and their masks, of which one has a corner that is not labelled."""
    random = np.random.default_rng(5)
    for number, size in enumerate(SIZES):
        mask = random.integers(0, CLASSES, (*size, 1), dtype=np.uint8)
        mask[: size[0] // 3, : size[1] // 2] = VOID
        if number == 2:
            mask[:] = VOID
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        yield {"image": image, "segmentation_mask": mask}


def counted(run, images=3):
    """The confusion matrix, the sum of the losses and the labelled images of `examples`.

    Args:
        run: the run; its model is on all its devices.
        images: how many each device evaluates.
    """
    data = tf.data.Dataset.from_generator(
        examples,
        output_signature={
            "image": tf.TensorSpec((None, None, 3), tf.uint8),
            "segmentation_mask": tf.TensorSpec((None, None, 1), tf.uint8),
        },
    )
    iterator = run.cluster.distribute(lambda worker, workers: data.repeat())
    return [x.numpy() for x in compile_evaluation_call(run)(iterator, tf.constant(images))]
