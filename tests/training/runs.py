"""Runs varied and read."""

import dataclasses
import json

from fcn_tf.models import load_model


def change(config, section, **values):
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **values)}
    )


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def weights_of(workdir):
    return {v.path: v.numpy() for v in load_model(workdir).variables}
