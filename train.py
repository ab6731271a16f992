"""Trains a network: `python train.py --variant fcn8s` is `fcn-tf train --variant fcn8s`."""

import sys

from fcn_tf.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
