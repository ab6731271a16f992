"""Tiles against the whole image, and one interface over all kinds of models."""

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.shapes import CLASSES, draw_scene
from fcn_tf.errors import InputError, RunError
from fcn_tf.exporting.export import export
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions
from fcn_tf.exporting.saved_model import write_saved_model
from fcn_tf.exporting.verify import Reference
from fcn_tf.inference.keras_model import loaded_from_keras
from fcn_tf.inference.kinds import load_any
from fcn_tf.inference.loaded import saved_model_folder
from fcn_tf.inference.onnx import onnx_file
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import VARIANTS, build_fcn, save_model
from fcn_tf.models.margin import margin_px
from tests.extras import needs_extra
from tests.inference.handmade import handmade_model, handmade_scores
from tests.networks import NARROW, fill, narrow_fcn, random_images
from tests.processes import flipped

FIXTURES = Path(__file__).parent.parent / "fixtures"
COLORS = [[number, 2 * number, 255 - number] for number in range(6)]
HAS_ONNX = all(map(importlib.util.find_spec, ("onnxruntime", "tf2onnx")))
ONNX = pytest.param("onnx", marks=needs_extra("onnx", "onnxruntime", "tf2onnx"))


def scene(height_px, width_px, seed=0):
    """A generated scene, enlarged, so that there is something of every size in it."""
    image = Image.fromarray(draw_scene(np.random.default_rng(seed))[0])
    return np.asarray(image.resize((width_px, height_px)))


NARROWER = {"width": 1 / 16, "head_units": 32}  # for large images


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("geometry", ["same", "caffe"])
def test_tiles_give_what_the_whole_image_does(variant, geometry):
    network = loaded_from_keras(narrow_fcn(variant, geometry=geometry, **NARROWER))
    image = scene(550, 710)
    whole = network.scores(image[None])[0]
    predictor = Predictor(network, tile_px=256)
    assert len(predictor.tiles(image.shape)) == 9
    np.testing.assert_allclose(predictor.scores(image), whole, atol=1e-5)
    assert (predictor(image) == whole.argmax(-1)).mean() >= 0.99999
    assert whole.std(axis=(0, 1)).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_tiles_of_512_px_give_what_a_large_image_does(variant):
    network = loaded_from_keras(narrow_fcn(variant, **NARROWER))
    image = scene(1500, 2100)
    whole = network.scores(image[None])[0]
    predictor = Predictor(network, tile_px=512)
    np.testing.assert_allclose(predictor.scores(image), whole, atol=1e-4)
    assert (predictor(image) == whole.argmax(-1)).mean() >= 0.99999


def positive_fcn(fc6_kernel):
    """All weights above 0, so that every pixel that is looked at shows in the scores."""
    model = build_fcn("fcn8s", 3, **{**NARROW, "width": 1 / 16}, fc6_kernel=fc6_kernel)
    fill(model)
    for layer in model.layers:
        if not layer.name.startswith("upscore"):
            for weight in layer.weights:
                weight.assign(np.abs(weight.numpy()) / (weight.shape[-1] if weight.ndim > 1 else 1))
    return model


