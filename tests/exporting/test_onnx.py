"""ONNX files, in ONNX Runtime."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from fcn_tf.exporting.export import export
from fcn_tf.exporting.formats import Job
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.options import ExportOptions
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images

pytestmark = needs_extra("onnx", "onnxruntime", "tf2onnx")
NARROWEST = {"width": 1 / 16, "head_units": 16}


def session_of(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def check_sizes(session, model):
    """Sizes even and odd, two images at once."""
    for size in ((64, 96), (97, 131), (33, 64), (1, 7)):
        images = random_images(2, *size, 3)
        expected = keras.ops.softmax(model(images, training=False))
        expected = keras.ops.convert_to_numpy(expected)
        (scores,) = session.run(None, {"images": images})
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        np.testing.assert_array_equal(scores.argmax(-1), expected.argmax(-1))
        assert expected[..., 0].std() > 0


def job_of(model):
    return Job(
        model=model,
        frozen=lambda: freeze(model),
        options=ExportOptions(),
        calibration_images=(),
        stem="m",
    )


@pytest.mark.parametrize("geometry", ["same", pytest.param("caffe", marks=pytest.mark.slow)])
def test_a_file_answers_what_the_model_does_at_any_size(geometry, tmp_path):
    import onnx

    from fcn_tf.exporting.onnx import write

    model = narrow_fcn("fcn32s", 3, geometry=geometry, **NARROWEST)
    path = write(job_of(model), "float32", tmp_path)
    assert path == tmp_path / "m-float32.onnx"
    assert {opset.domain: opset.version for opset in onnx.load(path).opset_import}[""] == 17
    session = session_of(path)
    (given,), (answered,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type) == ("images", "tensor(uint8)")
    assert given.shape == ["N", "H", "W", 3]
    assert (answered.name, answered.type) == ("scores", "tensor(float)")
    assert answered.shape == ["N", "H", "W", 3]
    check_sizes(session, model)
    # The largest kernel is in the layout of ONNX, and nothing turns it when the file runs.
    graph = onnx.load(path).graph
    (kernel,) = (one for one in graph.initializer if list(one.dims) == [16, 32, 7, 7])
    own = np.asarray(model.get_layer("fc6").kernel)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kernel), own.transpose(3, 2, 0, 1))
    assert kernel.name in {node.input[1] for node in graph.node if node.op_type == "Conv"}


@pytest.mark.slow
def test_a_mirrored_border_is_right_at_any_size(tmp_path):
    from fcn_tf.exporting.onnx import write

    model = narrow_fcn("unet", 3, geometry="valid", **NARROWEST)
    check_sizes(session_of(write(job_of(model), "float32", tmp_path)), model)


def test_the_converter_sees_no_large_kernel(tmp_path, monkeypatch):
    """It copies what it sees dozens of times: 65 times the weights, for half of the filters."""
    import tf2onnx

    from fcn_tf.exporting.onnx import LARGE, write

    class Seen(Exception):
        pass

    def look(function, signature, opset):
        graph = function.get_concrete_function(*signature).graph
        constants = [one for one in graph.get_operations() if one.type == "Const"]
        assert constants
        assert all(one.outputs[0].shape.num_elements() < LARGE for one in constants)
        assert len(signature) == 8
        raise Seen

    monkeypatch.setattr(tf2onnx.convert, "from_function", look)
    model = narrow_fcn("fcn32s", 3, **NARROWEST)
    with pytest.raises(Seen):
        write(job_of(model), "float32", tmp_path)


@pytest.mark.slow
def test_an_export_is_verified_and_states_its_opset(tmp_path, monkeypatch):
    model = narrow_fcn("fcn8s", 3, **NARROWEST)
    found = export(model, tmp_path / "m", options=ExportOptions(formats="onnx"))["onnx"]
    assert found["float32"]["largest_difference"] <= 1e-5
    assert found["float32"]["same_label"] == 1
    folder = tmp_path / "m/onnx/1"
    file = folder / found["float32"]["file"]
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["README.md", "export.json", "labels.txt", file.name]
    record = json.loads((folder / "export.json").read_text())
    assert (record["opset"], record["size"]) == (17, "any")
    check_sizes(session_of(file), model)
    # The three lines of the card.
    monkeypatch.chdir(folder)
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    names = {"image": random_images(40, 70, 3)}
    exec(code, names)
    expected = keras.ops.softmax(model(names["image"][None], training=False))[0]
    np.testing.assert_allclose(names["scores"], expected, atol=1e-5)
