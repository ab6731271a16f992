"""Coarse to fine by stages: 32s, then 16s, then 8s, each from the weights of the one before.

    python benchmarks/staged.py --out runs/staged

Each stage is held against the stage before trained on for the same number of
steps. Everything else is that of configs/shapes.yaml. Runs that are there
already are not repeated. Prints the table of docs/weights.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

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

    mean_iou = {
        name: np.array([run(name, seed, arguments) for seed in range(arguments.seeds)])
        for name in RUNS
    }
    print("| stage | mean IU of each seed, % | mean | the stage before, trained on | mean | gain |")
    print("|---|---|---|---|---|---|")
    print(f"| fcn32s | {row(mean_iou['fcn32s'])} |  |  |  |")
    gains = []
    for stage, before in STAGES:
        gains.append(mean_iou[stage].mean() - mean_iou[before].mean())
        gain = f"{100 * gains[-1]:+.1f}"
        print(f"| {stage} | {row(mean_iou[stage])} | {row(mean_iou[before])} | {gain} |")
    met = min(gains) >= GAIN_AT_LEAST
    print(f"Each stage gains at least {100 * GAIN_AT_LEAST:.0f} point: {met}")
    sys.exit(not met)


def row(scores):
    """The scores of each seed and their mean, in %."""
    each = " / ".join(f"{100 * score:.1f}" for score in scores)
    return f"{each} | {100 * scores.mean():.1f}"


def run(name, seed, arguments):
    """The mean IU on val of a run, trained if it is not there yet."""
    variant, start = RUNS[name]
    workdir = arguments.out / f"{name}-seed{seed}"
    if not (workdir / "report/scores.json").exists():
        steps = arguments.stage_steps if start else arguments.first_steps
        command = ["fcn-tf", "train", "--config", "shapes", "--variant", variant]
        command += ["--seed", str(seed), "--workdir", str(workdir)]
        command += ["--training.max_steps", str(steps), "--training.eval_every_steps", str(steps)]
        if start:
            command += ["--init_from", str(arguments.out / f"{start}-seed{seed}")]
        subprocess.run(command, check=True)
    return json.loads((workdir / "report/scores.json").read_text())["mean_iou"]


if __name__ == "__main__":
    main()
