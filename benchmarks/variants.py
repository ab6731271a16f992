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
import json
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
from classifier import CELLS, train_classifier
from toy import exit_code, parse

from fcn_tf.files import write_text
from fcn_tf.images.figures import write_figure

# Options of the network, other options of `fcn-tf train`, the row whose run it starts from,
# its steps as a multiple of --steps, and the mean IU in % that was published, on another data
# set, with its source.
Row = namedtuple("Row", "network options start steps published")

CVPR = "Long et al. 2015, table"
RELEASE = "the authors' release"


def row(network, options="", start=None, steps=1, published=""):
    return Row(network, options.split(), start, steps=steps, published=published)


ON_VGG16 = {
    "fcn32s": row({"variant": "fcn32s"}, published=f"59.4 ({CVPR} 2)"),
    "fcn16s": row({"variant": "fcn16s"}),
    "fcn8s": row({"variant": "fcn8s"}),
    "fcn16s, staged": row({"variant": "fcn16s"}, start="fcn32s", published=f"62.4 ({CVPR} 2)"),
    "fcn8s, staged": row(
        {"variant": "fcn8s"}, start="fcn16s, staged", published=f"62.7 ({CVPR} 2)"
    ),
    "fcn8s_atonce": row(
        {"variant": "fcn8s_atonce"}, steps=3, published=f"65.4, staged 65.5 ({RELEASE})"
    ),
    "fcn8s, score layers alone": row(
        {"variant": "fcn8s"}, "--model.trainable score", published=f"32s: 45.4 ({CVPR} 2)"
    ),
    "fcn8s, a quarter of the pixels": row({"variant": "fcn8s"}, "--loss.sample_fraction 0.25"),
    "fcn8s, upsampling fixed": row({"variant": "fcn8s", "upsampling": "fixed"}),
    "fcn8s, upsampling learned_all": row({"variant": "fcn8s", "upsampling": "learned_all"}),
    "fcn8s, upsampling nonlinear": row({"variant": "fcn8s", "upsampling": "nonlinear"}),
    "fcn32s, output stride 8": row({"variant": "fcn32s", "output_stride": 8}),
}
FROM_RANDOM = {
    "fcn8s, random weights": row({"variant": "fcn8s"}),
    "fcn8s, VGG19": row({"variant": "fcn8s", "trunk": "vgg19"}),
    "fcn32s, AlexNet": row(
        {"variant": "fcn32s", "trunk": "alexnet", "geometry": "caffe", "width": 0.5},
        published=f"39.8 ({CVPR} 1)",
    ),
    "fcn32s, GoogLeNet": row(
        {"variant": "fcn32s", "trunk": "googlenet", "width": 0.5}, published=f"42.5 ({CVPR} 1)"
    ),
    "fcn8s, GoogLeNet": row({"variant": "fcn8s", "trunk": "googlenet", "width": 0.5}),
    "fcn8s, ResNet50": row({"variant": "fcn8s", "trunk": "resnet50", "width": 1.0}),
    "fcn8s, MobileNetV3": row({"variant": "fcn8s", "trunk": "mobilenetv3_large", "width": 1.0}),
    "fcn8s, EfficientNetV2": row({"variant": "fcn8s", "trunk": "efficientnetv2_b0", "width": 1.0}),
    "fcn_resnet50": row(
        {"variant": "fcn_resnet50", "width": 0.25}, published="60.5 (torchvision, on COCO)"
    ),
}
ROWS = ON_VGG16 | FROM_RANDOM
TIMED_PX, TIMED_ROUNDS = (375, 500), 9
# The columns of the table: the paper's four scores.
SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
MEAN_IU = SCORES.index("mean_iou")


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
        if not weights.exists() and not arguments.table:
            train_classifier(weights, arguments.classifier_steps)
    if not weights:  # nothing to put score layers on
        rows = {name: row for name, row in rows.items() if "score" not in row.options}
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
    return arguments.out / f"{name.replace(', ', '-').replace(' ', '_')}-seed{seed}"


def train(name, seed, weights, arguments):
    """A run, if it is not there, and the one that it starts from."""
    if (folder(name, seed, arguments) / "report/scores.json").exists():
        return
    network, options, start, multiple, _ = ROWS[name]
    steps = str(multiple * arguments.steps)
    values = {"training.max_steps": steps, "training.eval_every_steps": steps, "seed": seed}
    values |= {k if k == "variant" else f"model.{k}": value for k, value in network.items()}
    if start:
        train(start, seed, weights, arguments)
        values["init_from"] = folder(start, seed, arguments)
    elif weights and name in ON_VGG16:
        values["model.weights"] = weights
    own_classifier = not arguments.weights and not arguments.data_dir
    if own_classifier and name in (*ON_VGG16, "fcn8s, random weights"):
        values["model.fc6_kernel"] = CELLS
    if arguments.data_dir:
        values |= {"data.name": "folder", "data.data_dir": arguments.data_dir}
        values["loss.class_weights"] = "none"
    command = ["fcn-tf", "train", "--config", "shapes"]
    command += [f"--workdir={folder(name, seed, arguments)}", "--resume=auto"]
    command += [f"--{key}={value}" for key, value in values.items()]
    subprocess.run([*command, *options, *arguments.overrides], check=True)


def scores(name, arguments):
    """The four scores of each seed that is there, in %, (seeds, 4)."""
    files = [
        folder(name, seed, arguments) / "report/scores.json" for seed in range(arguments.seeds)
    ]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    return np.array([[100 * one[score] for score in SCORES] for one in found])


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
        cells = [f"{score:.1f}" for score in found.mean(axis=0)]
        cells += [" / ".join(f"{iou:.1f}" for iou in found[:, MEAN_IU])]
        size = sizes[name]
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
    staged = iou["fcn8s, staged"]
    bars = {
        "32s < 16s < 8s, the same steps": iou["fcn32s"] < iou["fcn16s"] < iou["fcn8s"],
        "32s < 16s < 8s, staged": iou["fcn32s"] < iou["fcn16s, staged"] < staged,
        "score layers alone below all": iou["fcn8s, score layers alone"] < iou["fcn8s"],
        "at once within 1.5 points of staged": abs(iou["fcn8s_atonce"] - staged) <= 1.5,
        "a quarter of the pixels within 2 points": abs(
            iou["fcn8s, a quarter of the pixels"] - iou["fcn8s"]
        )
        <= 2,
    }
    for bar, met in bars.items():
        print(f"{bar}: {met}")
    return all(bars.values())


if __name__ == "__main__":
    sys.exit(main())
