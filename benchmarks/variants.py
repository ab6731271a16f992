"""Every variant and option on one data set, the paper's tables in small.

    python benchmarks/variants.py --out runs/variants

Three seeds of each row on `shapes`, everything but what the row names that of
configs/shapes.yaml. Rows on VGG16 start from one classifier of crops, which is trained first
(benchmarks/classifier.py) and has an fc6 of 3 x 3, as they then do. Runs that are there, of as
many steps or not, are not repeated, and one that was stopped goes on. Prints the table, and which
of the paper's claims it shows; writes variants.md and variants.png to --out; exits with 1 if a
claim is missed. On a folder of your own, from random weights or a classifier's (--weights):

    python benchmarks/variants.py --out runs/street-variants --data_dir street
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from classifier import CELLS, train_classifier
from rows import (
    CLAIMS,
    CVPR,
    MEAN_IU,
    ON_VGG16,
    SCORES,
    Claim,
    Row,
    course,
    file_name,
    is_met,
    report,
    score_cells,
    train_run,
)
from toy import exit_code, parse

from fcn_tf.files import write_text
from fcn_tf.images.figures import write_figure

FROM_RANDOM = {
    "fcn8s, random weights": Row({"variant": "fcn8s"}),
    "fcn8s, VGG19": Row({"variant": "fcn8s", "model.trunk": "vgg19"}),
    "fcn32s, AlexNet": Row(
        {
            "variant": "fcn32s",
            "model.trunk": "alexnet",
            "model.geometry": "caffe",
            "model.width": 0.5,
        },
        published=f"39.8 ({CVPR} 1)",
    ),
    "fcn32s, GoogLeNet": Row(
        {"variant": "fcn32s", "model.trunk": "googlenet", "model.width": 0.5},
        published=f"42.5 ({CVPR} 1)",
    ),
    "fcn8s, GoogLeNet": Row({"variant": "fcn8s", "model.trunk": "googlenet", "model.width": 0.5}),
    "fcn8s, ResNet50": Row({"variant": "fcn8s", "model.trunk": "resnet50", "model.width": 1.0}),
    "fcn8s, MobileNetV3": Row(
        {"variant": "fcn8s", "model.trunk": "mobilenetv3_large", "model.width": 1.0}
    ),
    "fcn8s, EfficientNetV2": Row(
        {"variant": "fcn8s", "model.trunk": "efficientnetv2_b0", "model.width": 1.0}
    ),
    "fcn_resnet50": Row(
        {"variant": "fcn_resnet50", "model.width": 0.25}, published="60.5 (torchvision, on COCO)"
    ),
    "deeplabv3_resnet50": Row(
        {
            "variant": "deeplabv3_resnet50",
            "model.width": 0.125,
            "data.batch_size": 16,
            # Its map of 13x13 cells becomes 100x100 px: sides that are no multiples of 8 move what
            # it shows, and crops of 96 px would teach it one case alone.
            "data.crop_px": 100,
            "loss.name": "cross_entropy + dice",
        },
        published="66.4 (torchvision, on COCO)",
    ),
    "lraspp_mobilenetv3": Row(
        {"variant": "lraspp_mobilenetv3", "model.width": 1.0},
        published="57.9 (torchvision, on COCO)",
    ),
    # Without batch normalization it starts to learn later from twice this rate.
    "unet": Row({"variant": "unet", "model.width": 0.25, "optimizer.learning_rate": 2e-3}),
    # It learns less from AdamW, and from SGD at 0.05 or less (docs/paper.md).
    "segnet": Row(
        {
            "variant": "segnet",
            "model.width": 0.25,
            "data.batch_size": 16,
            "loss.name": "cross_entropy + dice",
            "optimizer.name": "sgd",
            "optimizer.learning_rate": 0.2,
            "optimizer.weight_decay": 5e-4,
            "optimizer.warmup_steps": 500,
        }
    ),
    "segnet_basic": Row(
        {
            "variant": "segnet_basic",
            "model.width": 0.5,
            "data.batch_size": 16,
            "loss.name": "cross_entropy + dice",
            "optimizer.learning_rate": 2e-3,
        }
    ),
}
ROWS = ON_VGG16 | FROM_RANDOM
# Of one of these, as a multiple of --steps.
STEPS = {"fcn8s_atonce": 3}
ALL_CLAIMS = {"32s < 16s < 8s, the same steps": Claim(("fcn32s", "fcn16s", "fcn8s"))} | CLAIMS
TIMED_PX, TIMED_ROUNDS = (375, 500), 9


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/variants"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="of a row; at once takes 3 x")
    parser.add_argument("--classifier_steps", type=int, default=1500)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), help="some of them")
    parser.add_argument("--data_dir", help="a folder of images and masks in place of shapes")
    parser.add_argument("--weights", help="a Keras VGG16 with the width of configs/shapes.yaml")
    parser.add_argument("--table", action="store_true", help="of the runs that are there")
    parser.add_argument("overrides", nargs="*", help="passed on to train, after --")
    least = {"steps": 1, "classifier_steps": 1, "seeds": 1, "rows": ["fcn32s"]}
    arguments = parse(parser, **least, overrides=["--data.batch_size=2", "--data.crop_px=64"])

    rows = {name: ROWS[name] for name in arguments.rows or ROWS}
    weights = arguments.weights
    if not weights and not arguments.data_dir:
        weights = arguments.out / "vgg16.keras"
        is_needed = not rows.keys().isdisjoint(ON_VGG16)
        if is_needed and not weights.exists() and not arguments.table:
            train_classifier(weights, arguments.classifier_steps)
    if not weights:  # nothing to put score layers on
        rows = {name: row for name, row in rows.items() if "model.trainable" not in row.values}
    for seed in range(0 if arguments.table else arguments.seeds):
        for name in rows:
            train(name, seed, weights, arguments)
    scores_of = {name: scores(name, arguments) for name in rows}
    scores_of = {name: found for name, found in scores_of.items() if len(found)}
    lines = table(scores_of, sizes_of(list(scores_of), arguments))
    print("\n".join(lines))
    write_text(arguments.out / "variants.md", "\n".join(lines) + "\n")
    draw(arguments.out / "variants.png", scores_of)
    if not arguments.data_dir and set(ON_VGG16) <= set(scores_of):
        return exit_code(not bars_are_met(scores_of), arguments)
    return 0


def folder(name, seed, arguments):
    return arguments.out / file_name(name, seed)


def train(name, seed, weights, arguments):
    """A run, if it is not there, and the one that it starts from."""
    workdir, row = folder(name, seed, arguments), ROWS[name]
    if report(workdir):
        return
    values = course(STEPS.get(name, 1) * arguments.steps, seed) | row.values
    if row.start:
        train(row.start, seed, weights, arguments)
        values["init_from"] = folder(row.start, seed, arguments)
    elif weights and name in ON_VGG16:
        values["model.weights"] = weights
    own_classifier = not arguments.weights and not arguments.data_dir
    if own_classifier and name in (*ON_VGG16, "fcn8s, random weights"):
        values["model.fc6_kernel"] = CELLS
    if arguments.data_dir:
        values |= {"data.name": "folder", "data.data_dir": arguments.data_dir}
        values["loss.class_weights"] = "none"
    train_run("shapes", workdir, values, arguments.overrides)


def scores(name, arguments):
    """The four scores of each seed that is there, in %, (seeds, 4)."""
    found = [report(folder(name, seed, arguments)) for seed in range(arguments.seeds)]
    return np.array([[100 * one[score] for score in SCORES] for one in found if one])


def sizes_of(names, arguments):
    """Parameters, GFLOP and ms of each on an image of `TIMED_PX`, the rows taking turns."""
    import tensorflow as tf

    from fcn_tf.models import load_model

    images, calls, sizes = tf.zeros((1, *TIMED_PX, 3), tf.uint8), {}, {}
    for name in names:
        seeds = range(arguments.seeds)
        model = load_model(next(run for s in seeds if (run := folder(name, s, arguments)).exists()))
        calls[name] = tf.function(lambda x, model=model: model(x, training=False))
        graph = calls[name].get_concrete_function(images).graph
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        flop = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
        sizes[name] = {"parameters": model.count_params(), "gflop": flop / 1e9}
    milliseconds = {name: [] for name in names}
    for _ in range(TIMED_ROUNDS + 1):  # the first one compiles
        for name, call in calls.items():
            started = time.perf_counter()
            call(images).numpy()
            milliseconds[name].append(1000 * (time.perf_counter() - started))
    return {
        name: size | {"ms": float(np.median(milliseconds[name][1:]))}
        for name, size in sizes.items()
    }


def table(scores_of, sizes):
    header = "| row | pixel acc. | mean acc. | mean IU | f.w. IU | mean IU of each seed | M param. "
    lines = [f"{header}| GFLOP | ms | published mean IU, on other data |", "|---" * 10 + "|"]
    for name, found in scores_of.items():
        cells, size = score_cells(found), sizes[name]
        cells += [f"{size['parameters'] / 1e6:.2f}", f"{size['gflop']:.1f}", f"{size['ms']:.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {ROWS[name].published} |")
    return lines


def draw(path, scores_of):
    """The mean IU of each row, a bar, and of each seed, a dot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.35 * len(scores_of) + 1), layout="constrained")
    axes = figure.add_subplot()
    for place, found in enumerate(scores_of.values()):
        ious = found[:, MEAN_IU]
        axes.barh(place, ious.mean(), color="#9db8d2")
        axes.plot(ious, [place] * len(ious), "o", color="#1f4e79", markersize=4)
    axes.set_yticks(range(len(scores_of)), list(scores_of))
    axes.set_ylim(len(scores_of) - 0.4, -0.6)
    axes.set_xlabel("mean IU on val, %; dots: seeds")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    write_figure(path, figure)


def bars_are_met(scores_of):
    iou = {name: found[:, MEAN_IU].mean() for name, found in scores_of.items()}
    bars = {text: is_met(claim, iou) for text, claim in ALL_CLAIMS.items()}
    for bar, met in bars.items():
        print(f"{bar}: {met}")
    return all(bars.values())


if __name__ == "__main__":
    sys.exit(main())
