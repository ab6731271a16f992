"""Crops of large photographs: how long masks in colour take beside grey ones, and how much memory.

    python benchmarks/masks.py

Photographs of 4000 x 6000 px (height x width), batches of one crop of 321 px. The same labels lie
in grey PNGs, in PNGs with a palette and in RGB PNGs. Each mask has been decoded before the time is
taken, as in every epoch but the first. Rounds are interleaved; medians of the seconds a crop, and
the largest memory of a round less that before it. Exits with 1 where a crop with a mask in colour
takes more than twice the time of one with a grey mask.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from data import CROP_PX, write_class_names
from memory import forget_peak, peak_mb, resident_mb
from PIL import Image
from toy import exit_code, parse

from fcn_tf.classes import voc_palette
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, training_batches

IMAGES = 2
WARM_UP = 4 * IMAGES
KINDS = ("grey", "palette", "RGB")
TIMES_GREY_AT_MOST = 2.0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--height_px", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, default=8, help="of each kind in each round")
    arguments = parse(parser, height_px=400, rounds=1, crops=1)
    seconds, memory_mb = ({kind: [] for kind in KINDS} for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        write_folders(Path(folder), arguments.height_px)
        for _ in range(arguments.rounds):
            for kind in KINDS:
                crops = crops_of(Path(folder, kind))
                for _ in range(WARM_UP):
                    next(crops)
                before_mb = resident_mb()
                forget_peak()
                started = time.perf_counter()
                for _ in range(arguments.crops):
                    next(crops)
                seconds[kind].append((time.perf_counter() - started) / arguments.crops)
                memory_mb[kind].append(peak_mb() - before_mb)
    print("| masks | s a crop, median | range | to grey | MB |")
    print("|---|---|---|---|---|")
    grey_s = np.median(seconds["grey"])
    for kind, seen in seconds.items():
        middle = np.median(seen)
        print(
            f"| {kind} | {middle:.2f} | {min(seen):.2f} to {max(seen):.2f} "
            f"| {middle / grey_s:.2f} | {max(memory_mb[kind]):.0f} |"
        )
    missed = max(map(np.median, seconds.values())) > TIMES_GREY_AT_MOST * grey_s
    return exit_code(missed, arguments)


def write_folders(folder, height_px):
    """A folder data set of each kind, with the same photographs and labels."""
    size_px = height_px * 3 // 2, height_px  # as Pillow has it: width, height
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        coarse = rng.integers(0, 256, (48, 72, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size_px, Image.Resampling.BICUBIC)
        cells = rng.integers(0, 21, (40, 60), dtype=np.uint8)
        grey = Image.fromarray(cells).resize(size_px, Image.Resampling.NEAREST)
        palette = grey.copy()
        palette.putpalette(voc_palette().tobytes())
        masks = {"grey": grey, "palette": palette, "RGB": palette.convert("RGB")}
        for kind, mask in masks.items():
            for split in ("train", "val"):
                for what, picture, suffix in (("images", image, "jpg"), ("masks", mask, "png")):
                    path = folder / kind / what / split / f"{number}.{suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture.save(path)
            write_class_names(folder / kind)


def crops_of(folder):
    """Batches of one crop, for ever, decoded one after the other."""
    data = DataConfig(name="folder", data_dir=str(folder), batch_size=1, crop_px=CROP_PX)
    config = Config(data=data).data
    return iter(training_batches(open_source(config), config, seed=0))


if __name__ == "__main__":
    sys.exit(main())
