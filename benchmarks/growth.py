"""Whether time is linear in pixels and in images.

    python benchmarks/growth.py [--width 0.25]

Forward passes to labels on whole images of 0.1 to 16 megapixels, and `evaluate` on 25 to 400
images, in turns: no median may lie more than 10 % off a line, a fixed part and so much for each.
Prints Markdown for docs/performance.md; exits with 1 where one does.
"""

import argparse
import math
import statistics
import sys
import time

import numpy as np
from toy import exit_code, parse

IMAGE_PX = (300, 400)
CLASSES, OFF_AT_MOST = 21, 0.10


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--head_units", type=int, default=512)
    parser.add_argument("--megapixels", type=float, nargs="+", default=(0.1, 0.4, 1.6, 4, 16))
    parser.add_argument("--images", type=int, nargs="+", default=(25, 50, 100, 400))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parse(
        parser,
        width=1 / 64,
        head_units=4,
        megapixels=(0.01, 0.02, 0.04),
        images=(1, 2, 4),
        rounds=1,
    )
    import tensorflow as tf

    import fcn_tf
    from fcn_tf.inference.keras_model import loaded_from_keras

    model = fcn_tf.build_fcn(
        "fcn8s", CLASSES, width=arguments.width, head_units=arguments.head_units
    )
    labels = loaded_from_keras(model).labels
    random = np.random.default_rng(0)

    def whole(megapixels):
        # Three to four, in multiples of 32: no size pays for a border that others have not.
        height = 32 * round(math.sqrt(megapixels * 1e6 * 3 / 4) / 32)
        width = 32 * round(height * 4 / 3 / 32)
        image = tf.constant(random.integers(0, 256, (1, height, width, 3), np.uint8))
        return height * width / 1e6, lambda: labels(image)

    def split(images):
        example = {
            "image": random.integers(0, 256, (*IMAGE_PX, 3), np.uint8),
            "segmentation_mask": np.zeros((*IMAGE_PX, 1), np.uint8),
        }
        return images, lambda: fcn_tf.evaluate(model, [example] * images)

    pixels = growth("megapixels", map(whole, arguments.megapixels), arguments.rounds)
    images = growth("images", map(split, arguments.images), arguments.rounds)
    return exit_code(max(pixels, images) > OFF_AT_MOST, arguments)


def growth(unit, sides, rounds):
    """Prints the time of each side, and of the line; returns how far off it the farthest is."""
    sides = dict(sides)
    seconds = {amount: [] for amount in sides}
    for round_ in range(rounds + 1):
        for amount, run in sides.items():
            started = time.perf_counter()
            run()
            if round_:  # the first one compiles
                seconds[amount].append(time.perf_counter() - started)
    amounts = np.array(list(seconds))
    medians = np.array([statistics.median(taken) for taken in seconds.values()])
    slope, fixed = np.polyfit(amounts, medians, 1, w=1 / medians)
    off = medians / (fixed + slope * amounts) - 1
    print(f"\n| {unit} | s | least to most | ms for one | off the line |\n|---|---|---|---|---|")
    for index, (amount, taken) in enumerate(seconds.items()):
        median = medians[index]
        print(f"| {amount:.4g} | {median:.3f} | {min(taken):.3f} to {max(taken):.3f} ", end="")
        print(f"| {1000 * median / amount:.1f} | {100 * off[index]:+.1f} % |")
    print(f"\n{1000 * fixed:.0f} ms and {1000 * slope:.1f} for each", flush=True)
    return np.abs(off).max()


if __name__ == "__main__":
    sys.exit(main())
