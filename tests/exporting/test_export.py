"""Exports of a narrow network whose every layer is filled, calibrated on generated scenes."""

import io
import json
import os
import re
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.shapes import CLASSES, draw_scene
from fcn_tf.errors import InputError, RunError
from fcn_tf.exporting import versions
from fcn_tf.exporting.export import export
from fcn_tf.exporting.formats import FORMATS, Bar, Kind
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.options import ExportOptions, SavedModelOptions, TFLiteOptions
from fcn_tf.exporting.saved_model import write_saved_model
from fcn_tf.exporting.tflite import convert
from fcn_tf.exporting.verify import Reference
from fcn_tf.exporting.versions import check_tree, new_version
from fcn_tf.models import build_fcn
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images
from tests.processes import command

MAX_PIXELS = 200_000
COLORS = [[number, 2 * number, 255 - number] for number in range(6)]
NAMED = {"class_names": CLASSES, "palette": COLORS}
ALEXNET = {"trunk": "alexnet", "geometry": "caffe"}


@pytest.fixture(scope="module")
def model():
    return evened_out(narrow_fcn("fcn8s", 6, **NAMED, value_range=(0, 4095)))


@pytest.fixture(scope="module")
def light():
    """A network of few layers, where it does not matter of which."""
    return evened_out(narrow_fcn("fcn32s", 6, **ALEXNET, **NAMED))


def evened_out(model):
    """Of whose classes several are answered."""
    logits = np.asarray(model(random_images(1, 96, 96, 3), training=False))
    bias = model.get_layer("score_fr").bias
    bias.assign(bias - logits.mean((0, 1, 2)))
    labels = keras_scores(model, random_images(64, 96, 3)).argmax(-1)
    assert np.bincount(labels.ravel(), minlength=6).max() < 0.8 * labels.size
    return model


@pytest.fixture(scope="module")
def exported(model, few_scenes_dir, tmp_path_factory):
    """The folder of both formats with all kinds of TFLite, and what was measured."""
    out = tmp_path_factory.mktemp("exported") / "scenes"
    data = DataConfig(name="shapes", tfds_dir=few_scenes_dir)
    options = ExportOptions(
        saved_model=SavedModelOptions(max_pixels=MAX_PIXELS),
        tflite=TFLiteOptions(size="any", calibration_images=20),
    )
    return out, export(model, out, data, options)


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported[0] / "saved_model/1")).signatures


def tflite_alone(**tflite):
    return ExportOptions(formats=("tflite",), tflite=TFLiteOptions(**tflite))


def keras_scores(model, image):
    return keras.ops.convert_to_numpy(keras.ops.softmax(model(image[None], training=False)))[0]


def encoded(image, kind):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def test_every_artefact_is_there_with_what_was_measured(exported):
    out, written = exported
    for kind in ("saved_model", "tflite"):
        described = json.loads((out / kind / "1/export.json").read_text())
        assert described["artefacts"] == json.loads(json.dumps(written[kind]))
        assert described["classes"] == list(CLASSES)
        assert described["palette"] == COLORS
        assert described["margin_px"] == 224
        assert described["value_range"] == [0, 4095]
        assert described["verified_on"] == "images of the data set"
        assert described.get("max_pixels") == (MAX_PIXELS if kind == "saved_model" else None)
        labels = (out / kind / "1/labels.txt").read_text().splitlines()
        assert labels == list(CLASSES)
        assert not [path for path in (out / kind).iterdir() if path.name != "1"]
    assert list(written["tflite"]) == ["float32", "float16", "dynamic", "int8"]
    for kind, found in written["tflite"].items():
        with zipfile.ZipFile(out / "tflite/1" / found["file"]) as archive:
            assert archive.read("labels.txt").decode().split() == list(CLASSES), kind
            assert archive.read("colors.txt").decode().split()[1] == "#0102fe"
    for name, artefacts in written.items():
        for kind, found in artefacts.items():
            assert found["same_label"] >= FORMATS[name].kinds[kind].bar.same_label
            assert 0 <= found["mean_iou"] <= 1
            assert found["images"] > 10
    # 8 channels of conv1 in float32 and more, and less than all layers at once.
    assert 32 < written["saved_model"]["float32"]["bytes_per_pixel"] < 4000
    assert written["tflite"]["float32"]["largest_difference"] <= 1e-5


