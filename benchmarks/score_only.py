"""What training the trunk gains over training the score layers alone (table 2 of the paper).

    python benchmarks/score_only.py --out runs/score_only

The whole transfer, small: a narrow VGG16 learns to classify crops of `shapes`
by the object in their middle, `load_vgg16` moves it into FCN-32s, and the
same steps are trained once with every layer and once with the score layers
alone. Runs that are there already are not repeated.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from fcn_tf.config_files import load_config
from fcn_tf.data import open_source, whole_images
from fcn_tf.models.trunks import VGG16_BLOCKS

CELLS = 3  # of the last map of a crop, and so the side of fc6
SIDE_PX = 32 * CELLS
BATCH = 16


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/score_only"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classifier_steps", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()

    classifier = arguments.out / "vgg16.keras"
    if not classifier.exists():
        train_classifier(classifier, arguments.classifier_steps)
    mean_iou = {
        trainable: np.array([run(trainable, seed, arguments) for seed in range(arguments.seeds)])
        for trainable in ("score", "all")
    }
    print("| trained | mean IU of each seed, % | mean |")
    print("|---|---|---|")
    for trainable, scores in mean_iou.items():
        each = " / ".join(f"{100 * score:.1f}" for score in scores)
        print(f"| {trainable} | {each} | {100 * scores.mean():.1f} |")
    met = mean_iou["score"].max() < mean_iou["all"].min()
    print(f"score is below all for every seed: {met}")
    sys.exit(not met)


def train_classifier(path, steps):
    """Trains VGG16, narrow and with the names of keras.applications, on crops."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    config = load_config("shapes")
    source = open_source(config.data)
    x = images = keras.Input((SIDE_PX, SIDE_PX, 3))
    for block, (convolutions, filters) in enumerate(VGG16_BLOCKS, start=1):
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
    logits = layers.Dense(len(source.class_names) - 1, dtype="float32", name="predictions")(x)
    model = keras.Model(images, logits)
    rate = keras.optimizers.schedules.PolynomialDecay(1e-3, steps, 0.0)
    model.compile(
        keras.optimizers.AdamW(rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(crops(source, "train").repeat(), steps_per_epoch=steps, verbose=2, shuffle=False)
    _, accuracy = model.evaluate(crops(source, "val"), verbose=0)
    print(f"Classifier of {SIDE_PX} px crops: {100 * accuracy:.1f} % right on val", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def crops(source, split):
    """Batches of crops, preprocessed for VGG16, and the class of the object in their middle."""

    def crop(scene):
        mask = scene["segmentation_mask"][..., 0]
        objects = tf.where((mask > 0) & (mask < len(source.class_names)))
        # Any pixel of any object: large ones come more often, as in the segmentation.
        middle = tf.cast(
            objects[tf.random.uniform((), 0, tf.shape(objects)[0], tf.int32)], tf.int32
        )
        border = SIDE_PX // 2
        around = [[border, border], [border, border], [0, 0]]
        image = keras.applications.vgg16.preprocess_input(tf.cast(scene["image"], tf.float32))
        image = tf.pad(image, around)  # 0 is the mean colour
        window = tf.slice(image, [middle[0], middle[1], 0], [SIDE_PX, SIDE_PX, 3])
        return tf.image.random_flip_left_right(window), mask[middle[0], middle[1]] - 1

    scenes = whole_images(source, split)
    scenes = scenes.filter(lambda s: tf.reduce_any((s["segmentation_mask"] - 1) < 254))
    if split == "train":
        scenes = scenes.shuffle(1000, seed=0)
    return scenes.map(crop, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def run(trainable, seed, arguments):
    """The mean IU on val of a run, trained if it is not there yet."""
    workdir = arguments.out / f"{trainable}-seed{seed}"
    if not (workdir / "report/scores.json").exists():
        values = {
            "variant": "fcn32s",
            "seed": seed,
            "workdir": workdir,
            "model.weights": arguments.out / "vgg16.keras",
            "model.fc6_kernel": CELLS,
            "model.trainable": trainable,
            "training.max_steps": arguments.steps,
            "training.eval_every_steps": arguments.steps,
        }
        options = [part for key, value in values.items() for part in (f"--{key}", str(value))]
        subprocess.run(["fcn-tf", "train", "--config", "shapes", *options], check=True)
    return json.loads((workdir / "report/scores.json").read_text())["mean_iou"]


if __name__ == "__main__":
    main()
