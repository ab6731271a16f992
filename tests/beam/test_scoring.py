"""The scores of a model by workers: the same report as on one machine, to the last digit."""

import json

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


def test_workers_elsewhere_need_data_that_they_reach(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    with pytest.raises(SystemExit) as end:
        evaluate(data, tmp_path / "out", "--runner=flink", "--", "--flink_master=host:1")
    assert end.value.code == 2
    assert "do not have this machine's disk" in capsys.readouterr().err