def test_sizes_are_those_of_the_weights(exported, model):
    out, written = exported
    weights = 4 * sum(np.prod(weight.shape) for weight in model.weights)
    # The weights once, and the operations of five signatures.
    assert (out / "saved_model/1/saved_model.pb").stat().st_size <= 1.1 * weights
    sizes = {kind: found["bytes"] for kind, found in written["tflite"].items()}
    for kind, size in sizes.items():
        assert size == (out / f"tflite/1/scenes-{kind}.tflite").stat().st_size
    assert sizes["float32"] > weights
    assert 0.48 < sizes["float16"] / sizes["float32"] < 0.55
    assert 0.24 < sizes["dynamic"] / sizes["float32"] < 0.3
    assert 0.24 < sizes["int8"] / sizes["float32"] < 0.3


@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
def test_only_int8_computes_in_8_bits(exported, kind):
    """An activation is what has a height and a width that are free."""
    interpreter = Interpreter(str(exported[0] / f"tflite/1/scenes-{kind}.tflite"))
    tensors = interpreter.get_tensor_details()
    activations = [t["dtype"] for t in tensors if list(t["shape_signature"]).count(-1) >= 2]
    share = np.mean([dtype == np.int8 for dtype in activations])
    assert share > 0.5 if kind == "int8" else share == 0


@pytest.mark.parametrize("size", [(33, 65), (97, 131)])
def test_a_server_answers_what_the_model_does(signatures, model, size):
    image = random_images(*size, 3)
    expected = keras_scores(model, image)
    scores = signatures["scores"](images=tf.constant(image[None]))["scores"].numpy()[0]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    labels = signatures["labels"](images=tf.constant(image[None]))["labels"].numpy()[0]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, scores.argmax(-1))


def test_encoded_images_of_any_sizes_in_one_call(signatures, model):
    images = [random_images(40, 70, 3), random_images(97, 33, 3, seed=1)]
    contents = [encoded(images[0], "png"), encoded(images[1], "jpeg")]
    images[1] = np.asarray(Image.open(io.BytesIO(contents[1])))
    answer = signatures["serving_default"](image_bytes=tf.constant(contents))
    for image, png in zip(images, answer["label_png_bytes"].numpy(), strict=True):
        labels = np.asarray(Image.open(io.BytesIO(png)))
        assert labels.dtype == np.uint8
        expected = keras_scores(model, image).argmax(-1)
        assert (labels == expected).mean() > 0.999


def test_the_limit_of_pixels_and_the_description_are_those_of_the_export(signatures):
    pixels = np.zeros((400, 501, 3), np.uint8)
    contents = tf.constant([encoded(pixels, "png"), encoded(pixels[:, :500], "png")])
    reasons = signatures["check"](image_bytes=contents)["reason"].numpy()
    assert b"between 1 and 200000" in reasons[0]
    assert reasons[1] == b""
    for name in ("labels", "scores"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="between 1 and 200000"):
            signatures[name](images=tf.constant(pixels[None]))
    (text,) = signatures["describe"](image_bytes=tf.constant([""]))["description"].numpy()
    assert json.loads(text) == {
        "classes": list(CLASSES),
        "palette": COLORS,
        "max_pixels": MAX_PIXELS,
        "margin_px": 224,
        "value_range": [0, 4095],
        "bands": None,
    }


def test_the_server_warms_up_every_signature(exported, signatures):
    path = exported[0] / "saved_model/1/assets.extra/tf_serving_warmup_requests"
    names = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        names.append(request.model_spec.signature_name)
        inputs = {key: tf.constant(tf.make_ndarray(v)) for key, v in request.inputs.items()}
        signatures[names[-1]](**inputs)
    assert names == ["serving_default", "check", "describe", "labels", "scores"]


