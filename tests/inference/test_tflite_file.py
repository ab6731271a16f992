"""TFLite files by themselves: what they take and give, and sizes that they do not take."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from fcn_tf.exporting.flatbuffer import float_tensors, operators
from fcn_tf.exporting.tflite import convert, run
from fcn_tf.inference.tflite_file import open_tflite_file
from tests.exporting.gpu import is_for_gpus
from tests.networks import narrow_fcn, random_images

TINY = {"num_classes": 3, "width": 1 / 64, "head_units": 4}


@pytest.fixture(scope="module")
def model():
    return narrow_fcn("fcn32s", **TINY)


def written(content, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    return path


def expected_scores(model, images):
    logits = np.asarray(model(images, training=False), np.float64)
    values = np.exp(logits - logits.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


def test_other_sizes_are_filled_up_and_cut(model, tmp_path):
    """By the mean colour, at the bottom and the right."""
    content = convert(model, "float32")
    assert not operators(content) & {"SHAPE", "GATHER", "TRANSPOSE_CONV"}
    path = written(content, tmp_path)
    # MediaPipe takes the size that is declared, and does not resize.
    interpreter = Interpreter(str(path))
    (given,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert [list(one["shape"]) for one in (given, answered)] == [[1, 512, 512, 3]] * 2
    assert list(given["shape_signature"]) == [1, -1, -1, 3]
    file = open_tflite_file(path)
    assert (file.size_px, file.step_px, file.num_classes) == (None, 32, 3)
    images = random_images(2, 33, 62, 3)
    filled = np.full((2, 64, 64, 3), (124, 117, 104), np.uint8)
    filled[:, :33, :62] = images
    expected = expected_scores(model, filled)[:, :33, :62]
    np.testing.assert_allclose(file.answers(images), expected, atol=1e-5)
    np.testing.assert_allclose(file.answers(filled)[:, :33, :62], expected, atol=1e-5)


@pytest.mark.parametrize("takes", ["uint8", "int8"])
def test_a_file_takes_and_gives_its_own_numbers(model, takes, tmp_path):
    """Fully in integers: one step of the input is one grey level, one of a score is 1/256."""
    images = 60 + random_images(4, 40, 50, 3) // 3  # neither 0 nor 255 is among them
    content = convert(model, "integer", (40, 50), takes, calibration=images)
    assert float_tensors(content) == []
    assert is_for_gpus(content)
    path = written(content, tmp_path)
    interpreter = Interpreter(str(path))
    (given,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    zero = -128 if takes == "int8" else 0
    assert given["dtype"] == answered["dtype"] == np.dtype(takes)
    assert given["quantization"] == (1.0, zero)
    assert answered["quantization"] == (1 / 256, zero)
    file = open_tflite_file(path)
    assert (file.size_px, file.num_classes) == ((40, 50), 3)
    found = file.answers(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected_scores(model, images), atol=0.1)
    np.testing.assert_array_equal(run(str(path))(images[0])["scores"], found[0])


def test_a_file_takes_float32(model, tmp_path):
    content = convert(model, "float32", (40, 50), "float32")
    assert not operators(content) & {"CAST", "SHAPE", "GATHER"}
    assert is_for_gpus(content)
    path = written(content, tmp_path)
    images = random_images(1, 40, 50, 3)
    found = open_tflite_file(path).answers(images)
    np.testing.assert_allclose(found, expected_scores(model, images), atol=1e-5)
    np.testing.assert_array_equal(run(str(path))(images[0])["scores"], found[0])
