"""How fast the commands answer `--help`: the median of several starts.

python benchmarks/start_up.py
"""

import argparse
import statistics
import subprocess
import sys
import time

from toy import exit_code, parse

SECONDS_AT_MOST = 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parse(parser, rounds=1)
    slow = False
    for command in (["fcn-tf", "train", "--help"], [sys.executable, "train.py", "--help"]):
        times = []
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
        median = statistics.median(times)
        print(f"{' '.join(command)}: {median:.2f} s ({min(times):.2f} to {max(times):.2f})")
        slow |= median > SECONDS_AT_MOST
    return exit_code(slow, arguments)


if __name__ == "__main__":
    sys.exit(main())
