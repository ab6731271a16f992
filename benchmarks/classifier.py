"""A classifier to grow from: a narrow VGG16 that tells the objects of `shapes` apart.

It is trained on crops around single objects, as ImageNet's networks are on photos of single
things, and has the layer names of keras.applications. `benchmarks/variants.py` trains it once.
"""

import keras
import tensorflow as tf
import tensorflow_datasets as tfds
from keras import layers

from fcn_tf.classes import VOID
from fcn_tf.config.files import load_config
from fcn_tf.config.networks import TRUNKS
from fcn_tf.data import open_source

CELLS = 3  # of the last map of a crop, and so the side of fc6
SIDE_PX = 32 * CELLS
BATCH = 32


def train_classifier(path, steps):
    """Trains VGG16, narrow and with the names of keras.applications, on crops."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    config = load_config("shapes")
    num_classes = len(open_source(config.data).class_names) - 1  # without the background
    x = images = keras.Input((SIDE_PX, SIDE_PX, 3))
    for block, (convolutions, filters) in enumerate(TRUNKS["vgg16"].options["blocks"], start=1):
        for index in range(1, convolutions + 1):
            x = layers.Conv2D(
                round(filters * config.model.width),
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"block{block}_conv{index}",
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        units = config.model.head_units
        x = layers.Dense(units, "relu", kernel_initializer="he_normal", name=name)(x)
    logits = layers.Dense(num_classes, dtype="float32", name="predictions")(x)
    model = keras.Model(images, logits)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 10, warmup_target=1e-3, warmup_steps=steps // 10
    )
    model.compile(
        keras.optimizers.AdamW(rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    epochs = min(10, steps)
    course = {"steps_per_epoch": steps // epochs, "epochs": epochs, "shuffle": False}
    model.fit(crops("train"), **course, verbose=2)
    _, accuracy = model.evaluate(crops("val"), verbose=0)
    print(f"Classifier of {SIDE_PX} px crops: {100 * accuracy:.1f} % right on val", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def crops(split):
    """Batches of crops around single objects, preprocessed for VGG16, and their classes.

    A crop is the object's surroundings enlarged to `SIDE_PX`, so that small ones are learnt too.
    """

    def crop(scene):
        mask = tf.cast(scene["segmentation_mask"][..., 0], tf.int32)
        instances = tf.cast(scene["instance_mask"][..., 0], tf.int32)
        numbers = tf.unique(tf.boolean_mask(instances, (instances > 0) & (instances < VOID)))[0]
        number = tf.random.shuffle(numbers)[0]
        places = tf.cast(tf.where(instances == number), tf.float32)  # (pixels, 2)
        label = tf.reduce_max(tf.where(instances == number, mask, 0)) - 1
        low, high = tf.reduce_min(places, 0), tf.reduce_max(places, 0)
        side = tf.maximum(tf.reduce_max(high - low), 8.0) * tf.random.uniform((), 1.4, 2.2)
        size = tf.cast(tf.shape(mask), tf.float32)
        middle = (low + high) / 2 + tf.random.uniform((2,), -0.15, 0.15) * side
        box = tf.concat([middle - side / 2, middle + side / 2], 0) / tf.tile(size, [2])
        image = keras.applications.vgg16.preprocess_input(tf.cast(scene["image"], tf.float32))
        # What lies outside is 0, the mean colour.
        window = tf.image.crop_and_resize(image[None], box[None], [0], (SIDE_PX, SIDE_PX))[0]
        return tf.image.random_flip_left_right(window), label

    scenes = tfds.load("shapes", split=split)
    scenes = scenes.filter(lambda s: tf.reduce_any(s["instance_mask"] - 1 < VOID - 1))
    if split == "train":
        scenes = scenes.shuffle(1000, seed=0).repeat()
    return scenes.map(crop, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
