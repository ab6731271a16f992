"""Exports a network: `python export.py …` is `fcn-tf export …`."""

import sys

from fcn_tf.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
