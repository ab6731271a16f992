"""The worked examples of docs/architecture.md, inserted into a copy of the package and used."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.processes import ROOT, environment

# A block of the page, and the last file and table that the text before it names.
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
FILE, TABLE = re.compile(r"`(fcn_tf/[\w/]+\.py)`"), re.compile(r"`([A-Z_]+)`")

USE = """
import sys
from pathlib import Path

import numpy as np

import fcn_tf
from fcn_tf.cli import main

sys.path.pop(0)  # the current folder, of whose name the data are
main(["train", "--data.data_dir=data", "--variant=fcn16s_atonce", "--model.trunk=mobilenet_v1",
      "--model.width=0.0625", "--model.dropout=0", "--loss.name=brier", "--data.batch_size=2",
      "--data.crop_px=32", "--data.flip=false", "--training.max_steps=6",
      "--training.log_every_steps=1", "--training.eval_every_steps=6", "--workdir=run"])
main(["export", "--model=run", "--out=out", "--formats=graph"])
model = fcn_tf.build_fcn("plain_mobilenetv3", 3, width=0.0625)
score = model.get_layer("score_fr")
score.bias.assign([1.0, 2.0, 3.0])
logits = model(np.zeros((1, 40, 50, 3)), training=False)
print(logits[0, 39, 49].numpy().tolist(), score.kernel.shape)
print(fcn_tf.__file__)
"""


def examples():
    """(heading, file, table or None, code) of each example of the page."""
    page = (ROOT / "docs/architecture.md").read_text().split("## Adding one more")[1]
    for section in re.split(r"\n### ", page)[1:]:
        heading, text = section.split("\n", 1)
        before = 0
        for block in BLOCK.finditer(text):
            said = text[before : block.start()]
            before = block.end()
            tables = TABLE.findall(said)
            is_entry = block[1].startswith("    ")
            yield heading, FILE.findall(said)[-1], tables[0] if is_entry else None, block[1]


def insert(package, file, table, code):
    """Puts an entry at the end of its table, a definition above the first table, or a new file."""
    path = package.parent / file
    if not path.exists():
        path.write_text(code)
        return
    text = path.read_text()
    first_table = re.search(r"(^#.*\n)*^[A-Z]+(: [^=]*)? = [({]\n", text, re.MULTILINE)
    if table:
        opened = re.search(rf"^{table}(: [^=]*)? = [({{]\n", text, re.MULTILINE)
        closed = re.compile(r"^[)}]", re.MULTILINE).search(text, opened.end())
        place = closed.start()
    else:
        place, code = first_table.start(), f"{code}\n\n"
    path.write_text(text[:place] + code + text[place:])


def test_each_example_touches_the_files_that_are_promised():
    files = {}
    for heading, file, _, _ in examples():
        files.setdefault(heading, set()).add(file)
    counts = {heading: len(touched) for heading, touched in files.items()}
    assert counts == {
        "A trunk": 1,
        "A variant": 1,
        "A head": 2,
        "A layout of folders": 1,
        "A loss": 1,
        "A metric": 1,
        "An export format": 2,
    }


@pytest.mark.slow
def test_the_examples_work(tmp_path):
    """A run with all of them: its first loss and its scores are known by hand."""
    package = tmp_path / "copy/fcn_tf"
    shutil.copytree(ROOT / "fcn_tf", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", package.parent / "configs")
    for _, file, table, code in examples():
        insert(package, file, table, code)
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            mask = np.kron(random.integers(0, 3, (4, 4)), np.ones((8, 8))).astype(np.uint8)
            image = 80 * mask[..., None] + random.integers(0, 60, (32, 32, 3), dtype=np.uint8)
            for kind, pixels in (("photos", image), ("labels", mask)):
                path = tmp_path / f"data/{kind}/{split}/{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (tmp_path / "data/classes.txt").write_text("a\nb\nc\n")
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *_, network, place = done.stdout.splitlines()
    assert place == str(package / "__init__.py")
    assert network == "[1.0, 2.0, 3.0] (1, 1, 64, 3)"  # 64: a sixteenth of 960, by eights
    lines = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    # Before the first step each of three classes has a third: 4/9 + 1/9 + 1/9.
    assert lines[0]["loss"] == pytest.approx(2 / 3, rel=1e-5)
    assert lines[5]["loss"] < lines[0]["loss"]
    scores = json.loads((tmp_path / "run/report/scores.json").read_text())
    matrix = np.array(scores["confusion_matrix"])
    found = matrix.sum(0) > 0
    precision = matrix.diagonal()[found] / matrix.sum(0)[found]
    assert scores["mean_precision"] == pytest.approx(precision.mean())
    record = json.loads((tmp_path / "out/graph/1/export.json").read_text())
    assert record["artefacts"]["float32"]["file"] == "out-float32.pb"