@pytest.mark.parametrize(("fc6_kernel", "reach_px"), [(7, 218), (1, 122)])
def test_the_margin_is_what_is_needed_and_no_more(fc6_kernel, reach_px):
    """Columns that the logits of a tile depend on, on an image that is brighter to the left."""
    model = positive_fcn(fc6_kernel)
    start = 512
    ramp = np.linspace(255, 150, 1024, dtype=np.float32)  # so that pooling takes the left one
    image = tf.constant(np.broadcast_to(ramp[:, None], (1, 64, 1024, 3)))
    with tf.GradientTape() as tape:
        tape.watch(image)
        kept = tf.reduce_sum(model(image, training=False)[:, :, start : start + 32])
    columns = np.flatnonzero(np.abs(tape.gradient(kept, image)).max((0, 1, 3)))
    assert start - columns[0] == reach_px
    assert columns[-1] < start + 32 + reach_px
    margin = margin_px(model)
    assert margin - 32 < reach_px <= margin
    _, fed = Predictor(loaded_from_keras(model), tile_px=32).tiles((32, 1024))[start // 32]
    assert fed == (slice(0, 32), slice(start - margin, start + 32 + margin))


def test_an_image_smaller_than_a_tile_and_one_above_the_default():
    network = loaded_from_keras(narrow_fcn("fcn32s"))
    image = scene(70, 90)
    np.testing.assert_array_equal(Predictor(network, tile_px=512)(image), Predictor(network)(image))
    assert len(Predictor(network).tiles((2000, 2000))) == 1
    assert len(Predictor(network).tiles((2001, 2000))) == 4


def test_batches_give_what_single_images_do():
    network = loaded_from_keras(narrow_fcn("fcn8s"))
    images = [scene(64, 96, 0), scene(40, 33, 1), scene(64, 96, 2), scene(64, 96, 3)]
    single = [Predictor(network)(image) for image in images]
    together = Predictor(network, batch_size=2)(images)
    for one, other in zip(single, together, strict=True):
        assert one.shape == other.shape
        assert (one == other).mean() > 0.999
    large = scene(520, 640)
    tiled = Predictor(network, tile_px=128, batch_size=4)
    assert (tiled(large) == Predictor(network)(large)).mean() >= 0.99999


def test_flip_and_scales_average_scores():
    network = loaded_from_keras(narrow_fcn("fcn8s"))
    image = scene(64, 96)

    def scores(pixels):
        return network.scores(np.ascontiguousarray(pixels)[None])[0]

    mirrored = scores(image[:, ::-1])[:, ::-1]
    expected = (scores(image) + mirrored) / 2
    np.testing.assert_allclose(Predictor(network, flip=True).scores(image), expected, atol=1e-6)
    half = np.asarray(Image.fromarray(image).resize((48, 32), Image.Resampling.BILINEAR))
    channels = np.moveaxis(scores(half), -1, 0)
    enlarged = [
        Image.fromarray(np.ascontiguousarray(channel)).resize((96, 64), Image.Resampling.BILINEAR)
        for channel in channels
    ]
    expected = (scores(image) + np.stack(enlarged, -1)) / 2
    predictor = Predictor(network, scales=(1.0, 0.5))
    np.testing.assert_allclose(predictor.scores(image), expected, atol=1e-6)
    np.testing.assert_array_equal(predictor(image), expected.argmax(-1))


def resized(array, height_px, width_px):
    """Pillow's bilinear resize; of scores, channel by channel."""
    channels = np.moveaxis(array, -1, 0)
    size = (width_px, height_px)
    done = [
        Image.fromarray(np.ascontiguousarray(c)).resize(size, Image.Resampling.BILINEAR)
        for c in channels
    ]
    return np.stack(done, -1)


def test_each_scale_is_mirrored_and_the_labels_are_of_the_average():
    network, shapes = handmade_model()
    image = random_images(4, 8, 3)
    passes = [
        resized(one[:, ::step], 4, 8)
        for size in ((4, 8), (6, 12))
        for step in (1, -1)
        for one in [handmade_scores(resized(image, *size)[None, :, ::step])[0]]
    ]
    predictor = Predictor(network, flip=True, scales=(1.0, 1.5))
    expected = np.mean(passes, axis=0)
    np.testing.assert_allclose(predictor.scores(image), expected, atol=1e-6)
    assert shapes == [(1, 4, 8, 3)] * 2 + [(1, 6, 12, 3)] * 2
    np.testing.assert_array_equal(predictor(image), expected.argmax(-1))
    flipped = np.mean(passes[:2], axis=0).argmax(-1)
    np.testing.assert_array_equal(Predictor(network, flip=True)(image), flipped)
    assert (flipped != passes[0].argmax(-1)).any()
    assert (flipped != expected.argmax(-1)).any()


def test_so_many_tiles_at_once():
    image = random_images(32, 224, 3)  # seven tiles of 32 px

    def calls(**options):
        """How many tiles each call takes."""
        options = {"tile_px": 32, **options}
        network, shapes = handmade_model(max_pixels=options.pop("max_pixels", None))
        Predictor(network, **options)(image)
        return [shape[0] for shape in shapes]

    assert calls() == [1] * 7
    assert calls(batch_size=3) == [3, 3, 1]
    assert calls(batch_size=3, max_pixels=2 * 32 * 32) == [2, 2, 2, 1]
    assert calls(batch_size=3, max_pixels=8 * 32 * 32 - 1, scales=(1.0, 2.0)) == [1] * 14
    assert calls(batch_size=3, max_pixels=8 * 32 * 32, scales=(1.0, 2.0)) == [2, 2] * 3 + [1, 1]
    # Images of one size that are not cut go together too.
    network, shapes = handmade_model()
    images = [random_images(4, width, 3, seed=width) for width in (6, 5, 6, 6)]
    answers = Predictor(network, batch_size=2)(images)
    assert shapes == [(2, 4, 6, 3), (1, 4, 5, 3), (1, 4, 6, 3)]
    for one, answer in zip(images, answers, strict=True):
        np.testing.assert_array_equal(answer, handmade_scores(one[None])[0].argmax(-1))


def test_an_image_above_what_the_model_takes_is_cut_into_tiles_that_it_takes():
    """928 px and twice the margin of 32 px are 992 px; 1024 px would be above a megapixel."""

    def tiles(*shape, scales=(1.0,), **model):
        network, _ = handmade_model(**{"margin_px": 32, **model})
        return Predictor(network, scales=scales).tiles(shape)

    first = ((slice(0, 928), slice(0, 928)), (slice(0, 960), slice(0, 960)))
    for scales, max_pixels in (((1.0,), 1_000_000), ((0.5,), 1_000_000), ((1, 2), 4_000_000)):
        assert len(tiles(1000, 1000, max_pixels=max_pixels, scales=scales)) == 1
        cut = tiles(1000, 1001, max_pixels=max_pixels, scales=scales)
        assert len(cut) == 4
        assert cut[0] == first
    last = ((slice(928, 1000), slice(928, 1001)), (slice(896, 1000), slice(896, 1001)))
    assert cut[-1] == last
    # What has no margin or one size is not cut, however large.
    assert len(tiles(3000, 3000)) == 9
    assert len(tiles(3000, 3000, margin_px=None)) == 1
    assert len(tiles(3000, 3000, size_px=(64, 64))) == 1


def test_a_model_that_is_not_cut_names_the_layer():
    network, _ = handmade_model(margin_px=None, whole_image_layer='Lambda "mean"')
    with pytest.raises(InputError, match=r'tile_px: of the layer Lambda "mean" it is not known'):
        Predictor(network, tile_px=64)
    assert loaded_from_keras(narrow_fcn("fcn32s")).whole_image_layer is None


def test_a_bar_counts_the_tiles_of_an_image_with_many(capsys):
    def said(width_px, **options):
        network, _ = handmade_model()
        options = {"tile_px": 32, "shows_progress": True, **options}
        Predictor(network, **options)(random_images(32, width_px, 3))
        return capsys.readouterr().out

    assert said(15 * 32) == ""
    assert said(16 * 32, shows_progress=False) == ""
    tiles, groups = said(16 * 32), said(48 * 32, batch_size=3)
    for bar, unit in ((tiles, " tiles"), (groups, " groups")):
        assert " 16/16 [" in bar
        assert f"{unit}/s]" in bar


def test_a_file_of_fixed_size_with_scores():
    network, shapes = handmade_model(size_px=(4, 6))
    image = random_images(8, 9, 3)
    expected = resized(handmade_scores(resized(image, 4, 6)[None])[0], 8, 9)
    np.testing.assert_allclose(Predictor(network).scores(image), expected, atol=1e-6)
    np.testing.assert_array_equal(Predictor(network)(image), expected.argmax(-1))
    assert shapes == [(1, 4, 6, 3)] * 2


def test_paths_and_pillow_images(tmp_path):
    network = loaded_from_keras(narrow_fcn("fcn32s"))
    image = scene(50, 60)
    Image.fromarray(image).save(tmp_path / "a.png")
    expected = Predictor(network)(image)
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(image)):
        np.testing.assert_array_equal(Predictor(network)(given), expected)


