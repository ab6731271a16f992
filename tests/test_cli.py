"""The commands in processes of their own: what they print, write and exit with."""

import contextlib
import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fcn_tf.commands import train
from fcn_tf.errors import InputError, RunError
from tests.data.test_folder import make_folder, spoil_value
from tests.models.test_published import published_tensors
from tests.processes import ROOT, command, start

TINY = [
    "--model.width=0.0625",
    "--model.head_units=8",
    "--training.max_steps=2",
    "--data.batch_size=2",
]


def test_help_imports_no_tensorflow():
    code = (
        "import sys\n"
        "from fcn_tf.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for key in ("--variant", "--data.crop_px", "--training.max_steps", "--print_config"):
        assert key in done.stdout


def test_importing_the_package_imports_no_tensorflow():
    code = "import sys, fcn_tf; assert 'tensorflow' not in sys.modules; print(fcn_tf.__version__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_train_then_evaluate_from_an_empty_folder(
    tmp_path, few_scenes_dir, run_here, few_figures, monkeypatch
):
    """The figures are those of the first process."""
    network = ("--variant=fcn32s", "--model.trunk=alexnet", "--model.geometry=caffe")
    done = command(*network, f"--data.tfds_dir={few_scenes_dir}", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    run = tmp_path / "runs/shapes-fcn32s"
    written = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {
        "README.md",
        "config.yaml",
        "metrics.jsonl",
        "model.keras",
        "report/learning_curve.png",
        "report/sample_sheet.png",
        "report/scores.json",
    } <= written
    assert {name for name in written if Path(name).name.startswith(".")} == {".lock"}

    scores = json.loads((run / "report/scores.json").read_text())
    again = run_here("evaluate", "--model", str(run), "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again/scores.json").read_text()) == scores
    assert f"{100 * scores['mean_iou']:.1f} %" in again.stdout
    for name in scores["class_iou"]:
        assert f"IU {name}" in again.stdout

    # A model's file finds its run's data; another split goes beside val's report.
    test = run_here("evaluate", "--model", str(run / "model.keras"), "--split", "test")
    assert test.returncode == 0, test.stderr
    assert json.loads((run / "report/test/scores.json").read_text())["split"] == "test"
    assert json.loads((run / "report/scores.json").read_text()) == scores

    # The next run takes the next name, and a run's config.yaml runs it again, here without steps.
    def fit(run, place, *, folder, **others):
        folder.log.write({"step": 1, "split": "train", "loss": 1.0, "mean_iou": 0.5})
        folder.save_model()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fcn_tf.training.loop.fit", fit)
    done = run_here(f"--config={run}/config.yaml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/shapes-fcn32s-2/model.keras").exists()


