"""What each option of `evaluate` does to the scores, worked out by hand.

The models are made by hand: what they answer depends on what is fed to them, so that every way to
predict gives another score.
"""

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from fcn_tf.cli import main
from fcn_tf.evaluation import report
from fcn_tf.inference import predictor
from fcn_tf.inference.loaded import LoadedModel

CLASSES = ("sky", "road")
HEIGHT_PX, WIDTH_PX = 32, 96
IMAGES = {"train": 3, "val": 2, "test": 1}


def model(wrong_columns=1, class_names=CLASSES, gives_scores=True):
    """Takes the left columns of what it is fed for road with 0.98, and all else for sky with 0.9.

    Of an image of another height than the data's it takes everything for road.
    """

    def scores(images):
        road = np.full(images.shape[:3], 0.1, np.float32)
        road[:, :, :wrong_columns] = 0.98
        if images.shape[1] != HEIGHT_PX:
            road[:] = 0.98
        return np.stack([1 - road, road], axis=-1)

    return LoadedModel(
        scores=scores if gives_scores else None,
        labels=lambda images: scores(images).argmax(-1).astype(np.uint8),
        num_classes=2,
        class_names=class_names,
        palette=[[0, 0, 0], [255, 0, 0]],
        margin_px=0,
    )


def write_data(folder, road_rows):
    """Images of sky; in each split so many rows at the bottom are road."""
    for split, count in IMAGES.items():
        mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        mask[HEIGHT_PX - road_rows[split] :] = 1
        for number in range(count):
            for kind, pixels in (("images", np.stack([mask] * 3, -1)), ("masks", mask)):
                path = folder / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (folder / "classes.txt").write_text("\n".join(CLASSES))


@pytest.fixture
def evaluated(tmp_path, monkeypatch, run_here):
    """Runs `evaluate` on a run with a config.yaml and reads its scores.json."""
    (tmp_path / "run").mkdir()
    write_data(tmp_path / "data", {"train": 16, "val": 0, "test": 8})
    config = yaml.safe_dump({"data": {"data_dir": "data"}})
    (tmp_path / "run/config.yaml").write_text(config)
    models = {
        "run": model(),
        "worse.tflite": model(wrong_columns=24, gives_scores=False),
        "other.keras": model(class_names=("sky", "car")),
        "no/data.keras": model(),
        "two": model(wrong_columns=2),
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predictor, "load_any", models.__getitem__)
    # The figures are those of tests/evaluation/test_report.py.
    monkeypatch.setattr(report, "write_figure", lambda path, figure: path.write_bytes(b""))
    monkeypatch.setattr(report, "_figures", lambda *given, **options: [])

    def run(*arguments, out="run/report"):
        done = run_here("evaluate", *arguments)
        assert done.returncode == 0, done.stderr
        return scores_in(tmp_path / out)

    return run


def scores_in(folder, file="scores.json"):
    return json.loads((folder / file).read_text())


def right(summary):
    return pytest.approx(summary["pixel_accuracy"])


def test_the_run_on_val_of_its_own_data(evaluated):
    scores = evaluated("--model=run")
    assert (scores["split"], scores["images"]) == ("val", 2)
    assert right(scores) == 95 / 96
    assert scores["class_iou"] == {"sky": pytest.approx(95 / 96), "road": 0}


def test_split(evaluated):
    """All but the left column is taken for sky: of train the upper half is right, of test 3/4."""
    train = evaluated("--model=run", "--split=train", out="run/report/train")
    assert (train["split"], train["images"]) == ("train", 3)
    assert right(train) == (16 * 95 + 16) / (32 * 96)
    test = evaluated("--model=run", "--split=test", out="run/report/test")
    assert (test["split"], test["images"]) == ("test", 1)
    assert right(test) == (24 * 95 + 8) / (32 * 96)


def test_tile_px(evaluated):
    """Three tiles of 32 px have a left column each."""
    assert right(evaluated("--model=run", "--tile_px=32")) == 93 / 96


def test_flip(evaluated):
    """(0.98 + 0.1) / 2 is above a half, in the left column and in the right one."""
    assert right(evaluated("--model=run", "--flip")) == 94 / 96


def test_scales(evaluated):
    """At twice the size all is taken for road: (0.1 + 0.98) / 2 is above a half."""
    assert right(evaluated("--model=run", "--scales=1,2")) == 0


def test_compare(evaluated, tmp_path):
    """Both models are tiled: three left columns of A, three times 24 of B."""
    of_a = evaluated("--model=run", "--compare=worse.tflite", "--tile_px=32")
    both = scores_in(tmp_path / "run/report", "compared.json")
    assert list(both) == ["run", "worse.tflite"]
    assert [right(scores) for scores in both.values()] == [93 / 96, 24 / 96]
    assert of_a == both["run"]
    evaluated("--model=run", "--compare=two", "--flip")
    both = scores_in(tmp_path / "run/report", "compared.json")
    assert [right(scores) for scores in both.values()] == [94 / 96, 92 / 96]
    assert not (tmp_path / "two").exists()  # the report's place follows from --model


