"""A run that is interrupted and resumed, and what it is resumed from."""

import dataclasses
import json
import shutil
import signal

import keras
import numpy as np
import pytest

from fcn_tf.config.schema import Config, DataConfig, ModelConfig, TrainingConfig
from fcn_tf.errors import InputError, RunError
from fcn_tf.models import load_model
from fcn_tf.training.checkpoints import checkpoints
from fcn_tf.training.loop import train
from fcn_tf.training.workdir import locked
from tests.training.conftest import write_uneven_folder
from tests.training.runs import (
    assert_same_run,
    change,
    config_of,
    lines_of,
    stop_after,
    weights_of,
)


@pytest.fixture
def config(tmp_path):
    """Everything that has a state: dropout, sampling, an average, a log line half done."""
    write_uneven_folder(tmp_path / "data")
    return config_of(tmp_path / "data")


@pytest.fixture(autouse=True)
def ctrl_c():
    """As in a terminal: a shell that runs the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def resume(config, workdir):
    return train(dataclasses.replace(config, resume="always"), workdir)


@pytest.mark.slow
def test_a_stop_before_the_first_evaluation_leaves_a_model(config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", callbacks=[stop_after(1)])
    np.testing.assert_array_equal(
        weights_of(tmp_path / "run")["score_fr/bias"],
        np.load(tmp_path / "run/checkpoints/step-000000001.npz")["average/score_fr/bias"],
    )
    assert (tmp_path / "run/config.yaml").exists()


@pytest.mark.slow
def test_a_run_goes_on_once_a_broken_file_is_mended(tmp_path, monkeypatch):
    """To the same bits, from the step before the one that met it."""
    write_uneven_folder(tmp_path / "data")
    config = Config(
        variant="fcn32s",
        data=DataConfig(data_dir=str(tmp_path / "data"), batch_size=2, crop_px=32),
        model=ModelConfig(trunk="alexnet", geometry="caffe", width=1 / 64, head_units=4),
        training=TrainingConfig(max_steps=7, eval_every_steps=7, log_every_steps=3),
    )
    train(config, tmp_path / "whole")
    monkeypatch.setattr("fcn_tf.data.start_check.CHECKED_AT_START", 1)
    path = tmp_path / "data/images/train/5.png"
    contents = path.read_bytes()
    path.write_bytes(b"")
    told = (
        r"/train/5\.png: cannot be read as an image .* --resume goes on after step [1-5]; with --"
    )
    with pytest.raises(RunError, match=told):
        train(config, tmp_path / "run")
    path.write_bytes(contents)
    resume(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_a_run_with_an_auxiliary_head_goes_on_with_it(config, tmp_path):
    """To the same bits; what is saved for use has none of it, and a run without it is another."""
    model = ModelConfig(width=1 / 64, dropout=0.1, auxiliary_weight=0.5)
    config = dataclasses.replace(config, variant="fcn_resnet50", model=model)
    config = change(config, "training", max_steps=4, eval_every_steps=2)

    def keep(epoch, logs):
        if epoch == 0:  # as a process leaves it that is killed behind step 2
            shutil.copytree(tmp_path / "whole", tmp_path / "run")

    callback = keras.callbacks.LambdaCallback(on_epoch_end=keep)
    train(config, tmp_path / "whole", callbacks=[callback])
    assert [path.stem for path in checkpoints(tmp_path / "run/checkpoints")] == ["step-000000002"]
    resume(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    held = np.load(tmp_path / "run/checkpoints/step-000000004.npz")
    assert held["model/aux_classifier_4/bias"].any()  # it started at 0
    saved = load_model(tmp_path / "run")
    assert not [layer.name for layer in saved.layers if layer.name.startswith("aux")]
    with pytest.raises(InputError, match=r"aux_classifier_0/kernel is only in the checkpoint"):
        resume(change(config, "model", auxiliary_weight=0.0), tmp_path / "run")


@pytest.mark.slow
def test_what_a_killed_process_left_is_removed(config, tmp_path):
    """Killed between the log and the checkpoint, and while it wrote three files."""
    config = change(config, "training", max_steps=2, eval_every_steps=1)
    train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", callbacks=[stop_after(1)])
    run = tmp_path / "run"
    (run / "model.keras").unlink()
    unfinished = [".model.77.keras", ".config.77.yaml", "checkpoints/.step-000000002.77.npz"]
    for name in unfinished:
        (run / name).write_bytes(b"PK")
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": 1, "split": "val", "loss": 9.0}) + "\n")
        log.write(json.dumps({"step": 2, "split": "train", "loss": 9.0}) + '\n{"step": 2, "spl')
    resume(config, run)
    assert_same_run(tmp_path / "whole", run)
    assert not [name for name in unfinished if (run / name).exists()]


@pytest.mark.slow
def test_a_signal_in_the_last_evaluation_is_obeyed(config, tmp_path):
    press = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: signal.raise_signal(signal.SIGINT)
    )
    config = change(config, "training", max_steps=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", callbacks=[press])
    assert not (tmp_path / "run/report/scores.json").exists()
    assert (tmp_path / "run/report/learning_curve.png").exists()


@pytest.mark.slow
def test_the_best_model_is_written_though_the_process_ended_before(config, tmp_path):
    """The checkpoint comes first; a kill may fall between the two."""
    workdir = train(config, tmp_path / "run")
    best = weights_of(workdir)
    _, newest = checkpoints(workdir / "checkpoints")
    steps = [line["step"] for line in lines_of(workdir) if line["split"] == "val"]
    ious = [line["mean_iou"] for line in lines_of(workdir) if line["split"] == "val"]
    if steps[int(np.argmax(ious))] != 6:
        newest.unlink()
    (workdir / "model.keras").unlink()
    resume(config, workdir)
    for path, value in weights_of(workdir).items():
        np.testing.assert_array_equal(best[path], value, err_msg=path)


@pytest.mark.slow
def test_resuming_needs_a_run_and_auto_begins_one(config, tmp_path):
    config = change(config, "training", max_steps=1)
    with pytest.raises(InputError, match="holds no run to resume"):
        resume(config, tmp_path / "run")
    automatic = dataclasses.replace(config, resume="auto")
    (tmp_path / "run").mkdir()
    train(automatic, tmp_path / "run")
    train(automatic, tmp_path / "run")  # nothing is left to do
    assert [line["step"] for line in lines_of(tmp_path / "run")] == [1, 1]
    longer = change(automatic, "training", max_steps=2, eval_every_steps=None)
    train(longer, tmp_path / "run")
    assert [line["step"] for line in lines_of(tmp_path / "run")] == [1, 1, 2, 2]
    assert "max_steps: 2" in (tmp_path / "run/config.yaml").read_text()
    with locked(tmp_path / "run"), pytest.raises(InputError, match="another process"):
        train(automatic, tmp_path / "run")
    log = (tmp_path / "run/metrics.jsonl").read_text()
    for path in checkpoints(tmp_path / "run/checkpoints"):
        path.unlink()
    with pytest.raises(InputError, match="a model but no checkpoint"):
        train(automatic, tmp_path / "run")
    assert (tmp_path / "run/metrics.jsonl").read_text() == log


@pytest.mark.slow
def test_when_the_time_is_up_the_run_ends_well_and_goes_on(config, tmp_path, capsys):
    config = change(config, "training", max_minutes=1e-6)
    workdir = train(config, tmp_path / "run")
    assert [(line["step"], line["split"]) for line in lines_of(workdir)] == [
        (1, "train"),
        (1, "val"),
    ]
    assert "Ended after step 1; --resume continues" in capsys.readouterr().out
    assert (workdir / "report/scores.json").exists()
    resume(change(config, "training", max_minutes=None), workdir)
    assert lines_of(workdir)[-1]["step"] == 6