def test_no_operation_needs_python(exported):
    """A server has none."""
    content = (exported[0] / "saved_model/1/saved_model.pb").read_bytes()
    assert b"PyFunc" not in content
    assert b"EagerPyFunc" not in content


@pytest.mark.parametrize("format", ["saved_model", "tflite"])
def test_the_three_lines_of_a_card_run(exported, model, format, monkeypatch):
    folder = exported[0] / format / "1"
    text = (folder / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) == 3
    monkeypatch.chdir(folder)
    names = {"image": random_images(64, 96, 3)}
    exec(code, names)
    expected = keras_scores(model, names["image"])
    assert (np.asarray(names["labels"]) == expected.argmax(-1)).mean() > 0.999


def test_a_file_says_which_sizes_it_takes(exported):
    content = (exported[0] / "tflite/1/scenes-float32.tflite").read_bytes()
    assert b"An RGB image of any size whose sides are multiples of 32 px, values 0..255" in content


def run_tflite(path, image):
    interpreter = Interpreter(str(path))
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], (1, *image.shape))
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], image[None])
    interpreter.invoke()
    return given, interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_device_answers_what_the_model_does(exported, model, kind):
    # A scene of another seed: noise lies outside of what int8 was calibrated on.
    image = draw_scene(np.random.default_rng(7))[0][:64, :96]
    given, scores = run_tflite(exported[0] / f"tflite/1/scenes-{kind}.tflite", image)
    assert given["dtype"] == np.uint8
    expected = keras_scores(model, image)
    if kind == "float32":
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    two_best = np.sort(expected, axis=-1)[..., -2:]
    bar = FORMATS["tflite"].kinds[kind].bar
    decided = two_best[..., 1] - two_best[..., 0] > bar.margin
    same = scores.argmax(-1) == expected.argmax(-1)
    assert decided.mean() > 0.5
    assert same[decided].mean() > bar.same_label


def test_float16_rounds_the_weights_alone(tmp_path):
    """And not the mean colour, whose values float16 holds to 0.03 only."""
    model = narrow_fcn("fcn8s", 6)
    for weight in model.weights:
        weight.assign(np.float16(weight.numpy()))
    path = tmp_path / "m.tflite"
    path.write_bytes(convert(model, "float16", (70, 101)))
    image = random_images(70, 101, 3)
    _, scores = run_tflite(path, image)
    np.testing.assert_allclose(scores, keras_scores(model, image), atol=2e-5)


def test_int8_keeps_the_colours_apart(exported, model):
    """A converter once scaled the channels' order wrongly: plain colours show it."""
    path = exported[0] / "tflite/1/scenes-int8.tflite"
    for color in [(250, 10, 10), (10, 250, 10), (10, 10, 250), (5, 5, 5), (250, 250, 250)]:
        image = np.broadcast_to(np.uint8(color), (64, 64, 3)).copy()
        _, scores = run_tflite(path, image)
        assert np.abs(scores - keras_scores(model, image)).max() < 0.2, color


@pytest.mark.slow
def test_fixed_sizes_and_labels(model, few_scenes_dir, tmp_path):
    tflite = TFLiteOptions(quantize=("float32", "int8"), size=(64, 96), output="labels")
    options = ExportOptions(formats=("tflite",), tflite=tflite)
    data = DataConfig(name="shapes", tfds_dir=few_scenes_dir)
    written = export(model, tmp_path / "m", data, options)
    assert written["tflite"]["float32"]["largest_difference"] is None
    interpreter = Interpreter(str(tmp_path / "m/tflite/1/m-float32.tflite"))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 64, 96, 3]
    assert interpreter.get_output_details()[0]["dtype"] == np.uint8


