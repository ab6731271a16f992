"""How fast the commands answer `--help`: the median of several starts.

python benchmarks/start_up.py
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 7
SECONDS_AT_MOST = 0.5


def main():
    slow = False
    for command in (["fcn-tf", "train", "--help"], [sys.executable, "train.py", "--help"]):
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
        median = statistics.median(times)
        print(f"{' '.join(command)}: {median:.2f} s ({min(times):.2f} to {max(times):.2f})")
        slow |= median > SECONDS_AT_MOST
    sys.exit(slow)


if __name__ == "__main__":
    main()
