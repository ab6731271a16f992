"""Coarse to fine by stages: 32s, then 16s, then 8s, each from the weights of the one before.

    python benchmarks/staged.py --out runs/staged

Each stage is held against the stage before trained on for the same number of
steps. Everything else is that of configs/shapes.yaml. Runs that are there
already are not repeated. Prints the table of docs/weights.md.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from runs import cells, mean_iou

# By run: its variant and the run that it starts from.
RUNS = {
    "fcn32s": ("fcn32s", None),
    "fcn32s-on": ("fcn32s", "fcn32s"),
    "fcn16s": ("fcn16s", "fcn32s"),
    "fcn16s-on": ("fcn16s", "fcn16s"),
    "fcn8s": ("fcn8s", "fcn16s"),
}
STAGES = (("fcn16s", "fcn32s-on"), ("fcn8s", "fcn16s-on"))
GAIN_AT_LEAST = 0.01


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/staged"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first_steps", type=int, default=2000, help="steps of the first 32s")
    parser.add_argument("--stage_steps", type=int, default=1000, help="steps of each stage")
    arguments = parser.parse_args()

    scores_of = {
        name: np.array([run(name, seed, arguments) for seed in range(arguments.seeds)])
        for name in RUNS
    }
    print("| stage | mean IU of each seed, % | mean | the stage before, trained on | mean | gain |")
    print("|---|---|---|---|---|---|")
    print(f"| fcn32s | {cells(scores_of['fcn32s'])} |  |  |  |")
    gains = []
    for stage, before in STAGES:
        gains.append(scores_of[stage].mean() - scores_of[before].mean())
        gain = f"{100 * gains[-1]:+.1f}"
        print(f"| {stage} | {cells(scores_of[stage])} | {cells(scores_of[before])} | {gain} |")
    met = min(gains) >= GAIN_AT_LEAST
    print(f"Each stage gains at least {100 * GAIN_AT_LEAST:.0f} point: {met}")
    sys.exit(not met)


def run(name, seed, arguments):
    """The mean IU of a run of `RUNS` and a seed."""
    variant, start = RUNS[name]
    steps = str(arguments.stage_steps if start else arguments.first_steps)
    options = ["--variant", variant, "--seed", str(seed)]
    options += ["--training.max_steps", steps, "--training.eval_every_steps", steps]
    if start:
        options += ["--init_from", str(arguments.out / f"{start}-seed{seed}")]
    return mean_iou(arguments.out / f"{name}-seed{seed}", options)


if __name__ == "__main__":
    main()
