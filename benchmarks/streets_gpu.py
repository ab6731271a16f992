"""The rows of streets.py on a GPU, where they take minutes: a loop in JAX, without TensorFlow.

    fcn-tf import-weights --from hed --out vgg16_hed.weights.h5
    pip install jax[cuda13] && python benchmarks/streets_gpu.py --data_dir CamVid --weights ...
    python benchmarks/streets_gpu.py --table
    python benchmarks/streets_gpu.py --choices --steps 1500 --seeds 1 --data_dir CamVid ...

Rows, recipe and scores are those of streets.py, networks and losses the package's; the loop and the
augmentation are those of jax_loop.py. So this shows on another way, and with more steps and seeds
than processors allow, what holds of the paper on photographs. Figures are recorded in --results,
benchmarks/streets_gpu.json. What is recorded is skipped, but a staged row makes its start again.
With --choices the rows are other choices than the recipe's, in streets_choices.json.
"""

import argparse
import functools
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others may share the GPU

import jax
import keras
import numpy as np
from jax_loop import Loop, averaged_of, load_split
from recorded import Recorded, commit_of_code, show
from rows import SCORES, Row, course
from streets import (
    ALL_CLAIMS,
    ALL_FROM_RANDOM,
    FROM_RANDOM,
    RECIPE,
    ROWS,
    SAME,
    SCORES_ALONE,
    TOY,
    check_given,
    settings_of,
    toy_photographs,
)
from toy import parse

from fcn_tf.config.files import load_config
from fcn_tf.config.networks import NETWORK_KEYS
from fcn_tf.models import build_fcn, load_trunk, train_scores_only, warm_start

# What else the recipe could be: values that differ from it.
CHOICES = {
    "the recipe": Row({}),
    "scales 0.67 to 2": Row({"data.scale_range": [0.67, 2.0]}),
    "cross_entropy alone": Row({"loss.name": "cross_entropy"}),
    "focal + dice": Row({"loss.name": "focal + dice"}),
    "6 crops of 192x256": Row(
        {"data.crop_px": "192x256", "data.batch_size": 6, "data.scale_range": [0.67, 1.8]}
    ),
    "2 crops of 320x400": Row(
        {"data.crop_px": "320x400", "data.batch_size": 2, "data.scale_range": [0.9, 1.6]}
    ),
    "fc6 3x3, head 1024": Row({"model.head_units": 1024, "model.fc6_kernel": 3}),
    "fcn8s_atonce": Row({"variant": "fcn8s_atonce"}),
    FROM_RANDOM: Row({}),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, help="images and masks of 11 classes, as CamVid's")
    parser.add_argument("--weights", type=Path, help="a Keras file with VGG16's convolutions")
    parser.add_argument("--steps", type=int, default=2400, help="of each row")
    parser.add_argument("--seeds", type=int, default=3, help="of each row")
    parser.add_argument("--rows", nargs="*", choices=[*ROWS, *CHOICES], help="some of them")
    parser.add_argument("--choices", action="store_true", help="rows that vary the recipe")
    parser.add_argument("--results", type=Path, help="default streets_gpu.json beside this script")
    parser.add_argument("--out", type=Path, default=Path("runs/streets_gpu"))
    parser.add_argument("--table", action="store_true", help="of what is recorded; trains nothing")
    arguments = parse(parser, steps=2, seeds=1, rows=["fcn16s, staged"])
    if arguments.toy:
        arguments.data_dir = toy_photographs(arguments.out / "photographs")
    folder = arguments.out if arguments.toy else Path(__file__).parent
    rows = CHOICES if arguments.choices else ROWS
    name = "streets_choices.json" if arguments.choices else "streets_gpu.json"
    recorded = Recorded(arguments.results or folder / name)
    if not arguments.table:
        check_given(parser, arguments)
        settings = settings_of(arguments)
        if refusal := recorded.refusal(settings):
            parser.error(refusal)
        measure_rows(rows, arguments, recorded, settings)
    show(recorded, arguments.steps, rows, {} if arguments.choices else ALL_CLAIMS)
    return 0


def measure_rows(rows, arguments, recorded, settings):
    """Trains and records what is not recorded. Seeds of a row share what is compiled."""
    seeds = range(arguments.seeds)
    wanted = {(name, seed) for name in arguments.rows or rows for seed in seeds}
    wanted -= {key for key in wanted if recorded.find(*key, arguments.steps)}
    needed = set(wanted)
    for name, seed in wanted:
        while name := rows[name].start:
            needed.add((name, seed))
    ends = {}  # name and seed: the model at the end of a row, of which another may start
    for name in rows:
        loop = None
        for seed in sorted(seed for one, seed in needed if one == name):
            config = config_of(rows[name], arguments)
            model = start_of(
                name, config, arguments.weights, seed, ends.get((rows[name].start, seed))
            )
            if name == SCORES_ALONE:  # a loop holds what is not trained, here of one seed
                loop = None
            loop = loop or Loop(
                model, config, *splits_of(arguments.data_dir, config.data.ignore_label)
            )
            averaged = averaged_of(model)
            averages, _, seconds = loop.train(loop.rates(), seed, [v.value for v in averaged])
            if any(row.start == name for row in rows.values()):
                for variable, average in zip(averaged, averages, strict=True):
                    variable.assign(average)
                ends[name, seed] = model
            if (name, seed) in wanted:
                row = {"row": name, "seed": seed, "steps": arguments.steps}
                row |= measured(loop, averages) | {"minutes": round(seconds / 60, 3)}
                row |= {"cores": jax.devices()[0].device_kind, "commit": commit_of_code()}
                recorded.add(row, settings)
                print(f"{name}, seed {seed}: {100 * row['mean_iou']:.1f} %", flush=True)


def measured(loop, averages):
    """The scores on val, as a row holds them."""
    scores = loop.scores(averages)
    row = {score: float(scores[score]) for score in SCORES}
    iou = (None if np.isnan(value) else float(value) for value in scores["class_iou"])
    row["class_iou"] = dict(zip(loop.config.data.class_names, iou, strict=True))
    return row | {"images": len(loop.val[0])}


@functools.cache
def splits_of(folder, ignore_label):
    """Images and masks of train, and of val; read once for all rows."""
    return [load_split(folder, split, ignore_label) for split in ("train", "val")]


def config_of(row, arguments):
    """The `Config` of a row."""
    values = {} if arguments.choices else dict(SAME)
    values |= (TOY | {"data.crop_px": 24} if arguments.toy else {}) | row.values
    values |= course(arguments.steps, seed=0)
    values.pop("model.trainable", None)  # `start_of` sees to that
    return load_config(RECIPE, **values, **{"data.data_dir": str(arguments.data_dir)})


def start_of(name, config, weights, seed, coarser):
    """The network that a row starts from."""
    keras.utils.set_random_seed(seed)
    network = {key: getattr(config.model, key) for key in NETWORK_KEYS}
    classes = len(config.data.class_names)
    model = build_fcn(config.variant, classes, dtype=config.training.precision, **network)
    if coarser:
        warm_start(model, coarser)
    elif weights and name not in ALL_FROM_RANDOM:
        load_trunk(model, weights, "convolutions")
    if name == SCORES_ALONE:
        train_scores_only(model)
    return model


if __name__ == "__main__":
    sys.exit(main())
