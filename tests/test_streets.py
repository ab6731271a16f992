"""benchmarks/streets.py: what each row trains, what is recorded, and the tables made of it.

tests/test_benchmarks.py runs it whole. Here a stand-in takes the place of the trainings.
"""

import importlib
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from fcn_tf.config.files import dump_config, load_config

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def streets(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("streets")
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def call(streets, monkeypatch, tmp_path):
    """Calls the script; its folder is tmp_path, and the file of results is in it."""
    photographs = streets.toy_photographs(tmp_path / "photographs")
    weights = tmp_path / "vgg16.weights.h5"
    weights.write_bytes(b"13 convolutions")

    def call(*options):
        given = [f"--results={tmp_path / 'streets.json'}", f"--out={tmp_path}", *options]
        if "--table" not in options:
            given += [f"--data_dir={photographs}", f"--weights={weights}"]
        monkeypatch.setattr(sys, "argv", ["streets.py", *given])
        return streets.main()

    return call


@pytest.fixture
def trained(streets, monkeypatch):
    """What is trained in the place of networks: pairs of the run's folder and its `Config`."""
    runs = []

    def train_run(recipe, workdir, values):
        config = load_config(recipe, **values)
        assert config.init_from is None or Path(config.init_from).exists()
        runs.append((workdir, config))
        scores = dict.fromkeys(streets.SCORES, len(runs) / 100)
        scores |= {"class_iou": {"sky": 0.5, "pole": None}, "images": 2}
        (workdir / "checkpoints").mkdir(parents=True)
        (workdir / "report").mkdir()
        (workdir / "report/scores.json").write_text(json.dumps(scores))
        (workdir / "config.yaml").write_text(dump_config(config, "1.0"))
        # 250 steps of 4 images at 2 and then at 4 a second: 500 + 350 seconds.
        lines = [(250, "train", 2.0), (600, "train", 4.0), (600, "val", None)]
        keys = ("step", "split", "images_per_second")
        text = "".join(json.dumps(dict(zip(keys, line, strict=True))) + "\n" for line in lines)
        (workdir / "metrics.jsonl").write_text(text)

    def write_start(path, values, weights):
        path.write_bytes(weights.read_bytes())

    monkeypatch.setattr(streets, "train_run", train_run)
    monkeypatch.setattr(streets, "write_start", write_start)
    return runs


def rows_in(tmp_path):
    return json.loads((tmp_path / "streets.json").read_text())["rows"]


def test_each_row_is_trained_as_it_is_called(call, trained, tmp_path):
    rows = ["fcn32s", "fcn16s, staged", "fcn8s, score layers alone", "fcn8s, random weights"]
    call("--rows", *rows, "fcn8s, fc6_kernel 1", "fcn8s, a quarter of the pixels")
    names = [(row["row"], row["seed"]) for row in rows_in(tmp_path)]
    assert names == [
        *(("fcn32s", 0), ("fcn16s, staged", 0), ("fcn32s", 1), ("fcn16s, staged", 1)),
        *((rows[2], 0), (rows[3], 0)),
        *(("fcn8s, fc6_kernel 1", 0), ("fcn8s, a quarter of the pixels", 0)),
    ]
    runs = dict(zip(names, trained, strict=True))
    for (name, seed), (_, config) in runs.items():
        assert config.variant == re.match(r"fcn\d+s", name)[0]
        assert config.seed == seed
        assert config.training.max_steps == config.training.eval_every_steps == 600
        assert config.training.checkpoint_every_steps == 100
        assert config.loss.name == "cross_entropy"
        assert config.model.fc6_kernel == (1 if "fc6" in name else 7)
        assert config.loss.sample_fraction == (0.25 if "quarter" in name else 1)
        assert config.model.trainable == ("score" if "score" in name else "all")
        own = "staged" not in name and name not in rows[2:]
        assert config.model.weights == (str(tmp_path / "vgg16.weights.h5") if own else "none")
        assert config.model.weights_layers == ("convolutions" if own else "all")
    starts = {key: config.init_from for key, (_, config) in runs.items() if config.init_from}
    assert starts.pop((rows[2], 0)).endswith("-start.keras")
    assert starts == {(rows[1], seed): str(runs["fcn32s", seed][0]) for seed in (0, 1)}
    assert not [*tmp_path.glob("*/checkpoints"), *tmp_path.glob("*.keras")]
    assert {row["minutes"] for row in rows_in(tmp_path)} == {round(850 / 60, 2)}


def test_what_is_recorded_is_not_trained_again(call, trained, tmp_path, capsys):
    """The command begins with the rows that a row starts from, and makes those again that are gone.

    The stand-in's mean IU is 1 % of the first run, 2 % of the second one.
    """
    options = ("--rows", "fcn16s, staged", "--seeds", "1")
    call(*options)
    assert [config.variant for _, config in trained] == ["fcn32s", "fcn16s"]
    call(*options)
    assert len(trained) == 2
    for workdir, _ in trained:
        shutil.rmtree(workdir)
    capsys.readouterr()
    call("--rows", "fcn8s, staged", "--seeds", "1")
    assert [config.variant for _, config in trained[2:]] == ["fcn32s", "fcn16s", "fcn8s"]
    assert [row["mean_iou"] for row in rows_in(tmp_path)] == [0.01, 0.02, 0.05]
    said = capsys.readouterr().out
    assert "fcn16s, staged, seed 0, starts from fcn32s, which is trained again" in said
    assert "fcn32s, seed 0: mean IU 3.0 %, recorded 1.0 %." in said


def test_rows_of_other_steps_are_trained_and_stand_apart(call, trained, capsys):
    options = ("--rows", "fcn8s", "--seeds", "1")
    call(*options)
    capsys.readouterr()
    call(*options, "--steps", "300")
    assert [config.training.max_steps for _, config in trained] == [600, 300]
    assert trained[0][0] != trained[1][0]
    said = capsys.readouterr().out
    assert "Not shown: fcn8s, seed 0, 600 steps." in said
    assert "| fcn8s | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 | – |" in said


def test_no_file_mixes_two_recipes_or_two_files_of_weights(call, trained, tmp_path, capsys):
    call("--rows", "fcn8s", "--seeds", "1")
    (tmp_path / "vgg16.weights.h5").write_bytes(b"13 others")
    with pytest.raises(SystemExit) as stop:
        call("--rows", "fcn8s", "--seeds", "1")
    assert stop.value.code == 2
    assert re.search(r"rows of weights=\w+, and this command has", capsys.readouterr().err)
    call("--rows", "fcn8s", "--seeds", "1", f"--results={tmp_path / 'others.json'}")
    # Nor does a folder of runs.
    assert len(trained) == 2
    assert trained[0][0] != trained[1][0]


def test_the_tables_and_claims_of_recorded_rows(call, tmp_path, capsys):
    def row(name, seed, percent):
        scores = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
        values = dict(zip(scores, (0.9, 0.7, percent / 100, 0.8), strict=True))
        classes = {"sky": 0.8 + seed / 10, "pole": percent / 1000, "sign": None if seed else 0.5}
        values |= {"class_iou": classes, "minutes": 30.5 + seed, "cores": 2 - seed}
        return {"row": name, "seed": seed, "steps": 600, **values}

    iou = {
        "fcn8s, staged": (60.0, 55.0),
        "fcn32s": (50.0, 51.0),
        "fcn16s, staged": (56.0, 57.0),
        "fcn8s_atonce": (58.6, 56.4),
        "fcn8s": (54.0, 56.0),
        "fcn8s, score layers alone": (55.5,),
        "fcn8s, a quarter of the pixels": (52.9,),
    }
    rows = [row(name, seed, one) for name, of in iou.items() for seed, one in enumerate(of)]
    text = json.dumps({"settings": {}, "rows": rows[::-1]})
    (tmp_path / "streets.json").write_text(text)
    assert call("--table") == 0
    lines = capsys.readouterr().out.splitlines()
    published = "62.7 (Long et al. 2015, table 2)"
    cells = f"57.5 | 80.0 | 60.0 / 55.0 | 5.0 | {published} | 30.5 × 2 / 31.5 × 1"
    assert f"| fcn8s, staged | 90.0 | 70.0 | {cells} |" in lines
    assert [line.split(" | ")[0] for line in lines[2:6]] == [
        *("| fcn32s", "| fcn16s, staged", "| fcn8s, staged", "| fcn8s_atonce"),
    ]
    assert "| fcn8s, staged | 85.0 | 5.8 | – |" in lines
    assert "| fcn8s, score layers alone | 80.0 | 5.5 | 50.0 |" in lines
    assert lines[-9:] == [
        "| 32s < 16s < 8s, staged | 50.5 / 56.5 / 57.5 | yes | 1 of 2 |",
        "| score layers alone below all | 55.5 / 55.0 | no | 0 of 1 |",
        "| at once within 1.5 points of staged | 57.5 / 57.5 | yes | 2 of 2 |",
        "| a quarter of the pixels within 2 points | 52.9 / 55.0 | no | 1 of 1 |",
        "| 32s < 8s, the same steps | 50.5 / 55.0 | yes | 2 of 2 |",
        "",
        "Not measured: random weights below the trained trunk (fcn8s, random weights).",
        "Not measured: random weights below the trained trunk, segnet (segnet, random weights; "
        "segnet).",
        "Not measured: random weights below the trained trunk, unet_on_trunk (unet_on_trunk, "
        "random weights; unet_on_trunk).",
    ]
    call("--table", "--steps", "7")
    assert "No row of 7 steps is recorded." in capsys.readouterr().out


STAND_IN = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getppid(), signal.SIGTERM)
came = signal.sigtimedwait([signal.SIGTERM], 20)
sys.exit(143 if came and "--seed=3" in sys.argv else 1)
"""


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="macOS and Windows lack it")
def test_a_signal_to_stop_reaches_the_training(streets, monkeypatch, tmp_path):
    rows = sys.modules["rows"]
    (tmp_path / "train.py").write_text(STAND_IN)
    monkeypatch.setattr(rows, "ROOT", tmp_path)
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        with pytest.raises(SystemExit) as stop:
            rows.train_run("recipe", tmp_path / "run", {"seed": 3})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stop.value.code == 143
