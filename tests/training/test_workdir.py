import errno
from pathlib import Path

import filelock
import pytest

from fcn_tf.config.files import find_config
from fcn_tf.errors import InputError
from fcn_tf.training.workdir import check_workdir, default_workdir, locked


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
