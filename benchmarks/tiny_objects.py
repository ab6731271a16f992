"""Class weights and losses where one class has one pixel in a thousand.

    python benchmarks/tiny_objects.py
    python benchmarks/tiny_objects.py --ways dice "cross_entropy + dice" focal ohem

Draws 48 images for train and 12 for val, 96x128 px (height x width), each with a disc of 2 px
radius on a textured ground, and trains a narrow FCN-8s on them in each way: cross-entropy with
class weights, or another loss without them.
Prints the IU of the disc on val, how many of its pixels are found (recall), and how many that are
found are right (precision): means of the seeds, and the IU of each.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from toy import exit_code, parse

import fcn_tf

CLASSES = ("ground", "disc")
SIZE_PX, RADIUS_PX = (96, 128), 2
IMAGES = {"train": 48, "val": 12}
WEIGHTINGS = ("none", "sqrt_median_frequency", "median_frequency")
LOSSES = {"dice": {}, "cross_entropy + dice": {}, "focal": {}, "ohem": {"loss.ohem_share": 0.05}}
WAYS = {way: {"loss.class_weights": way} for way in WEIGHTINGS}
WAYS |= {name: {"loss.name": name, **settings} for name, settings in LOSSES.items()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ways", nargs="+", default=WEIGHTINGS, choices=WAYS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--head_units", type=int, default=64)
    least = {"ways": ["sqrt_median_frequency", "ohem"], "seeds": 1, "steps": 1}
    arguments = parse(parser, **least, width=0.03125, head_units=4)
    lines = ["| way | IU of the disc | recall | precision | IU of each seed |"]
    lines += ["|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "discs")
        share = write_images(data_dir)
        for way in arguments.ways:
            seeds = range(arguments.seeds)
            found = np.array([disc(data_dir, way, seed, arguments) for seed in seeds])
            cells = [f"{100 * value:.1f} %" for value in np.nanmean(found, axis=0)]
            each = " / ".join(f"{100 * iou:.1f}" for iou in found[:, 0])
            lines.append(f"| {way} | {' | '.join(cells)} | {each} |")
    print("\n".join(lines))
    print(f"The disc is {100 * share:.2f} % of the pixels of train.")
    return exit_code(False, arguments)


def write_images(data_dir):
    """Writes the data set; the share of the disc's pixels in train."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: SIZE_PX[0], : SIZE_PX[1]]
    pixels = []
    for split, count in IMAGES.items():
        for number in range(count):
            texture = 30 * np.sin(columns / 9 + number)[..., None]
            image = 90 + texture + random.normal(0, 12, (*SIZE_PX, 3))
            row, column = (random.integers(RADIUS_PX, side - RADIUS_PX) for side in SIZE_PX)
            mask = (rows - row) ** 2 + (columns - column) ** 2 <= RADIUS_PX**2
            image[mask] = random.normal((220, 40, 40), 10, (mask.sum(), 3))
            for kind, array in (("images", image.clip(0, 255)), ("masks", mask)):
                path = data_dir / kind / split / f"{number:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array.astype(np.uint8)).save(path)
            if split == "train":
                pixels.append(mask.mean())
    (data_dir / "classes.txt").write_text("\n".join(CLASSES))
    return np.mean(pixels)


def disc(data_dir, way, seed, arguments):
    """IU, recall and precision of the disc, on val, after a training in this way."""
    values = {
        "seed": seed,
        "data.data_dir": str(data_dir),
        "data.batch_size": 8,
        "model.width": arguments.width,
        "model.head_units": arguments.head_units,
        "model.dropout": 0.0,
        **WAYS[way],
        "training.max_steps": arguments.steps,
        "training.eval_every_steps": arguments.steps,
    }
    workdir = data_dir.parent / f"{way}-{seed}"
    fcn_tf.train(fcn_tf.load_config(None, **values), workdir)
    scores = json.loads((workdir / "report/scores.json").read_text())
    confusion = np.array(scores["confusion_matrix"], float)
    hits = confusion[1, 1]
    found, there = confusion[:, 1].sum(), confusion[1].sum()
    return hits / (found + there - hits), hits / there, hits / max(found, 1)


if __name__ == "__main__":
    raise SystemExit(main())
