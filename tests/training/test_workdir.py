import errno
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import filelock
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.files import data_of_run, find_config, load_config
from fcn_tf.config.schema import Config, TrainingConfig
from fcn_tf.errors import InputError
from fcn_tf.training.checkpoints import Place
from fcn_tf.training.workdir import (
    RunFolder,
    check_workdir,
    default_workdir,
    locked,
    write_config,
)


def test_a_runs_folder_is_named_after_its_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_workdir(None, "fcn8s") == Path("runs/own-fcn8s")
    assert default_workdir("somewhere/voc.yaml", "fcn8s") == Path("runs/voc-fcn8s")
    assert default_workdir("mine/fcn8s.yaml", "fcn8s") == Path("runs/fcn8s")
    paper = find_config("paper/fcn8s")
    assert default_workdir(paper, "fcn8s") == Path("runs/paper-fcn8s")
    assert default_workdir(paper, "fcn16s") == Path("runs/paper-fcn8s-fcn16s")
    Path("runs/mine").mkdir(parents=True)
    assert default_workdir("runs/mine/config.yaml", "fcn8s") == Path("runs/mine-2")


def test_what_is_resumed_is_the_newest_run_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_workdir("voc.yaml", "fcn8s", "auto") == Path("runs/voc-fcn8s")
    Path("runs/voc-fcn8s").mkdir(parents=True)
    Path("runs/voc-fcn8s-2").mkdir(parents=True)
    assert default_workdir("voc.yaml", "fcn8s", "always") == Path("runs/voc-fcn8s-2")
    assert default_workdir("voc.yaml", "fcn8s", "never") == Path("runs/voc-fcn8s-3")


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    run = tmp_path / "runs/mine"
    with locked(run):
        with pytest.raises(InputError, match="mine: another process trains in it"), locked(run):
            raise AssertionError
        assert [path.name for path in run.iterdir()] == [".lock"]
    assert not check_workdir(run)  # a folder with nothing but the lock is empty
    with locked(run):
        pass


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(lock):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with locked(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="file/run cannot be made: "),
        locked(tmp_path / "file/run"),
    ):
        raise AssertionError


NOTHING, REFUSED = "holds no run to resume", "is not an empty folder"
HELD = "holds a run and is left alone"
NO_CHECKPOINT = "holds a model but no checkpoint to go on from"


@pytest.mark.parametrize(
    ("files", "answers"),  # to never, auto and always
    [
        (None, [False, False, NOTHING]),
        ([], [False, False, NOTHING]),
        ([".lock", ".config.77.yaml"], [False, False, NOTHING]),
        (["photo.jpg"], [REFUSED] * 3),
        (["model.keras"], [REFUSED] * 3),
        (["config.yaml"], [HELD, False, False]),
        (["config.yaml", "model.keras"], [HELD, NO_CHECKPOINT, NO_CHECKPOINT]),
        (["config.yaml", "checkpoints/step-000000001.npz"], [HELD, True, True]),
        (["config.yaml", "model.keras", "checkpoints/step-000000001.npz"], [HELD, True, True]),
        (["config.yaml", "checkpoints/step-000000001.npz.damaged"], [HELD, False, False]),
    ],
)
def test_which_folder_is_resumed_begun_or_refused(tmp_path, files, answers):
    run = tmp_path / "run"
    if files is not None:
        run.mkdir()
    for name in files or ():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("")
    for resume, answer in zip(("never", "auto", "always"), answers, strict=True):
        if isinstance(answer, bool):
            assert check_workdir(run, resume) is answer
        else:
            with pytest.raises(InputError, match=f"^workdir={run} {answer}"):
                check_workdir(run, resume)


def test_the_configuration_is_written_and_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    left = [tmp_path / ".model.77.keras", tmp_path / "checkpoints/.step-000000002.77.npz"]
    for path in left:
        path.write_bytes(b"PK")
    config = Config(seed=4, workdir=str(tmp_path), resume="auto")
    write_config(tmp_path, config)
    assert load_config(tmp_path / "config.yaml") == Config(seed=4)
    assert not [path for path in left if path.exists()]


