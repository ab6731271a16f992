"""TFDS data sets of 10,000 and 100,000 records: time to the first batch, memory over a pass.

    python benchmarks/records.py

In both formats, each pass in a process of its own. Exits with 1 where the first batch takes more
than 5 s, or where the memory of the larger data set is above 1.1 times that of the smaller one.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data import BATCH, batches_of, tfds_data, write_folder
from memory import peak_mb
from photographs import prepare
from toy import exit_code, parse

FIRST_BATCH_S_AT_MOST = 5.0
GROWTH_AT_MOST = 1.1
DRAWN = 200  # images that are drawn; the records repeat them
SIZE_PX = (96, 128)
CROP_PX = 64
FORMATS = ("array_record", "tfrecord")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--records", type=int, nargs=2, default=[10_000, 100_000])
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parse(parser, records=[2 * BATCH, 4 * BATCH], formats=FORMATS[:1])
    if arguments.measure:
        return measure(arguments.measure, arguments.records[0])
    missed, rows = False, []
    for file_format in arguments.formats:
        peaks = []
        for records in arguments.records:
            first_s, peak, speed = measured(file_format, records)
            rows.append(f"| {file_format} | {records} | {first_s:.1f} | {peak:.0f} | {speed:.0f} |")
            peaks.append(peak)
            missed |= first_s > FIRST_BATCH_S_AT_MOST
        missed |= peaks[1] > GROWTH_AT_MOST * peaks[0]
    head = "| format | records | first batch, s | peak, MB | images/s |\n|---|---|---|---|---|"
    print(head, *rows, sep="\n")
    return exit_code(missed, arguments)


def measured(file_format, records):
    """What `measure` prints of a new data set, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder, "drawn"), min(DRAWN, records), SIZE_PX)
        prepared = prepare(Path(folder, "drawn"), records, file_format, Path(folder, "tfds"))
        command = [sys.executable, __file__, "--measure", prepared, "--records", str(records), "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return map(float, done.stdout.split()[-3:])


def measure(prepared, records):
    """Prints seconds to the first batch, the peak of memory over a pass in MB, and images/s."""
    started = time.perf_counter()
    batches = batches_of(tfds_data(prepared, batch_size=BATCH, crop_px=CROP_PX))
    next(batches)
    first_s = time.perf_counter() - started
    for _ in range(records // BATCH - 1):
        next(batches)
    speed = records / (time.perf_counter() - started)
    print(first_s, peak_mb(), speed)


if __name__ == "__main__":
    sys.exit(main())
