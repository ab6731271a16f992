"""What a TFLite file says of itself, read back with zipfile and by MediaPipe."""

import io
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.exporting.tflite_metadata import with_metadata
from tests.extras import needs_extra
from tests.networks import random_images
from tests.processes import ROOT

FILE = ROOT / "tests/fixtures/old_export/tflite/1/old_export-float32.tflite"
NAMES = ('the "sea", it\'s <b>&amp;</b>', "Straße 道路 🛣", "x" * 200)
RECORD = ExportRecord(fcn_tf="1.2", classes=NAMES, palette=[[1, 2, 3], [40, 50, 60], [255, 0, 16]])


@pytest.fixture(scope="module")
def content():
    return with_metadata(FILE.read_bytes(), "street", RECORD)


def scores_of(content, image):
    interpreter = Interpreter(model_content=content)
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], (1, *image.shape))
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], image[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def metadata_of(content):
    """The flatbuffer of the entry, by the model's own schema; None where there is none."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    found = {entry.name: model.buffers[entry.buffer] for entry in model.metadata}
    assert len(found) == len(model.metadata)
    buffer = found.get(b"TFLITE_METADATA")
    return None if buffer is None else bytes(buffer.data)


def test_what_a_file_computes_stays_the_same(content):
    image = random_images(45, 70, 3)
    before = scores_of(FILE.read_bytes(), image)
    assert before.std() > 0
    np.testing.assert_array_equal(scores_of(content, image), before)
    assert metadata_of(FILE.read_bytes()) is None
    old, new = (schema.Model.GetRootAs(c) for c in (FILE.read_bytes(), content))
    assert new.MetadataLength() == old.MetadataLength() + 1
    assert new.SignatureDefs(0).SignatureKey() == old.SignatureDefs(0).SignatureKey()
    assert with_metadata(FILE.read_bytes(), "street", RECORD) == content


def test_weights_begin_where_the_schema_wants_them(content):
    """`force_align: 16`: at multiples of 16 of the file."""
    model = schema.Model.GetRootAs(content)
    buffers = [model.Buffers(number) for number in range(model.BuffersLength())]
    weights = [one.DataAsNumpy() for one in buffers if one.DataLength()]
    start = np.frombuffer(content, np.uint8).ctypes.data
    assert len(weights) > 20
    assert {(array.ctypes.data - start) % 16 for array in weights} == {0}


def test_the_names_and_the_colours_of_the_classes_lie_behind_the_model(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt", "colors.txt"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        labels, colors = (archive.read(name).decode() for name in archive.namelist())
    assert labels.splitlines() == list(NAMES)
    assert colors == "#010203\n#28323c\n#ff0010\n"


def test_a_line_break_in_a_name_does_not_move_the_others():
    record = ExportRecord(classes=("a\nb", "c\r\nd", ""))
    with zipfile.ZipFile(io.BytesIO(with_metadata(FILE.read_bytes(), "m", record))) as archive:
        assert archive.read("labels.txt") == b"a b\nc d\n\n"


@needs_extra("mediapipe", "mediapipe")
def test_every_field_is_read_by_mediapipes_schema(content):
    from mediapipe.tasks.metadata import metadata_schema_py_generated as readers

    buffer = metadata_of(content)
    assert readers.ModelMetadata.ModelMetadataBufferHasIdentifier(buffer, 0)
    found = readers.ModelMetadataT.InitFromObj(readers.ModelMetadata.GetRootAs(buffer, 0))
    assert found.name == b"street"
    assert found.description == (
        b"Semantic segmentation by fcn_tf 1.2: an RGB image in, the scores of 3 classes at each "
        b"pixel out."
    )
    assert found.minParserVersion == b"1.0.0"
    (colors,) = found.associatedFiles
    assert (colors.name, colors.type) == (b"colors.txt", readers.AssociatedFileType.DESCRIPTIONS)
    (graph,) = found.subgraphMetadata
    (image,), (scores,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert image.name == b"image"
    about = "An RGB image of any size, values 0..255; the model does its own preprocessing."
    assert image.description.decode() == about
    assert image.content.contentPropertiesType == readers.ContentProperties.ImageProperties
    assert image.content.contentProperties.colorSpace == readers.ColorSpaceType.RGB
    (step,) = image.processUnits
    assert step.optionsType == readers.ProcessUnitOptions.NormalizationOptions
    assert (step.options.mean, step.options.std) == ([0], [1])
    assert (image.stats.min, image.stats.max) == ([0], [255])
    assert scores.name == b"scores"
    assert scores.description == b"The scores of 3 classes at each pixel."
    assert scores.content.contentPropertiesType == readers.ContentProperties.FeatureProperties
    (labels,) = scores.associatedFiles
    kind = readers.AssociatedFileType.TENSOR_AXIS_LABELS
    assert (labels.name, labels.type) == (b"labels.txt", kind)


def test_the_sizes_that_an_image_may_have_are_said():
    of_any = metadata_of(with_metadata(FILE.read_bytes(), "m", RECORD, step_px=32))
    assert b"An RGB image of any size whose sides are multiples of 32 px, values" in of_any

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(FILE.read_bytes()))
    image = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    image.shape, image.shapeSignature = [1, 4, 6, 3], None
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    fixed = metadata_of(with_metadata(bytes(builder.Output()), "m", RECORD))
    assert b"An RGB image 4 px high and 6 px wide, values" in fixed


@needs_extra("mediapipe", "mediapipe")
def test_mediapipe_knows_the_classes(content, tmp_path):
    from mediapipe.tasks.python import BaseOptions, vision

    (tmp_path / "m.tflite").write_bytes(content)
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(tmp_path / "m.tflite"))
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        assert segmenter.labels == list(NAMES)
