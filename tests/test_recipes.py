import json

import pytest

from fcn_tf.config_files import load_config
from fcn_tf.training.loop import train

MEAN_IOU_AT_LEAST = 0.70


@pytest.mark.slow
def test_the_main_job_learns_its_scenes(tmp_path, tfds_dir):
    config = load_config("shapes", **{"data.tfds_dir": tfds_dir})
    workdir = train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["split"] == "val"
    assert lines[-1]["mean_iou"] >= MEAN_IOU_AT_LEAST
