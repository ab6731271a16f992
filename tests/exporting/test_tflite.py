"""The operators of TFLite files: what GPUs and NPUs take."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from fcn_tf.data.shapes import draw_scene
from fcn_tf.errors import RunError
from fcn_tf.exporting import tflite
from fcn_tf.exporting.flatbuffer import float_tensors, operators
from fcn_tf.exporting.formats import Job
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions
from fcn_tf.exporting.tflite import convert, run
from fcn_tf.images.read import resize
from tests.exporting.gpu import is_for_gpus
from tests.networks import narrow_fcn, random_images

# What TFLite's GPU delegate takes of the operators of these networks.
FOR_GPUS = {
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "HARD_SWISH", "LOGISTIC"),
    *(
        "MAX_POOL_2D",
        "MEAN",
        "MIRROR_PAD",
        "MUL",
        "PAD",
        "RESIZE_BILINEAR",
        "SOFTMAX",
        "STRIDED_SLICE",
        "SUB",
    ),
    "TRANSPOSE_CONV",
    # Of unpooling alone.
    *("CAST", "DEPTH_TO_SPACE", "EQUAL", "MAXIMUM"),
}
# Beside them, to bring numbers to 8 bits and back, or to 16 bits.
CHANGES = {"QUANTIZE", "DEQUANTIZE"}
NETWORKS = {
    "vgg16": {"variant": "fcn8s"},
    "resnet50": {"variant": "fcn8s", "trunk": "resnet50", "width": 1},
    "mobilenetv3": {"variant": "fcn8s", "trunk": "mobilenetv3_large", "width": 0.25},
    "deeplabv3_resnet50": {"variant": "deeplabv3_resnet50"},
    "lraspp_mobilenetv3": {"variant": "lraspp_mobilenetv3"},
    "unet": {"variant": "unet"},
    "unet, valid": {"variant": "unet", "geometry": "valid"},
    "segnet": {"variant": "segnet"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("vgg16", kind) for kind in ("float32", "float16", "int8", "integer")),
        ("resnet50", "float32"),
        ("mobilenetv3", "int8"),
        *(("deeplabv3_resnet50", kind) for kind in ("float32", "integer")),
        *(("lraspp_mobilenetv3", kind) for kind in ("float32", "integer")),
        *(("unet", kind) for kind in ("float32", "integer")),
        ("unet, valid", "integer"),
        *(("segnet", kind) for kind in ("float32", "int8")),
    ],
)
def test_gpus_take_every_operator(name, kind):
    """Of an input that is no CAST of uint8."""
    model = narrow_fcn(num_classes=3, **{"width": 1 / 32, "head_units": 4, **NETWORKS[name]})
    takes = "int8" if kind == "integer" else "float32"
    images = random_images(2, 64, 96, 3)
    content = convert(model, kind, (64, 96), takes, calibration=images)
    assert is_for_gpus(content)
    assert operators(content) <= FOR_GPUS | CHANGES
    assert bool(float_tensors(content)) == (kind != "integer")


def test_the_kind_of_a_file_reaches_its_graph():
    """XNNPACK has no HARD_SWISH of 8 bits. A file of floats has it."""
    model = narrow_fcn("lraspp_mobilenetv3", 3, width=1 / 64)
    images = random_images(1, 32, 32, 3)
    found = [
        operators(convert(model, kind, (32, 32), calibration=images))
        for kind in ("float32", "int8")
    ]
    assert ["HARD_SWISH" in of_file for of_file in found] == [True, False]


def test_the_options_are_those_of_the_file(tmp_path):
    options = ExportOptions(tflite=TFLiteOptions(size=(32, 64), input="float32"))
    model = narrow_fcn("fcn32s", 3, width=1 / 64, head_units=4)
    job = Job(model=model, frozen=None, options=options, calibration_images=(), stem="m")
    path = tflite.write(job, "float32", tmp_path)
    assert path == tmp_path / "m-float32.tflite"
    (given,) = Interpreter(str(path)).get_input_details()
    assert (given["dtype"], given["name"]) == (np.float32, "serving_default_image:0")
    assert list(given["shape"]) == list(given["shape_signature"]) == [1, 32, 64, 3]


def test_a_file_that_would_hold_floats_is_not_called_integer(monkeypatch):
    monkeypatch.setattr(tflite, "float_tensors", lambda content: ["a", "b"])
    model = narrow_fcn("fcn32s", 3, width=1 / 64, head_units=4)
    with pytest.raises(RunError, match="would hold 2 tensors of floating-point numbers, a for"):
        convert(model, "integer", (32, 32), calibration=random_images(1, 32, 32, 3))


def test_8_bit_files_are_calibrated_on_what_was_chosen(monkeypatch):
    used = []

    def chosen(model, images):
        assert model.variant == "fcn32s"
        for image in images[1:]:
            used.append(image)
            yield image

    monkeypatch.setattr(tflite, "calibration_images", chosen)
    images = random_images(3, 32, 32, 3)
    model = narrow_fcn("fcn32s", 3, width=1 / 64, head_units=4)
    convert(model, "int8", (32, 32), calibration=images)
    np.testing.assert_array_equal(used, images[1:])


@pytest.mark.slow
def test_integer_labels(tmp_path):
    """Without a floating-point number either, and of the scores the largest."""
    model = narrow_fcn("fcn8s", 3, width=1 / 32, head_units=8)
    random = np.random.default_rng(0)
    scenes = [resize(draw_scene(random)[0], (64, 96)) for _ in range(4)]
    content = convert(model, "integer", (64, 96), output="labels", calibration=scenes)
    assert float_tensors(content) == []
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    (answered,) = Interpreter(str(path)).get_output_details()
    assert (answered["dtype"], list(answered["shape"])) == (np.uint8, [1, 64, 96])
    expected = np.asarray(model(scenes[0][None], training=False))[0].argmax(-1)
    assert (run(str(path))(scenes[0])["labels"] == expected).mean() > 0.97
