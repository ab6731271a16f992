import json

import keras
import numpy as np
import pytest

from fcn_tf.classes import VOC_CLASSES, VOID
from fcn_tf.config.files import load_config
from fcn_tf.models import load_model
from fcn_tf.training.loop import train
from tests.data.voc_archives import VOC_LISTS, labels, write_sbd, write_voc
from tests.processes import ROOT

# After so many of the recipe's steps it is about 0.71, after all 0.787: benchmarks/main_job.py.
STEPS = 1750
MEAN_IOU_AT_LEAST = 0.65


@pytest.mark.slow
def test_the_main_job_learns_its_scenes(tmp_path, tfds_dir, few_figures):
    """The rates are those of the whole recipe, of which less than the half is run."""
    values = {"data.tfds_dir": tfds_dir, "training.eval_every_steps": STEPS}
    config = load_config("shapes", **values)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = True

    workdir = train(config, tmp_path / "run", [Stop()])
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert (lines[-1]["step"], lines[-1]["split"]) == (STEPS, "val")
    assert lines[-1]["mean_iou"] >= MEAN_IOU_AT_LEAST


def test_the_published_recipe_of_segnet(tmp_path):
    """The block of docs/segnet.md is a recipe, with the numbers of the authors' two files."""
    _, block = (ROOT / "docs/segnet.md").read_text(encoding="utf-8").split("```yaml\n")
    (tmp_path / "segnet.yaml").write_text(block.split("```")[0], encoding="utf-8")
    folder = {"data.data_dir": "CamVid"}
    config = load_config(tmp_path / "segnet.yaml", **folder)
    assert (config.variant, config.model.weights_layers) == ("segnet", "convolutions")
    assert config.data.class_names == load_config("camvid", **folder).data.class_names
    weights = config.loss.class_weights
    assert (config.loss.reduction, len(weights), sum(weights)) == (
        "pixels",
        11,
        pytest.approx(32.2134),
    )
    sgd = config.optimizer
    assert (sgd.name, sgd.learning_rate, sgd.schedule, sgd.warmup_steps) == (
        "sgd",
        1e-3,
        "constant",
        0,
    )
    assert (sgd.momentum, sgd.weight_decay, sgd.bias_multiplier) == (0.9, 5e-4, 2)
    assert (config.data.batch_size, config.training.max_steps) == (4, 40_000)
    assert (config.data.flip, config.data.scale_range, config.data.color) == (False, (1, 1), 0)


@pytest.mark.slow
def test_the_voc_recipe_runs_on_archives_of_the_real_format(tmp_path, few_figures):
    """At full width, from the file of a VGG16; only the batch is smaller and the steps are two."""
    (tmp_path / "manual").mkdir()
    write_voc(tmp_path / "manual/VOCtrainval_11-May-2012.tar")
    write_sbd(tmp_path / "manual/benchmark.tgz")
    classifier = keras.applications.VGG16(weights=None)
    classifier.save_weights(tmp_path / "vgg16.weights.h5")
    bias = classifier.get_layer("fc1").bias.shape[0]
    del classifier
    config = load_config(
        "voc",
        **{
            "data.manual_dir": str(tmp_path / "manual"),
            "data.tfds_dir": str(tmp_path / "tfds"),
            "data.batch_size": 2,
            "model.weights": str(tmp_path / "vgg16.weights.h5"),
            "training.max_steps": 2,
        },
    )
    workdir = train(config, tmp_path / "run")
    model = load_model(workdir)
    assert model.get_layer("fc6").kernel.shape == (7, 7, 512, bias)
    assert model.class_names == list(VOC_CLASSES)
    scores = json.loads((workdir / "report/scores.json").read_text())
    assert scores["images"] == 2
    # Every labelled pixel of the unpadded images, once.
    labelled = sum((labels(n) != VOID).sum() for n in VOC_LISTS["val"])
    assert np.sum(scores["confusion_matrix"]) == labelled
