"""What the page for browsers computes by itself, against Pillow, which `Predictor` uses."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fcn_tf.exporting
from fcn_tf.images.read import resize

PAGE = Path(fcn_tf.exporting.__file__).with_name("page")
# Sizes (height, width) from and to. Pillow brings either side to its size first, by their ratio.
CASES = (
    ((8, 5), (8, 5)),
    ((30, 41), (9, 12)),
    ((3, 2), (9, 12)),
    ((12, 9), (10, 13)),
    ((33, 17), (9, 5)),
    ((34, 17), (9, 5)),
    ((20, 50), (20, 61)),
)
CODE = """
import { readFileSync } from "node:fs";
import { labelsOf, resized } from "./pixels.mjs";
const size = ([height, width]) => ({ height, width });
const answers = JSON.parse(readFileSync(0)).map(({ from, to, rgba, scores }) => ({
    rgb: [...resized(rgba, size(from), size(to))],
    labels: [...labelsOf(Float32Array.from(scores), 4, size(from), size(to))],
}));
console.log(JSON.stringify(answers));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js: apt-get install nodejs")
def test_pixels_and_labels_are_those_of_pillow(tmp_path):
    random = np.random.default_rng(0)
    rgba = [random.integers(0, 256, (*size, 4), np.uint8) for size, _ in CASES]
    scores = [random.random((*size, 4), np.float32) for size, _ in CASES]
    # Where two classes are equal, the first is the label.
    scores[0][:, :2, 3] = scores[0][:, :2, 1] = 1
    given = [
        {"from": a, "to": b, "rgba": image.ravel().tolist(), "scores": values.ravel().tolist()}
        for (a, b), image, values in zip(CASES, rgba, scores, strict=True)
    ]
    shutil.copy(PAGE / "pixels.js", tmp_path / "pixels.mjs")
    (tmp_path / "run.mjs").write_text(CODE)
    done = subprocess.run(
        ["node", "run.mjs"], input=json.dumps(given), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers = zip(CASES, rgba, scores, json.loads(done.stdout), strict=True)
    for (_, to), image, values, answer in answers:
        expected = resize(np.ascontiguousarray(image[..., :3]), to, Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(np.reshape(answer["rgb"], (*to, 3)), expected)
        channels = [resize(np.ascontiguousarray(values[..., c]), to) for c in range(4)]
        labels = np.stack(channels, axis=-1).argmax(-1)
        np.testing.assert_array_equal(np.reshape(answer["labels"], to), labels)
