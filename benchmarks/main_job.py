"""The newcomer's first command, timed whole: scenes prepared, trained, scored, drawn.

python benchmarks/main_job.py
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS_AT_MOST = 300
MEAN_IOU_AT_LEAST = 0.70
DRAWN = ("learning_curve.png", "sample_sheet.png", "report.html")


def main():
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            f"fcn-tf train --variant fcn8s --data.tfds_dir {folder}/tfds --workdir {folder}/run",
            shell=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        report = Path(folder, "run/report")
        scores = json.loads((report / "scores.json").read_text())
        drawn = all((report / name).exists() for name in DRAWN)
    print(f"{seconds:.0f} s, mean IU {100 * scores['mean_iou']:.1f} %, sheet and curve: {drawn}")
    met = seconds <= SECONDS_AT_MOST and scores["mean_iou"] >= MEAN_IOU_AT_LEAST and drawn
    sys.exit(not met)


if __name__ == "__main__":
    main()
