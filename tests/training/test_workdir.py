from pathlib import Path

from fcn_tf.config.files import find_config
from fcn_tf.training.workdir import default_workdir


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