@pytest.mark.slow
def test_bfloat16_halves_the_file(model, few_scenes_dir, tmp_path):
    data = DataConfig(name="shapes", tfds_dir=few_scenes_dir)
    options = ExportOptions(formats="saved_model", precision="bfloat16")
    found = export(model, tmp_path / "m", data, options)["saved_model"]["bfloat16"]
    assert 1e-4 < found["largest_difference"] < 0.3
    weights = 2 * sum(np.prod(weight.shape) for weight in model.weights)
    assert (tmp_path / "m/saved_model/1/saved_model.pb").stat().st_size < 1.2 * weights


def test_without_data_generated_scenes_serve_and_int8_is_refused(light, tmp_path):
    with pytest.raises(InputError, match="int8 needs images"):
        export(light, tmp_path / "m", options=tflite_alone(quantize="int8"))
    assert not (tmp_path / "m").exists()
    options = tflite_alone(quantize="float16", size=(64, 96))
    found = export(light, tmp_path / "m", options=options)["tflite"]["float16"]
    assert found["mean_iou"] is None
    described = json.loads((tmp_path / "m/tflite/1/export.json").read_text())
    assert described["verified_on"] == "generated scenes"


def test_what_differs_is_never_published(model, tmp_path):
    """The artefact of one network held against another."""
    image = random_images(64, 64, 3)

    def publish(model, other):
        with (
            Reference(other, [(image, None)]) as reference,
            new_version(tmp_path / "saved_model") as folder,
        ):
            write_saved_model(freeze(model), folder, MAX_PIXELS)
            reference.compare(folder, FORMATS["saved_model"], "float32", MAX_PIXELS)

    with pytest.raises(RunError, match="float32 SavedModel file is refused: a score differs by"):
        publish(model, narrow_fcn("fcn8s", 6, seed=1))
    assert not (tmp_path / "saved_model").exists()


def test_what_is_refused_does_not_hold_back_the_rest(light, tmp_path, monkeypatch):
    tflite = FORMATS["tflite"]
    kinds = {**tflite.kinds, "float16": Kind(bar=Bar(1e-12, 1.0, 1e-12))}
    monkeypatch.setitem(FORMATS, "tflite", replace(tflite, kinds=kinds))
    options = tflite_alone(quantize="float32,float16", size=(64, 96))
    with pytest.raises(RunError, match=r"float16 TFLite file is refused: .* It was not published"):
        export(light, tmp_path / "m", options=options)
    names = sorted(path.name for path in (tmp_path / "m/tflite/1").iterdir())
    assert names == ["README.md", "export.json", "labels.txt", "m-float32.tflite"]


def test_a_network_that_answers_the_same_everywhere_proves_nothing(tmp_path):
    fresh = build_fcn("fcn32s", 3, width=1 / 64, head_units=4)
    with pytest.raises(RunError, match="answers the same to everything"):
        export(fresh, tmp_path / "m", options=tflite_alone(quantize="float32", size=64))
    assert not (tmp_path / "m/tflite").exists()


def test_classes_that_are_not_the_models_are_refused(few_scenes_dir, tmp_path):
    other = narrow_fcn("fcn32s", 3, class_names=("a", "b", "c"))
    data = DataConfig(name="shapes", tfds_dir=few_scenes_dir)
    with pytest.raises(InputError, match="knows the classes a, b, c, but the data set has"):
        export(other, tmp_path / "m", data)
    assert not (tmp_path / "m").exists()


def test_versions_count_on_and_what_is_there_is_not_touched(tmp_path):
    tree = tmp_path / "scenes/saved_model"
    for number in (1, 2):
        with new_version(tree) as folder:
            (folder / "a").write_text(str(number))
    (tree / "7").mkdir()
    with new_version(tree) as folder:
        (folder / "a").write_text("8")
    assert sorted(path.name for path in tree.iterdir()) == ["1", "2", "7", "8"]
    assert (tree / "1/a").read_text() == "1"
    (tree / ".hidden").touch()
    check_tree(tree)
    for name in ("notes.txt", "other.txt"):
        (tree / name).write_text("mine")
    with pytest.raises(InputError, match=r"no folder of versions .* it holds notes.txt"):
        check_tree(tree)
    with pytest.raises(InputError, match="it is a file"):
        check_tree(tree / "notes.txt")
    # Before the model is looked at.
    for formats in ("saved_model", "tflite,saved_model"):
        with pytest.raises(InputError, match="no folder of versions"):
            export(tmp_path / "no model", tree.parent, options=ExportOptions(formats=formats))


