"""What finer skips gain: FCN-32s, 16s and 8s on `shapes`, the same steps, several seeds.

    python benchmarks/coarse_to_fine.py --out runs/coarse_to_fine

Everything but the variant and the seed is that of configs/shapes.yaml. Runs
that are there already are not repeated. Prints the README's table.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
from runs import cells, mean_iou

VARIANTS = ("fcn32s", "fcn16s", "fcn8s")
STEP_AT_LEAST = 0.03


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/coarse_to_fine"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="passed on to train, after --")
    arguments = parser.parse_args()

    scores_of = {
        variant: np.array([run(variant, seed, arguments) for seed in range(arguments.seeds)])
        for variant in VARIANTS
    }
    print("| variant | mean IU of each seed, % | mean | spread | gain |")
    print("|---|---|---|---|---|")
    previous = None
    for variant, scores in scores_of.items():
        gain = "" if previous is None else f"{100 * (scores.mean() - previous):+.1f}"
        print(f"| {variant} | {cells(scores)} | {100 * np.ptp(scores):.1f} | {gain} |")
        previous = scores.mean()
    met = all(
        finer.mean() - coarser.mean() >= max(STEP_AT_LEAST, np.ptp(coarser), np.ptp(finer))
        for coarser, finer in itertools.pairwise(scores_of.values())
    )
    print(
        f"Each step gains at least {100 * STEP_AT_LEAST:.0f} points and more than the spread of "
        f"either of its variants: {met}"
    )
    sys.exit(not met)


def run(variant, seed, arguments):
    """The mean IU of a variant and a seed."""
    options = ["--variant", variant, "--seed", str(seed), *arguments.overrides]
    return mean_iou(arguments.out / f"{variant}-seed{seed}", options)


if __name__ == "__main__":
    main()
