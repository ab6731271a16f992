"""The scores of a model by workers: the same report as on one machine, to the last digit."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from fcn_tf.cli import main
from fcn_tf.models import save_model
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images

pytestmark = needs_extra("beam", "apache_beam")
CLASSES = tuple("abcd")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A model, and a folder of images of two sizes; one of val is broken."""
    folder = tmp_path_factory.mktemp("scores")
    save_model(narrow_fcn("fcn8s", 4, class_names=CLASSES), folder / "m.keras")
    random = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 40)):
        for number in range(count):
            size = (32, 40) if number % 3 else (40, 33)
            mask = random.choice([0, 1, 2, 3, 255], (4, 4)).repeat(10, 0).repeat(10, 1)
            mask = mask[: size[0], : size[1]].astype(np.uint8)
            image = random_images(*size, 3, seed=number)
            for kind, pixels in (("images", image), ("masks", mask)):
                path = folder / "data" / kind / split / f"{number:02}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (folder / "data/classes.txt").write_text("\n".join(CLASSES))
    return folder


def evaluate(data, out, *arguments):
    model, of_data = f"--model={data}/m.keras", f"--data.data_dir={data}/data"
    main(["evaluate", model, of_data, f"--out={out}", *arguments])
    return json.loads((out / "scores.json").read_text())


@pytest.fixture(scope="module")
def expected(data):
    scores = evaluate(data, data / "expected")
    assert scores["images"] == 40
    assert 0 < scores["mean_iou"] < 1
    return scores


def test_scores_and_report_are_those_of_one_machine(data, expected, tmp_path):
    assert evaluate(data, tmp_path / "out", "--runner", "direct") == expected
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for path in (data / "expected").iterdir():
        assert written.pop(path.name) == path.read_bytes(), path.name
    assert not written


def test_options_arrive_at_the_workers(few_figures, data, expected, tmp_path):
    for number, options in enumerate((["--flip"], ["--scales=0.5", "--split=train"])):
        alone = evaluate(data, tmp_path / f"alone{number}", *options)
        assert alone != expected
        assert evaluate(data, tmp_path / f"out{number}", *options, "--runner=direct") == alone


def test_what_workers_skip_is_said(few_figures, data, tmp_path, capsys):
    path = data / "data/images/val/07.png"
    contents = path.read_bytes()
    path.write_bytes(b"no image")
    try:
        said = []
        for options in ([], ["--runner=direct"]):
            evaluate(data, tmp_path / "out", "--data.broken=skip", *options)
            lines = capsys.readouterr().out.splitlines()
            said.append([line for line in lines if "skipped" in line])
        assert said[0] == said[1]
        assert "07.png" in said[1][0]
    finally:
        path.write_bytes(contents)


@pytest.mark.parametrize("broken", ["stop", "skip"])
def test_a_file_that_breaks_meanwhile_is_handled_as_on_one_machine(
    few_figures, data, tmp_path, capsys, monkeypatch, broken
):
    monkeypatch.setattr("fcn_tf.data.start_check.CHECKED_AT_START", 1)  # it is not read before
    paths = [data / f"data/{name}.png" for name in ("images/val/07", "masks/val/35")]
    contents = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_bytes(b"no image")
    found = []
    try:
        for options in ([], ["--runner=direct"]):
            out, code, scores = tmp_path / f"out{len(options)}", 0, None
            try:
                scores = evaluate(data, out, f"--data.broken={broken}", *options)
            except SystemExit as end:
                code = end.code
            said = capsys.readouterr()
            lines = [line for line in said.out.splitlines() if "skipped" in line]
            found.append((code, scores, said.err.splitlines()[-1:] if code else lines))
    finally:
        for path, before in zip(paths, contents, strict=True):
            path.write_bytes(before)
    assert found[0] == found[1]
    code, scores, (line,) = found[1]
    assert (code, scores is None) == ((1, True) if broken == "stop" else (0, False))
    assert "val/07.png: cannot be read as an image" in line
    assert ("2 images are skipped" in line) is (broken == "skip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.data_dir=d"], r"--data.data_dir \S+/d: .*disk. fcn-tf prepare makes"),
        (["--data.name=voc", "--data.tfds_dir=t"], r"--data.tfds_dir \S+/t: .*gs://"),
        (["--data.name=shapes"], r"The default of --data.tfds_dir, \S+/t: "),
        (["--data.tfds_name=./made/1.0.0"], r"--data.tfds_name \S+/made/1.0.0: .*disk. Give a"),
        (
            ["--data.tfds_name=gs://b/1.0.0"],
            "give a place for what they report, -- --temp_location",
        ),
        (["--data.name=shapes", "--model=m"], r"--model \S+/m: "),
        (["--data.name=shapes", "--compare=m"], r"--compare \S+/m: "),
        (["--data.name=shapes", "--out=gs://b/o"], "out='gs://b/o': it must be a folder of this"),
    ],
)
def test_dataflow_gets_no_path_of_this_disk(tmp_path, capsys, monkeypatch, arguments, message):
    from fcn_tf.beam import runners

    monkeypatch.setattr(runners, "_is_installed", lambda module: True)
    monkeypatch.setattr("fcn_tf.inference.predictor.Predictor", None)  # no work has begun
    monkeypatch.setenv("TFDS_DATA_DIR", f"{tmp_path}/t")
    given = ["--model=gs://b/m", f"--out={tmp_path}/o", "--runner=dataflow"]
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *given, *arguments])
    said = capsys.readouterr().err
    assert (end.value.code, said.count("\n")) == (2, 1)
    assert re.search(message, said)
    assert not (tmp_path / "o").exists()


def test_workers_elsewhere_need_data_that_they_reach(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    with pytest.raises(SystemExit) as end:
        evaluate(data, tmp_path / "out", "--runner=flink", "--", "--flink_master=host:1")
    assert end.value.code == 2
    assert "do not have this machine's disk" in capsys.readouterr().err
