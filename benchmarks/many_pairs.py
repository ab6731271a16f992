"""Folders of 20,000 and 200,000 tiny pairs, and an index of 10 million.

    python benchmarks/many_pairs.py

1. Each folder in processes of their own: the time to the first batch, from opening the folder; the
   same for a run that resumes in its third epoch; the peak of memory over 2,000 batches. The
   imports are not counted.
2. The names of 10 million pairs, of which no file is there, on disk: the bytes of memory a pair
   that the index and the orders of two epochs take, and the time to the first record at the
   start, in the eighth epoch, and of one of eight machines.

Exits with 1 where a first batch takes more than 10 s, where the larger folder takes more than 1.1
times the memory of the smaller one, or where the index takes more than 16 bytes a pair.
"""

import argparse
import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import forget_peak, peak_mb, resident_mb
from PIL import Image
from toy import exit_code, parse

FIRST_BATCH_S_AT_MOST = 10.0
GROWTH_AT_MOST = 1.1
INDEX_BYTES_AT_MOST = 16
DRAWN = 50  # pairs that are drawn; the files repeat them
SIZE_PX = 16
CLASSES = 3
BATCH = 8


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs=2, default=[20_000, 200_000])
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--index", type=int, default=10_000_000)
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--skip", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--measure_index", action="store_true", help=argparse.SUPPRESS)
    arguments = parse(parser, pairs=[2 * BATCH, 4 * BATCH], batches=4, index=1000)
    if arguments.measure:
        return measure(arguments.measure, arguments.skip, arguments.batches)
    if arguments.measure_index:
        return measure_index(arguments.index)
    rows, peaks, first_s = [], [], []
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory() as folder:
            write_pairs(Path(folder), pairs)
            taken = []
            for skip in (0, 2 * pairs + pairs // 2):
                options = ["--skip", str(skip), "--batches", str(arguments.batches)]
                taken.append(in_process("--measure", folder, *options))
        (first, cpu, peak), (resumed, _, _) = taken
        rows.append(f"| {pairs} | {first:.1f} | {cpu:.1f} | {resumed:.1f} | {peak:.0f} |")
        peaks.append(peak)
        first_s += [first, resumed]
    print("| pairs | first batch, s | of the processor, s | resumed, s | peak, MB |", flush=True)
    print("|---|---|---|---|---|", *rows, sep="\n", flush=True)
    byte, *seconds = in_process("--measure_index", "--index", str(arguments.index))
    print(f"Index of {arguments.index} pairs: {byte:.1f} bytes a pair; first record after")
    print("{:.1f} s, in the eighth epoch {:.1f} s, of a machine of eight {:.1f} s".format(*seconds))
    missed = max(first_s) > FIRST_BATCH_S_AT_MOST or peaks[1] > GROWTH_AT_MOST * peaks[0]
    return exit_code(missed or byte > INDEX_BYTES_AT_MOST, arguments)


def in_process(*options):
    """The numbers in the last line that this script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, *options], capture_output=True, text=True, check=True
    )
    return [float(word) for word in re.findall(r"[\d.]+", done.stdout.splitlines()[-1])]


def write_pairs(folder, pairs):
    """So many pairs of train and two of val."""
    rng = np.random.default_rng(0)
    for kind, shape, values in (("images", (SIZE_PX, SIZE_PX, 3), 256), ("masks", None, CLASSES)):
        drawn = []
        for _ in range(DRAWN):
            file = io.BytesIO()
            pixels = rng.integers(0, values, shape or (SIZE_PX, SIZE_PX), np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
            drawn.append(file.getvalue())
        for split, size in (("train", pairs), ("val", 2)):
            (folder / kind / split).mkdir(parents=True)
            for number in range(size):
                path = folder / kind / split / f"{number:07d}.png"
                path.write_bytes(drawn[number % DRAWN])
    (folder / "classes.txt").write_text("\n".join(map(str, range(CLASSES))))


def measure(folder, skip, batches):
    """Prints seconds to the first batch, those of the processor, and the peak of memory in MB."""
    from fcn_tf.config.schema import Config, DataConfig
    from fcn_tf.data import open_source, training_batches

    data = DataConfig(name="folder", data_dir=folder, batch_size=BATCH, crop_px=SIZE_PX)
    config = Config(data=data).data
    started, used = time.perf_counter(), time.process_time()
    source = open_source(config)
    stream = iter(training_batches(source, config, seed=0, skip_samples=skip))
    next(stream)
    first_s, cpu_s = time.perf_counter() - started, time.process_time() - used
    for _ in range(batches):
        next(stream)
    print(first_s, cpu_s, peak_mb())


def measure_index(pairs):
    """Prints the bytes of memory a pair, and seconds to the first record of three streams."""
    from fcn_tf.data.folder import pair_record
    from fcn_tf.data.lines import Kept
    from fcn_tf.data.named_pairs import NamedPairs, row_of
    from fcn_tf.data.order import training_order
    from fcn_tf.data.source import Source

    def source_of(count):
        kept = Kept()
        for number in range(count):
            file = f"train/{number:09d}.png"
            kept.add(row_of(f"{number:09d}", f"images/{file}", f"masks/{file}"))
        named = NamedPairs(Path("/data/street"), kept.lines())
        return Source(
            ("a", "b"),
            {"train": count},
            records=lambda split: None,
            image_size=lambda record: None,
            decode=lambda record, window=None: {},
            record_at=lambda split, number: pair_record(named.in_order, number),
        )

    def stream(source, skip=0, is_wanted=None):
        started = time.perf_counter()
        records = iter(training_order(source, 0, skip, is_wanted))
        next(records)
        return time.perf_counter() - started, records

    stream(source_of(100))  # what is loaded and compiled once is not the index
    before = resident_mb()
    forget_peak()
    source, taken = source_of(pairs), []
    for skip, is_wanted in (
        (0, None),
        (7 * pairs + pairs // 2, None),
        (pairs - 5, lambda number: number % 8 == 3),  # it goes on into the second epoch
    ):
        seconds, records = stream(source, skip, is_wanted)
        for _ in range(20):
            next(records)
        taken.append(seconds)
        del records
    print((peak_mb() - before) * 1e6 / pairs, *taken)


if __name__ == "__main__":
    sys.exit(main())
