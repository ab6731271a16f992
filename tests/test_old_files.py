"""Files of version 0.1.0 still load, answer the same and are gone on with.

tests/fixtures/README.md says how they were made. Only the names of `fcn_tf` itself are used.
"""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import fcn_tf
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions

FIXTURES = Path(__file__).parent / "fixtures"
CLASSES = ["ground", "square", "disc"]
SCORES_SINCE = ("mean_dice", "class_dice")  # which that version did not have
MODELS = {
    "run": "old_run",
    "keras": "old_run/model.keras",
    "saved_model": "old_export/saved_model",
    "float32": "old_export/tflite/1/old_export-float32.tflite",
    "int8": "old_export/tflite/1/old_export-int8.tflite",
}


@pytest.fixture(scope="module")
def expected():
    with np.load(FIXTURES / "expected.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A current folder with a copy of the run and of its data, where config.yaml says they are."""
    for name in ("data", "old_run"):
        shutil.copytree(FIXTURES / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)


def val(kind, number):
    return np.asarray(Image.open(FIXTURES / f"data/{kind}/val/{number}.png"))


def assert_answers(path, kind, expected, same_label=0.999, numbers=(0, 1)):
    predictor = fcn_tf.Predictor(path)
    for number in numbers:
        image = val("images", number)
        labels = expected[f"{kind}_labels_{number}"]
        assert np.unique(labels).tolist() == [0, 1, 2]
        answer = predictor(image)
        assert answer.shape == labels.shape
        assert (answer == labels).mean() >= same_label
        if kind != "int8":
            scores = predictor.scores(image)[::3, ::3]
            np.testing.assert_allclose(scores, expected[f"{kind}_scores_{number}"], atol=1e-5)


def log_lines():
    return [json.loads(line) for line in Path("old_run/metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_answers_what_it_did(kind, expected):
    # Processors round the 8-bit layers differently.
    assert_answers(FIXTURES / MODELS[kind], kind, expected, 0.99 if kind == "int8" else 0.999)


def test_the_model_is_of_the_same_network():
    for kind in ("run", "keras"):
        model = fcn_tf.load_model(FIXTURES / MODELS[kind])
        assert list(model.class_names) == CLASSES


def test_the_scores_on_val_are_the_same(expected):
    examples = [
        {
            "image": val("images", number),
            "segmentation_mask": val("masks", number)[..., None],
        }
        for number in range(4)
    ]
    found = fcn_tf.evaluate(FIXTURES / "old_run", examples)
    names = {name for name in expected if name.startswith("evaluate_")}
    for name in SCORES_SINCE:
        del found[name]
    assert names == {f"evaluate_{name}" for name in found}
    matrix = expected["evaluate_confusion_matrix"]
    moved = np.abs(found.pop("confusion_matrix") - matrix).sum() / 2
    assert moved <= 0.001 * matrix.sum()
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[f"evaluate_{name}"], atol=2e-3, err_msg=name)


def test_the_configuration_is_read():
    config = fcn_tf.load_config(FIXTURES / "old_run/config.yaml")
    assert (config.variant, config.seed) == ("fcn8s", 6)
    assert (config.data.name, config.data.data_dir) == ("folder", "data")
    assert list(config.data.crop_px) == [32, 48]
    assert (config.model.width, config.model.head_units) == (1 / 64, 8)
    assert (config.optimizer.learning_rate, config.optimizer.ema) == (0.01, 0.9)
    assert config.training.max_steps == 100


def test_the_run_is_resumed_where_it_was_stopped(copied, expected, few_figures):
    before, steps = log_lines(), []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    changes = {"resume": "always", "training.max_steps": 110}
    config = fcn_tf.load_config("old_run/config.yaml", **changes)
    fcn_tf.train(config, "old_run", callbacks=[count])
    assert steps == list(range(85, 110))
    lines = log_lines()
    assert lines[: len(before)] == before
    new = lines[len(before) :]
    assert [(line["step"], line["split"]) for line in new] == [
        (100, "train"),
        (110, "train"),
        (110, "val"),
    ]
    # Only with the optimizer's state, the average, and the losses of the line half done.
    losses = [line["loss"] for line in new]
    np.testing.assert_allclose(losses, expected["resumed_losses"], rtol=1e-3)
    assert list(fcn_tf.load_model("old_run").class_names) == CLASSES
    assert set(np.unique(fcn_tf.Predictor("old_run")(val("images", 0)))) == {0, 1, 2}
    assert fcn_tf.load_config("old_run/config.yaml").training.max_steps == 110


def test_the_model_is_exported_again(copied, expected):
    # int8 only where the data of the run are found by its config.yaml.
    tflite = TFLiteOptions(quantize=("float32", "int8"), size=val("images", 0).shape[:2])
    options = ExportOptions(tflite=tflite)
    written = fcn_tf.export("old_run/model.keras", "again", options=options)
    assert list(written["tflite"]) == ["float32", "int8"]
    assert written["tflite"]["float32"]["mean_iou"] > 0.6
    # The file has the size of the first image.
    assert_answers("again/tflite/1/again-float32.tflite", "float32", expected, numbers=(0,))
    assert_answers("again/saved_model", "saved_model", expected)
