"""The newcomer's first command, timed whole: scenes prepared, trained, scored, drawn.

python benchmarks/main_job.py
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from toy import exit_code, parse

SECONDS_AT_MOST = 300
MEAN_IOU_AT_LEAST = 0.70
TOY = ["training.max_steps=2", "model.width=0.0625", "model.head_units=8", "data.batch_size=2"]
DRAWN = ("learning_curve.png", "sample_sheet.png", "report.html")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--options", nargs="*", default=[], help="KEY=VALUE, more of `train`")
    parser.add_argument("--tfds_dir", help="where the scenes are; by default they are drawn")
    arguments = parse(parser, options=TOY)
    with tempfile.TemporaryDirectory() as folder:
        command = ["fcn-tf", "train", "--variant", "fcn8s", "--workdir", f"{folder}/run"]
        command += ["--data.tfds_dir", arguments.tfds_dir or f"{folder}/tfds"]
        command += [f"--{option}" for option in arguments.options]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - started
        report = Path(folder, "run/report")
        scores = json.loads((report / "scores.json").read_text())
        drawn = all((report / name).exists() for name in DRAWN)
    print(f"{seconds:.0f} s, mean IU {100 * scores['mean_iou']:.1f} %, sheet and curve: {drawn}")
    met = seconds <= SECONDS_AT_MOST and scores["mean_iou"] >= MEAN_IOU_AT_LEAST and drawn
    return exit_code(not met, arguments)


if __name__ == "__main__":
    sys.exit(main())