@pytest.fixture(scope="module")
def kinds(few_scenes_dir, tmp_path_factory):
    """A model, and the paths of it in every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    model = narrow_fcn(
        "fcn8s", 6, class_names=CLASSES, palette=COLORS, value_range=(0, 4095), bands=(1, 2, 3)
    )
    logits = np.asarray(model(scene(96, 96)[None], training=False))
    bias = model.get_layer("score_fr").bias
    bias.assign(bias - logits.mean((0, 1, 2)))
    save_model(model, folder / "m.keras")
    data = DataConfig(name="shapes", tfds_dir=few_scenes_dir)
    formats = ("saved_model", "tflite", *(["onnx"] if HAS_ONNX else ()))
    tflite = TFLiteOptions(quantize="float32,int8", size="any")
    scores = ExportOptions(formats=formats, tflite=tflite)
    tflite = TFLiteOptions(quantize="float32", size=(64, 96), output="labels")
    labels = ExportOptions(formats="tflite", tflite=tflite)
    with pytest.MonkeyPatch.context() as patch:  # the tests themselves compare
        found = dict.fromkeys(("largest_difference", "mean_iou", "reference_mean_iou"))
        found |= {"same_label": 1.0, "images": 0}
        patch.setattr(Reference, "compare", lambda *given, **options: found)
        patch.setattr("fcn_tf.exporting.export.VERIFIED_IMAGES", 1)
        export(model, folder / "m", data, scores)
        export(model, folder / "fixed", data, labels)
    files = {kind: folder / f"m/tflite/1/m-{kind}.tflite" for kind in ("float32", "int8")}
    folders = {"saved_model": folder / "m/saved_model", "onnx": folder / "m/onnx"}
    paths = {"keras": folder / "m.keras", **folders, **files}
    return model, paths, folder / "fixed/tflite/1/fixed-float32.tflite"


@pytest.mark.parametrize("kind", ["keras", "saved_model", "float32", "int8", ONNX])
def test_every_kind_gives_the_same(kinds, kind):
    model, paths, _ = kinds
    image = scene(96, 128, seed=4)
    expected = loaded_from_keras(model).scores(image[None])[0]
    predictor = Predictor(paths[kind])
    network = predictor.model
    assert network.class_names == CLASSES
    assert network.palette == COLORS
    assert (network.value_range, network.bands) == ((0, 4095), (1, 2, 3))
    assert network.num_classes == 6
    assert network.margin_px == 224
    assert network.max_pixels == (4_000_000 if kind == "saved_model" else None)
    assert network.size_px is None
    scores = predictor.scores(image)
    assert scores.shape == (96, 128, 6)
    if kind != "int8":
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    two_best = np.sort(expected, axis=-1)[..., -2:]
    decided = two_best[..., 1] - two_best[..., 0] > 0.01
    assert decided.mean() > 0.5
    same = predictor(image) == expected.argmax(-1)
    assert same[decided].mean() >= (0.97 if kind == "int8" else 1.0)
    # In tiles too.
    large = scene(300, 330, seed=5)
    tiled = Predictor(dataclasses.replace(network), tile_px=96)
    same = tiled(large) == Predictor(network)(large)
    assert same.mean() >= (0.97 if kind == "int8" else 0.99999)


def in_threads(count, function):
    """What `function` returns to the numbers below `count`, each in a thread of its own."""
    together = threading.Barrier(count, timeout=60)

    def work(number):
        together.wait()
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize("kind", ["keras", "saved_model", "float32", "int8", "fixed", ONNX])
def test_threads_have_the_answers_that_they_have_alone(kinds, kind):
    """Images of several sizes at once: an interpreter of TFLite is set up for one."""
    _, paths, fixed = kinds
    predictor = Predictor({**paths, "fixed": fixed}[kind])  # not called before the threads call it
    images = [scene(*size, seed=5) for size in ((32, 48), (40, 33), (64, 96))]

    def answers(image):
        return predictor(image), None if kind == "fixed" else predictor.scores(image)

    def several(number):
        return [answers(images[(number + turn) % 3]) for turn in range(6)]

    in_all_threads = in_threads(8, several)
    alone = [answers(image) for image in images]
    for number, found in enumerate(in_all_threads):
        for turn, (labels, scores) in enumerate(found):
            expected_labels, expected_scores = alone[(number + turn) % 3]
            np.testing.assert_array_equal(labels, expected_labels)
            if scores is not None:
                np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


def in_a_fork(function):
    """What a child process that is forked from this one says: the `RunError` that is raised."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a child that hangs
        try:
            function()
        except RunError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        message = said.read()
    os.waitpid(child, 0)
    return message


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
# Of Python, and of JAX where another test has imported it.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:os.fork:RuntimeWarning")
@pytest.mark.parametrize("kind", ["keras", "saved_model", "int8", ONNX])
def test_a_child_that_is_forked_is_refused_and_does_not_hang(kinds, kind):
    model, paths, _ = kinds
    image = scene(32, 48)
    predictor = Predictor(paths[kind])
    expected = predictor(image)
    calls = [lambda: predictor(image), lambda: predictor.scores(image)]
    if kind in ("keras", "saved_model"):
        calls += [lambda: load_any(paths[kind]), lambda: loaded_from_keras(model)]
    for call in calls:
        assert "Build the Predictor in each child process" in in_a_fork(call)
    np.testing.assert_array_equal(predictor(image), expected)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_predictor_that_is_built_after_a_fork_works():
    """The parent has imported all there is, and computed nothing."""
    tflite = FIXTURES / "old_export/tflite/1/old_export-float32.tflite"
    paths = (FIXTURES / "old_run", FIXTURES / "old_export/saved_model", tflite)
    files = [str(path) for path in paths]
    text = (
        "import os, numpy as np, fcn_tf, fcn_tf.inference.predictor\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    image = np.zeros((32, 48, 3), np.uint8)\n"
        f"    done = [fcn_tf.Predictor(path)(image).shape == (32, 48) for path in {files}]\n"
        "    os._exit(0 if all(done) else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text], timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_file_of_fixed_size_with_labels(kinds):
    model, _, path = kinds
    predictor = Predictor(path)
    assert (predictor.model.num_classes, predictor.model.palette) == (6, COLORS)
    assert predictor.model.size_px == (64, 96)
    image = scene(64, 96, seed=6)
    expected = loaded_from_keras(model).labels(image[None])[0]
    assert (predictor(image) == expected).mean() > 0.999
    doubled = np.repeat(np.repeat(image, 2, 0), 2, 1)
    # Brought to the file's size, and the labels back.
    halved = np.asarray(Image.fromarray(doubled).resize((96, 64), Image.Resampling.BILINEAR))
    expected = np.repeat(np.repeat(predictor(halved), 2, 0), 2, 1)
    np.testing.assert_array_equal(predictor(doubled), expected)
    for wrong in ({"tile_px": 64}, {"flip": True}, {"scales": (0.5,)}):
        with pytest.raises(InputError, match=r"fixed size|labels alone"):
            Predictor(path, **wrong)
    with pytest.raises(InputError, match="labels alone"):
        predictor.scores(image)


def test_what_lies_beside_a_tflite_file_describes_it(kinds, tmp_path):
    """Without it the labels are numbers, and up to 255 of them."""
    *_, path = kinds
    shutil.copy(path, tmp_path / "m.tflite")
    network = load_any(tmp_path / "m.tflite")
    assert (network.num_classes, network.class_names) == (255, None)
    assert network.classes.names[254] == "254"
    assert (network.margin_px, network.scores) == (None, None)
    for name in ("old_export-float32.tflite", "export.json"):
        shutil.copy(FIXTURES / "old_export/tflite/1" / name, tmp_path)
    about = json.loads((tmp_path / "export.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps({**about, "classes": ["a", "b"]}))
    with pytest.raises(InputError, match=r"has 3 classes and export\.json beside it names 2"):
        load_any(tmp_path / "old_export-float32.tflite")


def test_the_onnx_file_of_the_newest_version_is_taken(tmp_path):
    """Of an export alone: a run folder is that of its Keras model, whatever lies in it."""
    for version in ("9", "10"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "m.onnx").touch()
    (tmp_path / "9/export.json").touch()
    assert onnx_file(tmp_path / "10") is None
    assert onnx_file(tmp_path) == onnx_file(tmp_path / "9") == tmp_path / "9/m.onnx"
    (tmp_path / "10/export.json").touch()
    assert onnx_file(tmp_path) == tmp_path / "10/m.onnx"
    (tmp_path / "9/saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read as a SavedModel"):
        load_any(tmp_path / "9")
    (tmp_path / "10/other.onnx").touch()
    assert onnx_file(tmp_path) is None
    assert onnx_file(tmp_path / "none.onnx") == tmp_path / "none.onnx"


@needs_extra("onnx", "onnxruntime", "tf2onnx")
def test_onnx_files_that_are_no_exports_are_refused(tmp_path):
    def save(name, given, dtype):
        tensors = [
            onnx.helper.make_tensor_value_info(name, dtype, ["N", "H", "W", 3])
            for name in (given, "scores")
        ]
        node = onnx.helper.make_node("Identity", [given], ["scores"])
        graph = onnx.helper.make_graph([node], "g", tensors[:1], tensors[1:])
        opset = [onnx.helper.make_opsetid("", 17)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        (tmp_path / name).write_bytes(model.SerializeToString())

    onnx = pytest.importorskip("onnx")
    save("floats.onnx", "images", onnx.TensorProto.FLOAT)
    save("other.onnx", "x", onnx.TensorProto.UINT8)
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "damaged.onnx").write_bytes(b"nothing")
    for name, message in [
        ("floats", "does not take uint8 images and give scores: it is not an export"),
        ("other", "does not take uint8 images"),
        ("empty", r"empty\.onnx cannot be read as an ONNX file: it is empty"),
        ("damaged", r"damaged\.onnx cannot be read as an ONNX file: .*copy it again"),
        ("none", r"none\.onnx is no model: there is no such file"),
    ]:
        with pytest.raises(InputError, match=message):
            load_any(tmp_path / f"{name}.onnx")


def test_without_onnx_runtime_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"run by ONNX Runtime: pip install 'fcn_tf\[onnx\]'"):
        load_any(tmp_path / "m.onnx")


@needs_extra("onnx", "onnxruntime", "tf2onnx")
def test_an_onnx_file_without_memory_is_no_damaged_file(kinds, monkeypatch):
    import onnxruntime

    class Full(onnxruntime.InferenceSession):
        def run(self, *given):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 51")

    monkeypatch.setattr(onnxruntime, "InferenceSession", Full)
    with pytest.raises(MemoryError, match="size 51"):
        Predictor(kinds[1]["onnx"])(scene(32, 48))


def test_the_newest_version_with_a_saved_model_is_taken(tmp_path):
    for version in ("9", "10", "11"):
        (tmp_path / version).mkdir()
    assert saved_model_folder(tmp_path) is None
    for version in ("9", "10"):
        (tmp_path / version / "saved_model.pb").touch()
    assert saved_model_folder(tmp_path) == tmp_path / "10"
    assert saved_model_folder(tmp_path / "9") == tmp_path / "9"


def test_a_saved_model_says_what_it_refuses(tmp_path):
    """It was exported for fewer pixels than a call has, and has no margin to be cut with."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def logits(images):
        return tf.cast(images, tf.float32)

    write_saved_model(logits, tmp_path / "1", max_pixels=100)
    predictor = Predictor(tmp_path)
    image = random_images(10, 10, 3)
    np.testing.assert_array_equal(predictor(image), image.argmax(-1))
    for run in (predictor, predictor.scores):
        with pytest.raises(InputError, match=r"--tile_px: .* is\] \[110\] .* 1 and 100 "):
            run(random_images(10, 11, 3))


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"{tmp_path}/m.tflite is no model"):
        load_any("~/m.tflite")


def test_what_does_not_fit_is_refused(tmp_path):
    network = loaded_from_keras(narrow_fcn("fcn32s"))
    for options, message in [
        ({"tile_px": 100}, "multiple of 32"),
        ({"tile_px": 0}, "multiple of 32"),
        ({"scales": (0.0,)}, "above 0"),
        ({"batch_size": 0}, "at least 1"),
    ]:
        with pytest.raises(InputError, match=message):
            Predictor(network, **options)
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(InputError, match=r"uint8 \(height, width, 3\)|at least one pixel"):
            Predictor(network)(image)
    (tmp_path / "m.tflite").write_bytes(b"nothing")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"nothing")
    (tmp_path / "empty.tflite").write_bytes(b"")
    for path, message in [
        (tmp_path / "m.tflite", r"m\.tflite cannot be read as a TFLite file: .*copy it again"),
        (tmp_path / "empty.tflite", r"empty\.tflite cannot .*: it is empty"),
        (tmp_path / "saved", r"saved cannot be read as a SavedModel: .*copy it again"),
        (tmp_path / "none.tflite", "no such file"),
        (tmp_path, "no model"),
    ]:
        with pytest.raises(InputError, match=message):
            load_any(path)


def test_damaged_exports_are_named(tmp_path):
    """The variables of a SavedModel have checksums; a TFLite file fails when it runs."""
    shutil.copytree(FIXTURES / "old_export/saved_model/1", tmp_path / "saved")
    values = tmp_path / "saved/variables/variables.data-00000-of-00001"
    values.write_bytes(flipped(values.read_bytes(), 100))
    with pytest.raises(InputError, match="saved cannot be read as a SavedModel"):
        load_any(tmp_path / "saved")
    values.write_bytes(b"")  # TensorFlow raises an IndexError
    with pytest.raises(InputError, match="saved cannot be read as a SavedModel"):
        load_any(tmp_path / "saved")
