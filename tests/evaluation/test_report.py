"""The report: its figures' numbers, its page, two models side by side."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from fcn_tf.classes import voc_palette
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, whole_images
from fcn_tf.evaluation.metrics import confusion_matrix, scores_from_confusion
from fcn_tf.evaluation.report import _evaluate, _extremes, _shown, write_report
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.predictor import Predictor


@pytest.fixture(scope="module")
def source(few_scenes_dir):
    return open_source(DataConfig(name="shapes", tfds_dir=few_scenes_dir))


def painted(source, wrong_share, seed=0):
    """A `LoadedModel` that knows the truth of `val` and gets a share of each image's rows wrong."""
    answers = {}
    for number, example in enumerate(whole_images(source, "val").as_numpy_iterator()):
        truth = example["segmentation_mask"][..., 0].copy()
        truth[truth == 255] = 0
        rows = int(wrong_share * number / 40 * len(truth))
        truth[:rows] = (truth[:rows] + 1) % 6
        answers[example["image"].tobytes()] = truth

    def labels(images):
        return np.stack([answers[image.tobytes()] for image in images])

    def scores(images):
        return 0.75 * np.eye(6, dtype=np.float32)[labels(images)] + np.float32(0.25 / 6)

    return LoadedModel(
        scores=scores,
        labels=labels,
        num_classes=6,
        class_names=source.class_names,
        palette=voc_palette(6).tolist(),
        margin_px=224,
    )


def test_a_report(source, tmp_path, capsys):
    network = painted(source, 0.5)
    write_report({"runs/a": Predictor(network)}, source, "val", tmp_path)
    summary = json.loads((tmp_path / "scores.json").read_text())
    matrix = sum(
        confusion_matrix(
            example["segmentation_mask"][..., 0], network.labels(example["image"][None])[0], 6
        )
        for example in whole_images(source, "val").as_numpy_iterator()
    )
    assert summary["confusion_matrix"] == matrix.tolist()
    scores = scores_from_confusion(matrix)
    assert summary["mean_iou"] == pytest.approx(scores["mean_iou"])
    right = scores["pixel_accuracy"]
    sure = 0.75 + 0.25 / 6
    assert summary["calibration_error"] == pytest.approx(abs(sure - right), abs=1e-6)
    assert f"{100 * scores['mean_iou']:.1f} %" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 8
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert min(image.size) > 100
    assert "http" not in re.sub('base64,[^"]+', "", page)  # it needs nothing but itself
    for name in ("best", "worst", "median", "class_iou", "confusion", "edges", "calibration"):
        assert (tmp_path / f"{name}.png").is_file()


def test_the_worst_and_the_best_are_what_they_are_called(source):
    """The first image of val is all right, the last is half wrong."""
    predictor = Predictor(painted(source, 0.5))
    ious = _evaluate(predictor, source, "val").part_ious
    assert ious[0] == 1
    extremes = _extremes(np.argsort(ious))
    assert set(ious[extremes["best"]]) <= set(np.sort(ious)[-4:])
    assert set(ious[extremes["worst"]]) <= set(np.sort(ious)[:4])
    assert ious[extremes["worst"]].max() < ious[extremes["median"]].min()
    shown = list(_shown(extremes["worst"], predictor, source, split="val", image_ious=ious))
    titles = [float(sample["title"].split(": ")[1].removesuffix(" %")) for sample in shown]
    np.testing.assert_allclose(titles, 100 * np.sort(ious)[:4], atol=0.051)
    wrong = (shown[0]["truth"] != shown[0]["prediction"]) & (shown[0]["truth"] != 255)
    red = shown[0]["errors"][..., 0].astype(int) - shown[0]["errors"][..., 1] > 100
    np.testing.assert_array_equal(red, wrong)


def test_two_models_side_by_side(source, tmp_path, capsys):
    predictors = {
        name: Predictor(painted(source, share)) for name, share in (("good", 0.1), ("poor", 0.9))
    }
    write_report(predictors, source, "val", tmp_path)
    both = json.loads((tmp_path / "compared.json").read_text())
    assert both["good"]["mean_iou"] > both["poor"]["mean_iou"] + 0.1
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("mean IU"))
    good, poor = (100 * both[name]["mean_iou"] for name in ("good", "poor"))
    assert line.split()[2:] == [f"{good:.1f}", f"{poor:.1f}", f"{poor - good:+.1f}", "%"]
    assert "B is poor" in (tmp_path / "report.html").read_text()
