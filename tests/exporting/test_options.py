import importlib.util
import subprocess
import sys

import pytest

from fcn_tf.config.types import Names, Size
from fcn_tf.errors import InputError
from fcn_tf.exporting.options import ExportOptions, SavedModelOptions, TFLiteOptions


def test_what_is_not_named_is_left_out():
    options = ExportOptions()
    assert options.formats == ("saved_model", "tflite")
    assert options.tflite.quantize is None
    assert options.tflite.size is None


def test_what_a_format_needs_is_asked_for_before_any_work(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    assert ExportOptions(formats="tflite").formats == ("tflite",)
    with pytest.raises(InputError, match=r"formats=onnx: pip install 'fcn_tf\[onnx\]' writes it"):
        ExportOptions(formats="tflite,onnx")


@pytest.mark.parametrize("size", [(64, 96), [64, 96], "64x96", Size((64, 96))])
@pytest.mark.parametrize("quantize", ["float32,int8", ("float32", "int8"), ["float32", "int8"]])
def test_values_in_each_of_their_spellings(size, quantize):
    tflite = TFLiteOptions(size=size, quantize=quantize)
    assert (tflite.size, type(tflite.size)) == ((64, 96), Size)
    assert (tflite.quantize, type(tflite.quantize)) == (("float32", "int8"), Names)
    formats = ExportOptions(formats=["tflite"], tflite=tflite).formats
    assert (formats, type(formats)) == (("tflite",), Names)


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (
            ExportOptions,
            {"formats": "caffe"},
            "formats='caffe': it must be some of saved_model,tfl",
        ),
        (ExportOptions, {"formats": ()}, "formats=''"),
        (ExportOptions, {"precision": "float16"}, "precision='float16': .*float32,bfloat16"),
        (SavedModelOptions, {"max_pixels": 0}, "saved_model.max_pixels=0: it must be at least 1"),
        (TFLiteOptions, {"quantize": "int4"}, "tflite.quantize='int4': .*float32,float16,dynamic"),
        (TFLiteOptions, {"size": (0, 4)}, "tflite.size='0x4': it must be 1x1 to 4096x4096"),
        (TFLiteOptions, {"size": "320x4097"}, "tflite.size='320x4097': .* every GPU takes"),
        (TFLiteOptions, {"size": "each"}, "'each': a size is HEIGHTxWIDTH"),
        (TFLiteOptions, {"input": "int4"}, "tflite.input='int4': .*uint8,float32,int8"),
        (
            TFLiteOptions,
            {"input": "int8", "quantize": "int8,float16"},
            "tflite.input='int8': it must be one of uint8,float32 for the kind float16",
        ),
        (
            TFLiteOptions,
            {"input": "float32", "quantize": "integer"},
            "tflite.input='float32': it must be one of uint8,int8 for the kind integer",
        ),
        (TFLiteOptions, {"size": "64x"}, "HEIGHTxWIDTH"),
        (TFLiteOptions, {"output": "logits"}, "tflite.output='logits': .*scores,labels"),
        (TFLiteOptions, {"calibration_images": 0}, "tflite.calibration_images=0"),
    ],
)
def test_what_is_out_of_range_is_refused(options, values, message):
    with pytest.raises(ValueError, match=message) as refused:
        options(**values)
    assert isinstance(refused.value, InputError) or "size" in values


def test_the_command_line_needs_no_tensorflow():
    code = (
        "import sys, fcn_tf.exporting.options\n"
        "sys.exit(not {'keras', 'tensorflow'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