def refused(done, *parts):
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_the_users_mistakes_exit_with_2_and_one_line(tmp_path, run_here):
    refused(command("--variant=fcn4s"), "variant", "fcn4s", "fcn8s_atonce")
    refused(run_here("--data.crop=3"), "data.crop", "data.crop_px")
    formats = ("export", "--model=m", "--out=o", "--formats", "saved_model", "tflite", "onnx")
    refused(run_here(*formats), "tflite belongs to no option", '"[a, b]"')
    refused(run_here("--training.max_steps=many"), "training.max_steps", "int", "many")
    refused(run_here("--config=nothing"), "nothing", "shapes")
    refused(run_here(f"--data.data_dir={tmp_path}/none"), "no such folder")
    refused(run_here("evaluate", f"--model={tmp_path}"), "is no model", "model.keras")
    refused(run_here("evaluate"), "model")
    # Data that a recipe leaves to the command line: it is the model that is missing.
    data = ("--config=camvid", f"--data.data_dir={tmp_path}")
    refused(run_here("evaluate", f"--model={tmp_path}/m.keras", *data), "m.keras is no model")
    refused(
        run_here("evaluate", f"--model={tmp_path}", "--data.name=shapes", "--data.data_dir=x"),
        "data.data_dir",
        "data.name=shapes",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_published_weights_become_a_model_that_is_scored(
    tmp_path, few_scenes_dir, run_here, few_figures, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tensors = published_tensors("fcn16s", num_classes=6, width=0.0625, head_units=8)
    np.savez(tmp_path / "fcn16s.npz", **tensors)
    names = ["background", "disc", "ring", "triangle", "cross", "bar"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    arguments = ["import-weights", "fcn16s.npz", "--out=imported.keras"]
    named = "--class_names=classes.txt"
    done = command(*arguments, "--variant=fcn16s", named, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"{len(tensors)} tensors moved; 6 classes, background to bar" in done.stdout
    data = ("--data.name=shapes", f"--data.tfds_dir={few_scenes_dir}")
    done = run_here("evaluate", "--model=imported.keras", *data)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report/scores.json").exists()

    refused(run_here(*arguments, "--variant=fcn16s"), "imported.keras exists already")
    arguments[2] = "--out=other.keras"
    refused(run_here(*arguments, "--variant=fcn8s"), "is not fcn8s", "fcn16s")
    refused(run_here(*arguments), "variant")
    refused(run_here(*arguments[:2], "--out=m.h5", "--variant=fcn16s"), ".keras")
    assert not (tmp_path / "other.keras").exists()


@pytest.mark.slow
def test_check_data_ends_with_1_when_there_are_findings(tmp_path, run_here, monkeypatch):
    make_folder(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    arguments = ["check-data", "--data.data_dir=data", "--data.ignore_label=11"]
    clean = run_here(*arguments, "--json")
    assert clean.returncode == 0, clean.stderr
    assert json.loads(clean.stdout)["problems"] == []
    spoil_value(tmp_path / "data")
    found = command(*arguments, cwd=tmp_path)
    assert found.returncode == 1
    assert found.stderr == "fcn-tf: 1 error: training would refuse this.\n"
    assert "masks/train/b.png: value 7" in found.stdout
    assert (tmp_path / "check-data/sample_sheet.png").exists()
    refused(run_here("check-data", "--data.data_dir=nowhere"), "no such folder")


def test_imagenet_off_line_is_one_line_with_the_way_out(tmp_path):
    make_folder(tmp_path / "data")
    offline = {"https_proxy": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path / "keras")}
    arguments = [f"--data.data_dir={tmp_path}/data", "--data.ignore_label=11"]
    # At full width; the data are read, and then no network of that size is kept for long.
    arguments += ["--model.weights=imagenet", "--model.weights_layers=convolutions"]
    arguments += ["--model.head_units=8", "--training.max_steps=2"]
    done = command(*arguments, cwd=tmp_path, extra=offline)
    refused(
        done,
        "cannot be had",
        "--model.weights FILE",
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    )
    assert not (tmp_path / "runs").exists()


def test_a_workdir_that_holds_a_run_is_left_alone(tmp_path, few_scenes_dir, run_here):
    (tmp_path / "config.yaml").write_text("mine\n")
    done = run_here(f"--workdir={tmp_path}", f"--data.tfds_dir={few_scenes_dir}", *TINY)
    refused(done, str(tmp_path), "holds a run", "--workdir")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "mine\n"


def test_a_broken_mask_is_refused_before_a_run_folder_is_made(tmp_path, run_here, monkeypatch):
    make_folder(tmp_path / "data")
    spoil_value(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    done = run_here(f"--data.data_dir={tmp_path}/data", "--data.ignore_label=11", *TINY)
    refused(done, "b.png", "value 7", "0..2")
    assert not (tmp_path / "runs").exists()


def test_a_traceback_only_on_demand(tmp_path, run_here):
    shown = run_here(f"--data.data_dir={tmp_path}/none", "--traceback")
    assert shown.returncode == 2
    assert "Traceback" in shown.stderr
    assert "Traceback" not in run_here(f"--data.data_dir={tmp_path}/none").stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("no\nsuch file"), 2, "no such file"),
        (RunError("lost"), 1, "lost"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C; what was saved stays."),
        (signal.SIGTERM, 143, "stopped by SIGTERM; what was saved stays."),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "the disk is full; what was there is untouched. Free some space. ([Errno 28] No space "
            "left on device)",
        ),
        (
            MemoryError(),
            1,
            "out of memory: give a smaller --tile_px (evaluate, predict) or --batch_size "
            "(predict); training has --data.crop_px, --data.batch_size, "
            "--training.accumulate_steps and --model.width.",
        ),
        (KeyError("x"), 1, "failed: KeyError: 'x' (--traceback shows where)"),
        (None, 0, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_how_a_command_ends(run_here, monkeypatch, error, code, message):
    """A signal comes while the command is at work."""

    def run(values, parser, arguments):
        if isinstance(error, signal.Signals):
            signal.raise_signal(error)
        elif error:
            raise error

    monkeypatch.setattr(train, "COMMAND", train.COMMAND._replace(run=run))
    done = run_here("train", "--seed=1")
    assert (done.returncode, done.stderr) == (code, f"fcn-tf: {message}\n" if message else "")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so_and_is_resumed(
    tmp_path, few_scenes_dir, run_here, few_figures, monkeypatch, number, code
):
    arguments = [f"--data.tfds_dir={few_scenes_dir}", *TINY, "--training.max_steps=100000"]
    arguments += ["--training.log_every_steps=1", "--workdir=run"]
    run = start(*arguments, cwd=tmp_path)
    while not (tmp_path / "run/metrics.jsonl").exists():
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(timeout=0.2)
            pytest.fail(run.stderr.read())
    run.send_signal(number)
    _, stderr = run.communicate(timeout=300)
    assert run.returncode == code
    assert stderr.count("\n") == 1
    assert "Traceback" not in stderr
    assert (tmp_path / "run/report/learning_curve.png").exists()
    assert (tmp_path / "run/model.keras").exists()
    (checkpoint,) = (tmp_path / "run/checkpoints").iterdir()
    step = int(checkpoint.stem.removeprefix("step-"))
    # Without --config: the run's own.
    monkeypatch.chdir(tmp_path)
    again = run_here("--workdir=run", "--resume", f"--training.max_steps={step + 1}")
    assert again.returncode == 0, again.stderr
    assert f"Resumed after step {step} of {step + 1}." in again.stdout
    assert (tmp_path / "run/report/scores.json").exists()
