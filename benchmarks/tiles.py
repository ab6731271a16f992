"""Prediction in tiles: memory and time over the image's area, and what the margins cost.

    python benchmarks/tiles.py [--width 0.25] [--megapixels 4 16 64 256]

Each image is predicted in a process of its own; memory is its peak less the decoded image and the
labels. Below 9 megapixels every tile touches the border, is fed less, and takes less memory. Prints
Markdown; exits with 1 where memory grows by over 10 % above 9 megapixels, time is not linear within
10 %, or tiles of 1024 px cost over 10 % more than the pixels that they are fed.
"""

import argparse
import json
import math
import subprocess
import sys
import time

import numpy as np
from memory import forget_peak, peak_mb
from toy import exit_code, parse


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--head_units", type=int, default=512)
    parser.add_argument("--megapixels", type=float, nargs="+", default=(4, 16, 64, 256))
    parser.add_argument("--tile_px", type=int, default=1024)
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    arguments = parse(parser, width=1 / 64, head_units=4, megapixels=(0.2,), tile_px=128)
    if arguments.one:
        return print(json.dumps(predict(arguments.one, arguments)))
    rows = []
    for megapixels in arguments.megapixels:
        command = [sys.executable, *sys.argv, "--one", str(megapixels)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    print("| megapixels | s | s a megapixel fed | fed / image | memory, GB | image + labels, GB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['megapixels']:.0f} | {row['seconds']:.1f} | {row['per_fed']:.3f} "
            f"| {row['fed']:.2f} | {row['memory_gb']:.2f} | {row['image_gb']:.2f} |"
        )
    whole = rows[0]["whole_per_megapixel"]
    overhead = rows[-1]["per_fed"] / whole
    # From three tiles a side on, one of them has a margin all around.
    whole_tiles = 9 * arguments.tile_px**2 / 1024**2
    memory = [row["memory_gb"] for row in rows if row["megapixels"] > whole_tiles]
    pace = [row["per_fed"] for row in rows]
    grows = max(memory) / min(memory) if memory else math.nan
    print(f"\nmemory above {whole_tiles:g} megapixels, most to least: {grows:.3f}")
    print(f"time a pixel fed, most to least: {max(pace) / min(pace):.3f}")
    print(f"time a pixel fed, to that of a whole image of {arguments.tile_px} px: {overhead:.3f}")
    missed = grows > 1.1 or max(pace) > 1.1 * min(pace) or overhead > 1.1
    return exit_code(missed, arguments)


def predict(megapixels, arguments):
    from fcn_tf.inference.keras_model import loaded_from_keras
    from fcn_tf.inference.predictor import Predictor
    from fcn_tf.models import build_fcn

    model = build_fcn("fcn8s", 21, width=arguments.width, head_units=arguments.head_units)
    predictor = Predictor(loaded_from_keras(model), tile_px=arguments.tile_px)
    side_px = math.isqrt(round(megapixels * 1e6))
    image = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    tile_px = arguments.tile_px
    tile = image[:tile_px, :tile_px]
    whole_seconds = min(timed(predictor, tile) for _ in range(4))
    # Every size of tile once, so that nothing is set up while the clock runs.
    predictor(image[: 3 * tile_px, : 3 * tile_px])
    forget_peak()
    seconds = timed(predictor, image)
    peak = 1e6 * peak_mb()
    fed = sum(
        math.prod(part.stop - part.start for part in fed) for _, fed in predictor.tiles(image.shape)
    )
    held = image.nbytes + image.nbytes // 3
    return {
        "megapixels": side_px**2 / 1e6,
        "seconds": seconds,
        "per_fed": seconds / fed * 1e6,
        "fed": fed / side_px**2,
        "memory_gb": (peak - held) / 1e9,
        "image_gb": held / 1e9,
        "whole_per_megapixel": whole_seconds / (tile_px**2 / 1e6),
    }


def timed(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
