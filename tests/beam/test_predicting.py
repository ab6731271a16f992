"""Many images by workers: the files are those of `predict`, and what failed is in one list."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fcn_tf.commands.predict import PredictOptions, predict
from fcn_tf.errors import InputError, RunError
from fcn_tf.inference.labelling import Labeller
from fcn_tf.models import save_model
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images
from tests.processes import ROOT, environment

pytestmark = needs_extra("beam", "apache_beam")
ALL = "png,gray,overlay,npy"
DEAD_LETTERS = "dead-letters.jsonl"
OF_THE_RUNNER = {DEAD_LETTERS, "predict.json"}
PROCESSES = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A model, images of two sizes with two broken ones, and what `predict` writes of them."""
    folder = tmp_path_factory.mktemp("beam")
    save_model(narrow_fcn("fcn8s", 6, class_names=tuple("abcdef")), folder / "m.keras")
    write_images(folder / "in", 12)
    (folder / "in/2/broken.jpg").write_bytes(b"no image")
    (folder / "in/0/empty.png").write_bytes(b"")
    (folder / "in/notes.txt").write_text("no image")
    (folder / "in/.hidden.png").write_text("no image")
    with pytest.raises(RunError, match="2 of 14 images failed"):
        label(folder, folder / "expected", images=(str(folder / "in"),), format=ALL)
    return folder


def write_images(folder, count):
    for number in range(count):
        path = folder / str(number % 3) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (40, 50) if number % 4 else (48, 40)
        Image.fromarray(random_images(*size, 3, seed=number)).save(path)


def label(folder, out, **options):
    predict(PredictOptions(**{"model": str(folder / "m.keras"), "out": str(out), **options}))


def on_runner(folder, out, **options):
    options = {"input": f"{folder}/in", "runner": "direct", "format": ALL, **options}
    label(folder, out, **options)


