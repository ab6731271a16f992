"""The paper's claims on real photographs: street scenes, and a VGG16 that knows photographs.

    fcn-tf import-weights --from hed --out vgg16_hed.weights.h5
    python benchmarks/streets.py --data_dir CamVid --weights vgg16_hed.weights.h5
    python benchmarks/streets.py --table

Each row takes --steps steps with the options of configs/camvid_vgg16.yaml and is scored once, on
val, at its last step. In all rows the network has full width and a head of 512, a batch is 4 crops
of 240x320 px, and the loss is cross_entropy alone: dice takes no sample of the pixels.
The first five rows have two seeds and the others one; --seeds gives all rows as many.
The staged rows start from the coarser run of their seed, so that the steps behind 16s are twice
those of a row, and behind 8s three times. "32s < 8s" compares networks after the same steps.
The file has no fc6 and fc7, which start from random weights. Where the score layers alone are
trained they stay so. The paper's came from the classifier.

A row takes up to an hour. Each one that ends is recorded in --results, benchmarks/streets.json,
which is meant to be committed: the figures of docs/paper.md come from it. The command skips what is
recorded for these steps, and goes on with a run that was stopped. Runs lie in --out, a gigabyte
each while they train. A staged row needs the run that it starts from: where its folder is gone,
that run is made again, and the figures recorded first stay.
Prints the tables, and whether each claim holds here.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from recorded import Recorded, commit_of_code, show
from rows import (
    CLAIMS,
    ON_VGG16,
    SCORES,
    Claim,
    Row,
    course,
    file_name,
    report,
    train_run,
)
from sides import thread_count
from toy import parse

from fcn_tf.config.files import METRICS_FILE, RUN_CONFIG_FILE, find_config, load_config
from fcn_tf.config.networks import NETWORK_KEYS

RECIPE = "camvid_vgg16"
FIRST = ("fcn32s", "fcn16s, staged", "fcn8s, staged", "fcn8s_atonce", "fcn8s")
SCORES_ALONE, FROM_RANDOM = "fcn8s, score layers alone", "fcn8s, random weights"
# The kin, whose encoder takes the same convolutions.
KIN = {"segnet": {"variant": "segnet"}, "unet_on_trunk": {"variant": "unet_on_trunk"}}
KIN_FROM_RANDOM = {name: f"{name}, random weights" for name in KIN}
ALL_FROM_RANDOM = {FROM_RANDOM, *KIN_FROM_RANDOM.values()}
ROWS = {name: ON_VGG16[name] for name in (*FIRST, SCORES_ALONE)} | {
    FROM_RANDOM: Row({"variant": "fcn8s"}),
    "fcn8s, upsampling fixed": ON_VGG16["fcn8s, upsampling fixed"],
    "fcn8s, upsampling learned_all": ON_VGG16["fcn8s, upsampling learned_all"],
    "fcn8s, fc6_kernel 1": Row({"variant": "fcn8s", "model.fc6_kernel": 1}),
    "fcn8s, a quarter of the pixels": ON_VGG16["fcn8s, a quarter of the pixels"],
    "fcn32s, output stride 8": ON_VGG16["fcn32s, output stride 8"],
}
ROWS |= {name: Row(values) for name, values in KIN.items()}
ROWS |= {random: Row(KIN[name]) for name, random in KIN_FROM_RANDOM.items()}
ALL_CLAIMS = CLAIMS | {
    "32s < 8s, the same steps": Claim(("fcn32s", "fcn8s")),
    "random weights below the trained trunk": Claim((FROM_RANDOM, "fcn8s")),
}
ALL_CLAIMS |= {
    f"random weights below the trained trunk, {name}": Claim((random, name))
    for name, random in KIN_FROM_RANDOM.items()
}
# Whatever the recipe says of them.
SAME = {
    "data.batch_size": 4,
    "data.crop_px": "240x320",
    "model.width": 1.0,
    "model.head_units": 512,
    "model.fc6_kernel": 7,
    "loss.name": "cross_entropy",
    "training.precision": "mixed_bfloat16",
}
TOY = {"data.batch_size": 2, "data.crop_px": 32, "model.width": 0.03125, "model.head_units": 4}
# What a row, a seed, a command decides.
OF_A_RUN = {
    *("variant", "seed", "workdir", "resume", "init_from", "data.data_dir"),
    *("model.weights", "model.weights_layers"),
    *("training.max_steps", "training.eval_every_steps", "training.checkpoint_every_steps"),
}
CHECKPOINTS = 6  # in a run
PICTURES = {".png", ".jpg", ".jpeg"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, help="images and masks of 11 classes, as CamVid's")
    parser.add_argument("--weights", type=Path, help="a Keras file with VGG16's convolutions")
    parser.add_argument("--out", type=Path, default=Path("runs/streets"))
    parser.add_argument("--steps", type=int, default=600, help="of each row")
    parser.add_argument(
        "--seeds", type=int, help="of each row; default 2 of the first five, else 1"
    )
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), help="some of them")
    parser.add_argument("--results", type=Path, help="default streets.json beside this script")
    parser.add_argument("--table", action="store_true", help="of what is recorded; trains nothing")
    arguments = parse(parser, steps=1, seeds=1, rows=[SCORES_ALONE])
    if arguments.toy:
        arguments.data_dir = arguments.data_dir or toy_photographs(arguments.out / "photographs")
    if not arguments.table:
        check_given(parser, arguments)
    folder = arguments.out if arguments.toy else Path(__file__).parent
    recorded = Recorded(arguments.results or folder / "streets.json")
    if not arguments.table:
        arguments.settings = settings_of(arguments)
        if refusal := recorded.refusal(arguments.settings):
            parser.error(refusal)
        for name, seed in jobs(arguments):
            measure(name, seed, arguments, recorded)
    show(recorded, arguments.steps, ROWS, ALL_CLAIMS)
    return 0


def check_given(parser, arguments):
    """Ends with a message where the data or the weights are not there."""
    if not arguments.data_dir or not arguments.data_dir.is_dir():
        parser.error(f"--data_dir {arguments.data_dir}: give a folder of images and masks.")
    if not (arguments.weights or arguments.toy):
        parser.error(
            "--weights: give VGG16's convolutions, a file that fcn-tf import-weights made."
        )
    if arguments.weights and not arguments.weights.is_file():
        parser.error(f"--weights {arguments.weights}: there is no such file.")


def settings_of(arguments):
    """What all rows have in common, by name, so that no file mixes rows of two recipes."""
    recipe = yaml.safe_load(find_config(RECIPE).read_text(encoding="utf-8"))
    values = {}
    for key, of in recipe.items():
        values |= {f"{key}.{one}": of[one] for one in of} if isinstance(of, dict) else {key: of}
    values = {key: value for key, value in values.items() if key not in OF_A_RUN}
    values |= SAME | (TOY if arguments.toy else {})
    files = [path for path in arguments.data_dir.rglob("*") if path.suffix.lower() in PICTURES]
    values["data"] = f"{len(files)} files, {sum(path.stat().st_size for path in files)} bytes"
    weights = arguments.weights
    values["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest() if weights else "none"
    return values


def jobs(arguments):
    """Names and seeds, in the order in which they are trained; with the rows that others need."""
    names = set(arguments.rows or ROWS)
    for name in tuple(names):
        while name := ROWS[name].start:
            names.add(name)
    for group, seeds in ((FIRST, 2), ([name for name in ROWS if name not in FIRST], 1)):
        for seed in range(arguments.seeds or seeds):
            yield from ((name, seed) for name in group if name in names)


def measure(name, seed, arguments, recorded):
    """Trains a row and records it, if it is not recorded."""
    if recorded.find(name, seed, arguments.steps):
        print(f"{name}, seed {seed}: recorded.", flush=True)
        return
    make_start_again(name, seed, arguments, recorded)
    commit = commit_of_code()
    scores = train(name, seed, arguments)
    row = {"row": name, "seed": seed, "steps": arguments.steps}
    row |= {key: scores[key] for key in (*SCORES, "class_iou", "images")}
    row |= {"minutes": minutes_of_steps(workdir_of(name, seed, arguments))}
    recorded.add(row | {"cores": thread_count(), "commit": commit}, arguments.settings)


def make_start_again(name, seed, arguments, recorded):
    """Trains the row that a row starts from, if it is recorded and its folder is gone."""
    start = ROWS[name].start
    if not start or report(workdir := workdir_of(start, seed, arguments)):
        return
    make_start_again(start, seed, arguments, recorded)
    print(f"{name}, seed {seed}, starts from {start}, which is trained again:", flush=True)
    print(f"it is recorded, and its run, {workdir}, is gone.", flush=True)
    now = train(start, seed, arguments)["mean_iou"]
    then = recorded.find(start, seed, arguments.steps)["mean_iou"]
    print(f"{start}, seed {seed}: mean IU {100 * now:.1f} %, recorded {100 * then:.1f} %.")


def workdir_of(name, seed, arguments):
    """The folder of a run, whose name tells one recipe and number of steps from another."""
    told = hashlib.sha256(json.dumps(arguments.settings, sort_keys=True).encode()).hexdigest()
    return arguments.out / f"{file_name(name, seed)}-{arguments.steps}-{told[:8]}"


def train(name, seed, arguments):
    """Trains a row, or goes on with it, if it has not ended; what its scores.json holds.

    Then its checkpoints are removed, which are most of its size.
    """
    workdir, start = workdir_of(name, seed, arguments), start_of(name, seed, arguments)
    if not report(workdir):
        values = values_of(name, seed, arguments) | ({"init_from": str(start)} if start else {})
        if name == SCORES_ALONE and not start.exists():
            write_start(start, values, arguments.weights)
        print(f"{name}, seed {seed}: {arguments.steps} steps in {workdir}", flush=True)
        train_run(RECIPE, workdir, values)
    shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
    if name == SCORES_ALONE:
        start.unlink(missing_ok=True)
    return report(workdir)


def start_of(name, seed, arguments):
    """The run or the model that a row starts from; None where it starts from a file of weights."""
    if name == SCORES_ALONE:
        workdir = workdir_of(name, seed, arguments)
        return workdir.with_name(f"{workdir.name}-start.keras")
    start = ROWS[name].start
    return workdir_of(start, seed, arguments) if start else None


def values_of(name, seed, arguments):
    """The options of a row's run, but for the one that names a run to start from."""
    values = course(arguments.steps, seed) | SAME | (TOY if arguments.toy else {})
    values |= ROWS[name].values
    values["training.checkpoint_every_steps"] = max(1, arguments.steps // CHECKPOINTS)
    values["data.data_dir"] = str(arguments.data_dir)
    has_start = start_of(name, seed, arguments) is not None
    weights = None if has_start or name in ALL_FROM_RANDOM else arguments.weights
    values["model.weights"] = str(weights or "none")
    values["model.weights_layers"] = "convolutions" if weights else "all"
    return values


def write_start(path, values, weights):
    """A network with the trunk of a file and a random fc6 and fc7, to train score layers on.

    `fcn-tf train` refuses to freeze layers that have random weights, unless a model has them.
    """
    import keras

    import fcn_tf
    from fcn_tf.models import save_model

    config = load_config(RECIPE, **values)
    keras.utils.set_random_seed(config.seed)
    network = {key: getattr(config.model, key) for key in NETWORK_KEYS}
    model = fcn_tf.build_fcn(config.variant, num_classes=len(config.data.class_names), **network)
    if weights:
        print(fcn_tf.load_trunk(model, weights, "convolutions"), flush=True)
    save_model(model, path)


def minutes_of_steps(workdir):
    """The minutes that the training steps of a run took, without evaluation and report."""
    config = yaml.safe_load((workdir / RUN_CONFIG_FILE).read_text(encoding="utf-8"))
    images = config["data"]["batch_size"] * config["training"]["accumulate_steps"]
    lines = (workdir / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    step, seconds = 0, 0.0
    for line in filter(lambda line: line["split"] == "train", map(json.loads, lines)):
        seconds += (line["step"] - step) * images / line["images_per_second"]
        step = line["step"]
    return round(seconds / 60, 2)


def toy_photographs(folder):
    """Writes a few pictures of noise, with masks of the recipe's values."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(2):
            for kind, array in (
                ("images", random.integers(0, 256, (40, 48, 3), np.uint8)),
                ("masks", random.integers(0, 12, (40, 48), np.uint8)),
            ):
                path = folder / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    return folder


if __name__ == "__main__":
    sys.exit(main())
