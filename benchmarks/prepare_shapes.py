"""How long `shapes` takes to prepare, in a process that has already imported TFDS.

python benchmarks/prepare_shapes.py
"""

import argparse
import sys
import tempfile
import time

from toy import exit_code, parse

from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source
from fcn_tf.data.shapes import SPLIT_SIZES

SECONDS_AT_MOST = 15


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, help="of each split, in place of all")
    arguments = parse(parser, images=10)
    if arguments.images is not None:
        SPLIT_SIZES.update(dict.fromkeys(SPLIT_SIZES, arguments.images))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        open_source(DataConfig(name="shapes", tfds_dir=folder))
        seconds = time.perf_counter() - started
    print(f"prepared in {seconds:.1f} s")
    return exit_code(seconds > SECONDS_AT_MOST, arguments)


if __name__ == "__main__":
    sys.exit(main())
