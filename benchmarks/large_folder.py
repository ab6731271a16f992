"""A folder of 10,000 images: the time to the first batch, and memory over a pass.

    python benchmarks/large_folder.py

Exits with 1 above 5 s, or where the last tenth of the pass takes more than 1.02
times the memory of the second tenth.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from data import BATCH, IMAGES, ours, write_folder
from memory import peak_mb, resident_mb
from toy import exit_code, parse

FIRST_BATCH_S_AT_MOST = 5.0
GROWTH_AT_MOST = 1.02


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    arguments = parse(parser, images=10 * BATCH)
    drawn = min(IMAGES, arguments.images)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), drawn)
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            for number in range(drawn, arguments.images):
                source = Path(folder, kind, "train", f"{number % drawn:04d}.{suffix}")
                os.link(source, source.with_stem(f"{number:05d}"))
        started = time.perf_counter()
        batches = ours(folder)
        next(batches)
        first_s = time.perf_counter() - started
        print(f"First batch after {first_s:.1f} s", flush=True)
        memory_mb = []
        for _ in range(arguments.images // BATCH):
            next(batches)
            memory_mb.append(resident_mb())
    tenths = [part.max() for part in np.array_split(memory_mb, 10)]
    print("Resident memory of each tenth, MB:", " ".join(f"{mb:.0f}" for mb in tenths))
    growth = tenths[-1] / tenths[1]
    print(f"Last tenth to second: {growth:.3f}; peak {peak_mb():.0f} MB")
    met = first_s <= FIRST_BATCH_S_AT_MOST and growth <= GROWTH_AT_MOST
    return exit_code(not met, arguments)


if __name__ == "__main__":
    sys.exit(main())