def files(folder):
    """The contents of the files of images, by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in OF_THE_RUNNER
    }


def dead(folder):
    lines = (folder / DEAD_LETTERS).read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda letter: letter["image"])


def test_files_are_those_of_predict_and_a_second_run_does_what_is_left(data, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(RunError, match=f"^2 of 14 images failed, each with its reason in {out}/d"):
        on_runner(data, out)
    said = capsys.readouterr().out
    assert "2 files passed over: hidden, in the folder of the results, or no image files.\n" in said
    pixels = 9 * 40 * 50 + 3 * 48 * 40
    assert f"12 images done, in {out}: {pixels / 1e6:.1f} megapixels, " in said
    assert float(re.search(r"([\d.]+) s in the model", said)[1]) > 0
    assert files(out) == files(data / "expected")
    assert len(files(out)) == 48
    letters = dead(out)
    named = [letter["image"] for letter in letters]
    assert named == [f"{data}/in/0/empty.png", f"{data}/in/2/broken.jpg"]
    assert letters[1]["error"].startswith("cannot be read as an image")

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.p*")}
    (out / "1/0001.png.gray.png").unlink()
    with pytest.raises(RunError, match=r"^2 of 3 images failed"):
        on_runner(data, out)
    said = capsys.readouterr().out
    assert "11 finished images left out; --overwrite predicts again.\n" in said
    assert "1 image done" in said
    assert files(out) == files(data / "expected")
    changed = {p.name.split(".")[0] for p, when in before.items() if p.stat().st_mtime_ns != when}
    assert changed == {"0001"}

    for letter in letters:  # what is mended is done, and no longer listed
        os.rename(letter["image"], f"{letter['image']}.txt")
    on_runner(data, out)
    assert not (out / DEAD_LETTERS).exists()
    for letter in letters:
        os.rename(f"{letter['image']}.txt", letter["image"])


def test_images_of_one_size_run_together(data, tmp_path, monkeypatch):
    together = []
    predictions = Labeller.predictions

    def noted(self, opened):
        together.append([pixels.shape[:2] for _, pixels in opened])
        return predictions(self, opened)

    monkeypatch.setattr(Labeller, "predictions", noted)
    with pytest.raises(RunError, match="2 of 14"):
        on_runner(data, tmp_path / "out", batch_size=3, format="gray")
    assert sorted(together) == [[(40, 50)] * 3] * 3 + [[(48, 40)] * 3]
    for name, contents in files(tmp_path / "out").items():
        expected = data / "expected" / name
        with Image.open(expected) as one, Image.open(tmp_path / "out" / name) as other:
            assert np.mean(np.asarray(one) == np.asarray(other)) > 0.9999, name
        assert contents


def test_an_image_that_breaks_its_batch_is_alone_in_the_dead_letters(data, tmp_path, monkeypatch):
    worst = random_images(40, 50, 3, seed=5)
    predictions = Labeller.predictions

    def fails(self, opened):
        if any(np.array_equal(pixels, worst) for _, pixels in opened):
            raise ValueError("several\nlines")
        return predictions(self, opened)

    monkeypatch.setattr(Labeller, "predictions", fails)
    with pytest.raises(RunError, match="3 of 14"):
        on_runner(data, tmp_path / "out", batch_size=9, format="gray")
    letter = dead(tmp_path / "out")[-2]
    assert letter == {"image": f"{data}/in/2/0005.png", "error": "ValueError: several lines"}
    assert len(files(tmp_path / "out")) == 11


def test_a_bucket_takes_and_gives_the_same_files(data, tmp_path, monkeypatch):
    from tests.beam import bucket

    monkeypatch.setenv(bucket.VARIABLE, str(tmp_path))
    for name in ("in", "m.keras"):
        os.symlink(data / name, tmp_path / name)
    copied = tmp_path / "photos"
    for name, contents in {p: p.read_bytes() for p in (data / "in").rglob("*.*g")}.items():
        path = copied / name.relative_to(data / "in")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    options = {"model": "bucket://m.keras", "input": "bucket://photos/**g", "out": "bucket://out"}
    for done in (12, 0):
        with pytest.raises(RunError, match=f"2 of {done + 2} images failed"):
            on_runner(data, **options)
    assert files(tmp_path / "out") == files(data / "expected")
    letters = dead(tmp_path / "out")
    named = [letter["image"] for letter in letters]
    assert named == ["bucket://photos/0/empty.png", "bucket://photos/2/broken.jpg"]
    assert not any("/tmp" in letter["error"] for letter in letters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "nowhere/*.jpg"}, "nowhere/.*no file is there"),
        ({"input": "gs://b/x"}, "^gs://b/x cannot be read: "),
        ({"model": "in"}, "is no model"),
        ({"out": "m.keras"}, "m.keras cannot be made a folder"),
        ({"runner": "dataflow"}, "--runner dataflow: pip install|--model .*do not have this mach"),
        ({"tile_px": 33}, "tile_px=33"),
    ],
)
def test_what_cannot_work_is_refused_before_any_worker_starts(
    data, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr("apache_beam.Pipeline", None)
    monkeypatch.chdir(data)
    with pytest.raises(InputError, match=message) as refused:
        on_runner(data, **{"out": tmp_path / "out", **options})
    assert "\n" not in str(refused.value)


def test_results_among_the_images_are_no_images(data, tmp_path, capsys):
    write_images(tmp_path, 3)
    for _ in range(2):
        on_runner(data, tmp_path / "out", input=str(tmp_path), format="gray", overwrite=True)
        assert "3 images done" in capsys.readouterr().out


def test_a_folder_that_another_model_filled_is_refused(data, tmp_path):
    one = f"{data}/in/1/0001.png"
    on_runner(data, tmp_path / "out", input=one, flip=True, format="gray")
    with pytest.raises(InputError, match="exists, and holds files made with flip=True: choose"):
        on_runner(data, tmp_path / "out", input=one, format="gray")
    on_runner(data, tmp_path / "out", input=one, format="gray", overwrite=True)
    assert files(tmp_path / "out") == {
        "0001.png.gray.png": (data / "expected/1/0001.png.gray.png").read_bytes()
    }


@pytest.mark.slow
def test_two_processes_that_are_killed_go_on(data, tmp_path):
    """What was done stays untouched; what was in work is done again, and all is as from one."""
    write_images(tmp_path / "in", 150)
    arguments = [sys.executable, "-c", "from fcn_tf.cli import main; main()", "predict"]
    model, source = str(data / "m.keras"), str(tmp_path / "in")
    alone = [*arguments, "--model", model, "--out", str(tmp_path / "expected"), source]
    subprocess.run(alone, env=environment(), cwd=ROOT, check=True, capture_output=True)
    out = tmp_path / "out"
    together = [*arguments, "--model", model, "--out", str(out), "--runner", "direct"]
    together += ["--input", source, "--", *PROCESSES]
    process = subprocess.Popen(together, env=environment(), cwd=ROOT, start_new_session=True)
    try:
        while len(list(out.rglob("*.png"))) < 150:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {p: p.stat().st_mtime_ns for p in out.rglob("[0-9]*.png") if p.is_file()}
    assert len(before) < 300
    said = subprocess.run(together, env=environment(), cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    found = {k: v for k, v in files(out).items() if not k.rpartition("/")[2].startswith(".")}
    assert found == files(tmp_path / "expected")
    again = {p.name.split(".")[0] for p, when in before.items() if p.stat().st_mtime_ns != when}
    assert len(again) <= 2  # one in work in each process
