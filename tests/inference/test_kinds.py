"""What is imported for a model of each kind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_tf.inference.kinds import needs_tensorflow
from fcn_tf.inference.predictor import Predictor
from tests.extras import needs_extra
from tests.networks import random_images

FIXTURES = Path(__file__).parents[1] / "fixtures"
TFLITE = FIXTURES / "old_export/tflite/1/old_export-float32.tflite"
SCRIPT = """
import sys
from fcn_tf.cli import main
import fcn_tf.inference.client, fcn_tf.inference.sending  # of `request`, by REST
main(sys.argv[1:])
heavy = {"tensorflow", "keras", "matplotlib", "scipy"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy else 0)
"""


def write_doubling_onnx(path):
    """A file that scores an image by its red and green, as those of this package do."""
    from onnx import TensorProto, helper

    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [None, None, None, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None, None, 2])
    numbers = {
        name: helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("first", 0), ("last", 2), ("axis", 3))
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["floats", "first", "last", "axis"], ["scores"]),
    ]
    graph = helper.make_graph(nodes, "doubling", [images], [scores], [*numbers.values()])
    opset = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    )


ONNX = pytest.param("onnx", marks=needs_extra("onnx", "onnx", "onnxruntime"))


@pytest.mark.parametrize("kind", ["tflite", ONNX])
def test_files_that_need_no_tensorflow_import_none(kind, tmp_path):
    """By the command, whose labels are those of a process that has TensorFlow."""
    model = TFLITE
    if kind == "onnx":
        model = tmp_path / "m.onnx"
        write_doubling_onnx(model)
    image = random_images(40, 56, 3)
    Image.fromarray(image).save(tmp_path / "a.png")
    given = ["predict", f"--model={model}", "--out=out", "--format=gray,overlay", "a.png"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *given], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out/a.png.gray.png") as labels:
        np.testing.assert_array_equal(np.asarray(labels), Predictor(model)(image))


def test_which_models_tensorflow_runs(tmp_path):
    (tmp_path / "both").mkdir()
    (tmp_path / "both/saved_model.pb").touch()
    (tmp_path / "both/m.onnx").touch()
    runs = {TFLITE: False, "m.onnx": False, "m.keras": True, FIXTURES / "old_run": True}
    runs |= {tmp_path / "both": True, FIXTURES / "old_export/saved_model": True, 3: True}
    assert {model: needs_tensorflow(model) for model in runs} == runs
