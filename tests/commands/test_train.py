"""The arguments of `fcn-tf train`: which recipe they are read on top of."""

import os

import pytest

from fcn_tf.commands.train import COMMAND
from fcn_tf.config.files import find_config


def recipe(name):
    return f"--config={find_config(name)}"


@pytest.mark.parametrize(
    ("arguments", "prepared"),
    [
        ([], [recipe("shapes")]),
        (["--seed=1"], [recipe("shapes"), "--seed=1"]),
        # A recipe comes first: what else is given goes over it.
        (["--seed=1", "--config=voc"], [recipe("voc"), "--seed=1"]),
        (
            ["--seed", "1", "--config", "voc", "--variant=fcn16s"],
            [
                recipe("voc"),
                "--seed",
                "1",
                "--variant=fcn16s",
            ],
        ),
        (["--config=shapes", "--config=voc"], [recipe("voc")]),
        # Own data are no scenes.
        (["--data.data_dir=d", "--seed=1"], ["--data.data_dir=d", "--seed=1"]),
        (["--data.data_dir", "d"], ["--data.data_dir", "d"]),
        (["--data.name=voc"], ["--data.name=voc"]),
        (["--data.name=folder"], ["--data.name=folder"]),
        (["--data.name=tfds"], ["--data.name=tfds"]),
        (["--data.tfds_name=pets", "--seed=1"], ["--data.tfds_name=pets", "--seed=1"]),
        (["--data.name=shapes"], [recipe("shapes"), "--data.name=shapes"]),
        (["--data.data_dir=d", "--config=camvid"], [recipe("camvid"), "--data.data_dir=d"]),
        # A bare --resume has a value.
        (["--resume"], [recipe("shapes"), "--resume=always"]),
        (["--resume", "--seed=1"], [recipe("shapes"), "--resume=always", "--seed=1"]),
        (["--resume", "auto"], [recipe("shapes"), "--resume", "auto"]),
        (["--resume=never"], [recipe("shapes"), "--resume=never"]),
    ],
)
def test_the_recipe_that_arguments_are_read_on_top_of(arguments, prepared):
    assert COMMAND.prepared(arguments) == prepared


@pytest.mark.parametrize(
    ("resume", "is_own"),
    [("--resume", True), ("--resume=auto", True), ("--resume=never", False), ("--seed=1", False)],
)
def test_a_run_is_resumed_with_its_own_recipe(tmp_path, resume, is_own):
    workdir = f"--workdir={tmp_path}"
    own = tmp_path / "config.yaml"
    spelled = "--resume=always" if resume == "--resume" else resume
    assert COMMAND.prepared([workdir, resume]) == [recipe("shapes"), workdir, spelled]
    own.write_text("seed: 1\n")
    expected = f"--config={own}" if is_own else recipe("shapes")
    assert COMMAND.prepared([workdir, resume]) == [expected, workdir, spelled]
    named = COMMAND.prepared([workdir, resume, "--config=voc"])
    assert named == [recipe("voc"), workdir, spelled]


def test_a_run_without_a_folder_takes_the_name_of_its_recipe(tmp_path, run_here, monkeypatch):
    """To resume, it is the newest of that name; each is full here, and refused."""
    monkeypatch.chdir(tmp_path)
    for name in ("own-fcn16s", "shapes-fcn8s", "shapes-fcn8s-2", "own-fcn8s"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "file").write_text("")
    (tmp_path / "mine").write_text("")
    data = ["--data.data_dir=nowhere", "--variant=fcn16s"]
    for arguments, workdir in (
        (["--resume"], "runs/shapes-fcn8s-2"),
        (["--resume=auto", *data], "runs/own-fcn16s"),
        (["--workdir=mine"], "mine"),
        (["--workdir=mine", "--resume"], "mine"),
    ):
        done = run_here("train", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(f"fcn-tf: workdir={workdir} is not an empty folder")
        is_generated = "Training on generated scenes" in done.stdout
        assert is_generated == ("--data.data_dir=nowhere" not in arguments)


@pytest.mark.parametrize(
    ("own", "devices", "expected"), [(None, 2, "0"), ("1", 2, "1"), (None, None, None)]
)
def test_a_processor_that_is_split_does_without_onednn(
    tmp_path, run_here, monkeypatch, own, devices, expected
):
    """Its kernels would fail there; what the user says stays."""
    variable = "TF_ENABLE_ONEDNN_OPTS"
    monkeypatch.setenv(variable, own or "")  # so that it is put back afterwards
    if own is None:
        monkeypatch.delenv(variable)
    found = []
    monkeypatch.setattr(
        "fcn_tf.training.loop.train", lambda *given: found.append(os.environ.get(variable))
    )
    option = [f"--distribution.virtual_devices={devices}"] if devices else []
    assert run_here("train", f"--workdir={tmp_path}", *option).returncode == 0
    assert found == [expected]