def test_a_number_that_another_export_took_meanwhile_is_left_to_it(tmp_path, monkeypatch, capsys):
    newest_version, seen = versions.newest_version, []

    def published_meanwhile(folder):
        found = newest_version(folder)
        if not seen:
            (folder / "1").mkdir()
            (folder / "1/a").write_text("of the other")
        seen.append(found)
        return found

    monkeypatch.setattr(versions, "newest_version", published_meanwhile)
    with new_version(tmp_path / "tflite") as folder:
        (folder / "a").write_text("2")
    assert [(tmp_path / f"tflite/{n}/a").read_text() for n in (1, 2)] == ["of the other", "2"]
    assert capsys.readouterr().out == f"Written: {tmp_path}/tflite/2\n"


def test_a_disk_that_fills_leaves_the_version_before(tmp_path):
    tree = tmp_path / "tflite"
    with new_version(tree) as folder:
        (folder / "a").write_text("1")

    def fill_the_disk():
        with new_version(tree) as folder:
            (folder / "b").symlink_to("/dev/full")
            (folder / "b").write_text("2")

    with pytest.raises(OSError, match="No space left"):
        fill_the_disk()
    assert [path.name for path in tree.iterdir()] == ["1"]
    assert os.listdir(tree / "1") == ["a"]


@needs_extra("mediapipe", "mediapipe")
@pytest.mark.parametrize(("size", "image_px"), [((64, 96), (64, 96)), ("any", (512, 512))])
def test_mediapipe_gives_our_labels(model, tmp_path, size, image_px):
    """It gives a file of any size the size that the file declares."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = tflite_alone(quantize="float32", size=size)
    export(model, tmp_path / "m", options=options)
    path = tmp_path / "m/tflite/1/m-float32.tflite"
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(path)), output_category_mask=True
    )
    image = random_images(*image_px, 3, seed=5)
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        given = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        assert segmenter.labels == list(CLASSES)
        answer = segmenter.segment(given)
        mask = answer.category_mask.numpy_view().copy()  # a view of what `answer` holds
    labels = keras_scores(model, image).argmax(-1)
    assert (mask.squeeze() == labels).mean() >= 0.999
    assert len(np.unique(labels)) > 1


@pytest.mark.slow
def test_the_command_from_a_runs_own_data(
    tmp_path, few_scenes_dir, run_here, few_figures, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    data = f"--data.tfds_dir={few_scenes_dir}"
    narrow = ("--model.width=0.0625", "--model.head_units=8", "--training.max_steps=60")
    done = run_here(data, *narrow, "--workdir=run")
    assert done.returncode == 0, done.stderr
    arguments = ["export", "--model=run", "--out=exported/scenes", "--tflite.size=64x96"]
    done = command(*arguments, "--tflite.quantize=float32,float16", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    described = json.loads((tmp_path / "exported/scenes/tflite/1/export.json").read_text())
    assert described["size"] == "64x96"
    assert list(described["artefacts"]) == ["float32", "float16"]
    assert described["artefacts"]["float32"]["mean_iou"] is not None
    assert "Written: exported/scenes/saved_model/1" in done.stdout
    for option, message in [
        ("--tflite.size=64x", "HEIGHTxWIDTH"),
        ("--tflite.quantize=int4", "float32,float16,dynamic,int8"),
        ("--formats=coreml", "saved_model,tflite"),
        ("--model=nowhere", "no model"),
    ]:
        done = run_here(*arguments, option)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