def test_out(evaluated, tmp_path):
    evaluated("--model=run", "--out=there/deep", out="there/deep")
    assert (tmp_path / "there/deep/report.html").is_file()
    assert not (tmp_path / "run/report").exists()


def test_config_and_data(evaluated, tmp_path):
    write_data(tmp_path / "sand", {"train": 0, "val": 4, "test": 0})
    (tmp_path / "sand.yaml").write_text(yaml.safe_dump({"data": {"data_dir": "sand"}}))
    expected = (28 * 95 + 4) / (32 * 96)
    no_run = evaluated("--model=no/data.keras", "--data.data_dir=sand", out="no/report")
    assert right(no_run) == expected
    # Without sky four rows of road are left, one column of which is right.
    one_key = evaluated("--model=run", "--config=sand.yaml", "--data.ignore_label=0")
    assert right(one_key) == 1 / 96


def test_a_folder_without_a_file_of_classes_has_those_of_the_model(evaluated, tmp_path, run_here):
    write_data(tmp_path / "sand", {"train": 0, "val": 4, "test": 0})
    (tmp_path / "sand/classes.txt").unlink()
    said = "sand has no file of classes: its masks are read with those of no/data.keras, sky, road."
    done = run_here("evaluate", "--model=no/data.keras", "--data.data_dir=sand", "--out=there")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout.splitlines()
    assert right(scores_in(tmp_path / "there")) == (28 * 95 + 4) / (32 * 96)
    # Over the run's own data too; a file that there is is asked.
    done = run_here("evaluate", "--model=run", "--data.data_dir=sand", "--out=there")
    assert "sand has no file of classes" in done.stdout
    (tmp_path / "sand/classes.txt").write_text("sky\ntrack")
    done = run_here("evaluate", "--model=run", "--data.data_dir=sand", "--out=there")
    assert done.returncode == 2
    assert "The data set says track for road: if these are the same classes" in done.stderr


def test_numbers_are_the_names_that_no_one_gave(evaluated, tmp_path, run_here, monkeypatch):
    (tmp_path / "data/classes.txt").unlink()
    monkeypatch.setattr(predictor, "load_any", lambda path: model(class_names=None))
    done = run_here("evaluate", "--model=run")
    assert done.returncode == 0, done.stderr
    assert "its masks are read with those of run, 0, 1." in done.stdout
    assert list(scores_in(tmp_path / "run/report")["class_iou"]) == ["0", "1"]


@pytest.mark.usefixtures("evaluated")
def test_what_cannot_be_scored_is_refused_before_any_work(tmp_path, capsys):
    for arguments, message in (
        (["--model=no/data.keras"], "no/data.keras does not say what data it is for"),
        (["--model=run", "--split=trainval"], "no split trainval: there are train, val, test."),
        (["--model=run", "--split=all"], "split"),
        (["--model=run", "--compare=other.keras"], "other.keras knows the classes sky, car, but"),
        (["--model=run", "--out=data/classes.txt"], "data/classes.txt cannot be made a folder"),
        (["--model=run", "--tile_px=33"], "tile_px=33"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *arguments])
        assert ended.value.code == 2
        assert re.search(rf"^fcn-tf: .*{re.escape(message)}.*\n$", capsys.readouterr().err)
    assert not (tmp_path / "run/report").exists()


def test_a_file_that_breaks_while_it_is_read_ends_with_1(
    evaluated, tmp_path, run_here, monkeypatch
):
    """It is whole when the data set is opened."""
    opened = report.write_report

    def broken(*arguments, **options):
        (tmp_path / "data/images/val/1.png").write_bytes(b"broken")
        opened(*arguments, **options)

    monkeypatch.setattr(report, "write_report", broken)
    done = run_here("evaluate", "--model=run")
    assert done.returncode == 1
    assert "val/1.png" in done.stderr


def test_deep_images_are_read_with_the_range_of_the_model(evaluated, tmp_path, monkeypatch):
    """A model that takes what is white for road; white is 1000."""
    read = LoadedModel(
        **{
            **vars(model()),
            "scores": lambda images: np.stack(
                [images[..., 0] < 255, images[..., 0] == 255], -1
            ).astype(np.float32),
            "value_range": (0.0, 1000.0),
        }
    )
    monkeypatch.setattr(predictor, "load_any", lambda path: read)
    for number in range(IMAGES["test"]):
        with Image.open(tmp_path / f"data/masks/test/{number}.png") as mask:
            deep = np.asarray(mask).astype(np.uint16) * 1000
        Image.fromarray(deep).save(tmp_path / f"data/images/test/{number}.png")
    scores = evaluated("--model=run", "--split=test", out="run/report/test")
    assert right(scores) == 1
    other = "--data.value_range=[0, 500000]"
    scores = evaluated("--model=run", "--split=test", other, out="run/report/test")
    assert right(scores) == 0.75
