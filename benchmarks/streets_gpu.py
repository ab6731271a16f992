"""The rows of streets.py on a GPU, where they take minutes: a loop in JAX, without TensorFlow.

    fcn-tf import-weights --from hed --out vgg16_hed.weights.h5
    pip install jax[cuda13] && python benchmarks/streets_gpu.py --data_dir CamVid --weights ...
    python benchmarks/streets_gpu.py --table

Rows, recipe and scores are those of streets.py, networks and losses the package's; the loop and the
augmentation are those of jax_loop.py. So this shows on another way, and with more steps and seeds
than processors allow, what holds of the paper on photographs. Figures are recorded in --results,
benchmarks/streets_gpu.json. What is recorded is skipped, but a staged row makes its start again.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others may share the GPU

import jax
import keras
from jax_loop import Loop, load_split
from recorded import Recorded, commit_of_code, show
from rows import SCORES
from streets import (
    ALL_CLAIMS,
    FROM_RANDOM,
    RECIPE,
    ROWS,
    SAME,
    SCORES_ALONE,
    TOY,
    settings_of,
    toy_photographs,
)
from toy import parse

from fcn_tf.config.files import load_config
from fcn_tf.config.networks import NETWORK_KEYS
from fcn_tf.models import build_fcn, load_trunk, train_scores_only, warm_start


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, help="images and masks of 11 classes, as CamVid's")
    parser.add_argument("--weights", type=Path, help="a Keras file with VGG16's convolutions")
    parser.add_argument("--steps", type=int, default=2400, help="of each row")
    parser.add_argument("--seeds", type=int, default=3, help="of each row")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--results", type=Path, help="default streets_gpu.json beside this script")
    parser.add_argument("--out", type=Path, default=Path("runs/streets_gpu"))
    parser.add_argument("--table", action="store_true", help="of what is recorded; trains nothing")
    arguments = parse(parser, steps=2, seeds=1, rows=["fcn32s", "fcn16s, staged", SCORES_ALONE])
    if arguments.toy:
        arguments.data_dir = toy_photographs(arguments.out / "photographs")
    folder = arguments.out if arguments.toy else Path(__file__).parent
    recorded = Recorded(arguments.results or folder / "streets_gpu.json")
    if not arguments.table:
        if not arguments.data_dir or not (arguments.weights or arguments.toy):
            parser.error("--data_dir and --weights: give photographs, and VGG16's convolutions.")
        settings = settings_of(arguments)
        if refusal := recorded.refusal(settings):
            parser.error(refusal)
        measure_rows(arguments, recorded, settings)
    show(recorded, arguments.steps, ROWS, ALL_CLAIMS)
    return 0


def measure_rows(arguments, recorded, settings):
    """Trains and records what is not recorded. Seeds of a row share what is compiled."""
    ends = {}  # name and seed: the model at the end of a row, of which another starts
    wanted = {(name, seed) for name in arguments.rows for seed in range(arguments.seeds)}
    wanted -= {key for key in wanted if recorded.find(*key, arguments.steps)}
    needed = set(wanted)
    for name, seed in wanted:
        while name := ROWS[name].start:
            needed.add((name, seed))
    starts = {ROWS[name].start for name, _ in needed}
    for name in ROWS:
        seeds = sorted(seed for one, seed in needed if one == name)
        if not seeds:
            continue
        config = config_of(name, arguments)
        splits = [
            load_split(arguments.data_dir, one, config.data.ignore_label)
            for one in ("train", "val")
        ]
        loop = None
        for seed in seeds:
            model = start_of(name, seed, config, arguments.weights, ends)
            loop = loop or Loop(model, config, *splits)
            given = [variable.value for variable in model.trainable_variables]
            weights, losses, seconds = loop.train(loop.rates(), seed, given)
            if name in starts:
                for variable, weight in zip(model.trainable_variables, weights, strict=True):
                    variable.assign(weight)
                ends[name, seed] = model
            if (name, seed) not in wanted:
                continue
            scores = loop.scores(weights)
            row = {"row": name, "seed": seed, "steps": arguments.steps}
            row |= {score: float(scores[score]) for score in SCORES}
            row["class_iou"] = dict(
                zip(config.data.class_names, map(float, scores["class_iou"]), strict=True)
            )
            row |= {"images": len(splits[1][0]), "minutes": round(seconds / 60, 3)}
            row |= {"cores": jax.devices()[0].device_kind, "commit": commit_of_code()}
            recorded.add(row, settings)
            print(f"{name}, seed {seed}: {100 * row['mean_iou']:.1f} %", flush=True)


def config_of(name, arguments):
    """The `Config` of a row."""
    values = SAME | (TOY | {"data.crop_px": 24} if arguments.toy else {}) | ROWS[name].values
    values |= {"training.max_steps": arguments.steps, "training.eval_every_steps": arguments.steps}
    values.pop("model.trainable", None)  # `start_of` sees to that
    return load_config(RECIPE, **values, **{"data.data_dir": str(arguments.data_dir)})


def start_of(name, seed, config, weights, ends):
    """The network that a row starts from."""
    keras.utils.set_random_seed(seed)
    network = {key: getattr(config.model, key) for key in NETWORK_KEYS}
    classes = len(config.data.class_names)
    model = build_fcn(config.variant, classes, dtype=config.training.precision, **network)
    if start := ROWS[name].start:
        warm_start(model, ends[start, seed])
    elif weights and name != FROM_RANDOM:
        load_trunk(model, weights, "convolutions")
    if name == SCORES_ALONE:
        train_scores_only(model)
    return model


if __name__ == "__main__":
    sys.exit(main())