def test_the_configuration_means_the_same_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "street").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.keras").touch()
    write_config("run", load_config(**{"data.data_dir": "street", "init_from": "runs/coarse"}))
    monkeypatch.chdir("/")
    assert load_config(tmp_path / "run/config.yaml").init_from == f"{tmp_path}/runs/coarse"
    assert data_of_run(tmp_path / "run").data_dir == f"{tmp_path}/street"


def folder_of(workdir, **training):
    """The files of a run of which only the configuration and the variables are read."""
    return RunFolder(
        workdir,
        SimpleNamespace(
            config=Config(training=TrainingConfig(**training)),
            variables={"model/kernel": tf.Variable([1.5, 2.5])},
            about={"variant": "fcn8s"},
            average=SimpleNamespace(in_place=nullcontext),
        ),
        Place(step=4, evaluated_step=3),
    )


def test_the_learning_curve_is_of_every_line(tmp_path, monkeypatch):
    """Of those of the command before, too."""
    lines = [
        {"step": 3, "split": "train", "loss": 2.0, "mean_iou": 0.25},
        {"step": 3, "split": "val", "loss": 3.0, "mean_iou": 0.125},
        {"step": 6, "split": "train", "loss": 1.0, "mean_iou": None},
        {"step": 6, "split": "val", "loss": 2.5, "mean_iou": 0.5},
    ]
    drawn = []
    monkeypatch.setattr(
        "fcn_tf.training.workdir.write_figure", lambda path, figure: drawn.append((path, figure))
    )
    folder = folder_of(tmp_path)
    folder.draw_curve()
    assert not drawn  # there are no lines yet
    for line in lines[:2]:
        folder.log.write(line)
    folder.close()
    folder = folder_of(tmp_path)
    for line in lines[2:]:
        folder.log.write(line)
    folder.draw_curve()
    folder.close()
    ((path, figure),) = drawn
    assert path == tmp_path / "report/learning_curve.png"
    for axis, values in zip(
        figure.axes,
        (
            {"train": [[3, 2], [6, 1]], "val": [[3, 3], [6, 2.5]]},
            {"train": [[3, 0.25]], "val": [[3, 0.125], [6, 0.5]]},
        ),
        strict=True,
    ):
        shown = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
        assert shown == values


def test_a_checkpoint_holds_the_runs_variables(tmp_path):
    folder = folder_of(tmp_path)
    folder.save_checkpoint(Place(step=7))
    folder.close()
    saved = np.load(tmp_path / "checkpoints/step-000000007.npz")
    assert saved["model/kernel"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        # A profile of the steps 3 to 5 begins when two are done, and ends when five are.
        ([0, 2, 5, 6], ["start", 2, "stop", 5]),
        ([1, 2, 4, 8], ["start", 2, "stop", 8]),
        ([3, 4], ["start", 3, "stop", "closed"]),  # resumed in its midst, and ended
        ([5, 6], []),
    ],
)
def test_a_profile_is_of_the_steps_that_are_asked_for(tmp_path, monkeypatch, capsys, steps, asked):
    happened, now = [], None
    monkeypatch.setattr(
        tf.profiler.experimental,
        "start",
        lambda logdir: happened.extend(["start", now]) or logdirs.append(logdir),
    )
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: happened.extend(["stop", now]))
    logdirs = []
    folder = folder_of(tmp_path, profile_steps=(3, 5))
    for now in steps:
        folder.profile(now)
    now = "closed"
    folder.close()
    assert happened == asked
    assert logdirs == [str(tmp_path / "tensorboard")] * ("start" in asked)
    said = capsys.readouterr().out
    assert (f"Profile written to {tmp_path / 'tensorboard'}." in said) == ("stop" in asked)


def test_without_steps_there_is_no_profile(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.profiler.experimental, "start", None)
    folder = folder_of(tmp_path)
    for step in range(3):
        folder.profile(step)
    folder.close()
