"""Runs varied and read."""

import dataclasses
import json

import numpy as np

from fcn_tf.models import load_model
from fcn_tf.training.checkpoints import checkpoints


def change(config, section, **values):
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **values)}
    )


def lines_of(workdir, torn=False):
    """The lines of a run's log; the last may be torn."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n") or not torn]


def timeless(workdir):
    """The lines without what differs from run to run."""
    lines = lines_of(workdir)
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def weights_of(workdir):
    return {v.path: v.numpy() for v in load_model(workdir).weights}


def newest_of(workdir):
    return np.load(checkpoints(workdir / "checkpoints")[-1])
