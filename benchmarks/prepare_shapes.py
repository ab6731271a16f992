"""How long `shapes` takes to prepare, in a process that has already imported TFDS.

python benchmarks/prepare_shapes.py
"""

import sys
import tempfile
import time

from fcn_tf.data.pipeline import tfds_source

SECONDS_AT_MOST = 15


def main():
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        tfds_source("shapes", folder)
        seconds = time.perf_counter() - started
    print(f"prepared in {seconds:.1f} s")
    sys.exit(seconds > SECONDS_AT_MOST)


if __name__ == "__main__":
    main()
