"""What an export gives to a format and takes from it, by one that writes down what it is given.

It stands in the place of TFLite. The network answers class 1 to everything, and the artefact the
red of an image, so that every number of the card can be worked out on paper.
"""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import yaml

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.shapes import draw_scene
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.card import escaped
from fcn_tf.exporting.export import export
from fcn_tf.exporting.formats import FORMATS, Bar, Kind
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.options import ExportOptions, SavedModelOptions, TFLiteOptions
from fcn_tf.images.read import resize
from fcn_tf.models import build_fcn, save_model
from fcn_tf.version import __version__
from tests.networks import narrow_fcn, random_images
from tests.sources import source_of

HANDMADE = """
def write(job, kind, folder):
    import numpy as np

    path = folder / f"{job.stem}-{kind}.npz"
    operations = job.logits.get_concrete_function().graph.get_operations()
    dtypes = {output.dtype.name for operation in operations for output in operation.outputs}
    np.savez(path, *job.calibration_images, is_bfloat16="bfloat16" in dtypes)
    return path


def run(artefact):
    import itertools

    import numpy as np

    numbers = itertools.count()

    def answer(image):
        np.save(artefact.replace(".npz", f"-shown-{next(numbers)}.npy"), image)
        labels = image[..., 0] % 3
        if "scores" in artefact:
            return {"scores": (0.1 + 0.7 * np.eye(3, dtype=np.float32))[labels]}
        return {"labels": labels}

    return answer
"""
CLASSES, PALETTE = ("sky", "sea", "sand"), [[1, 2, 3], [40, 50, 60], [7, 8, 9]]
LAX = Bar(largest_difference=None, same_label=0.25, margin=0.1)
KINDS = {
    "labels": Kind(bar=LAX),
    "scores": Kind(bar=replace(LAX, largest_difference=0.95)),
    "calibrated": Kind(bar=LAX, needs_images=True),
    "bfloat16": Kind(bar=LAX, computes_in="bfloat16"),
    "refused": Kind(bar=replace(LAX, same_label=0.7)),
}
# The red of an image, which the artefact answers, and its true label, of every second image of
# val; the others are not among the twelve that are compared.
VAL = [(0, 0), (1, 1), (1, 2)]


def plain_source(val=24):
    """Images of one colour: green is their number, blue 100 in val and 200 in train."""

    def pair(split, number):
        red, truth = VAL[number // 2 % 3] if number % 2 == 0 else (2, 0)
        color = (red, number, 100 if split == "val" else 200)
        return np.full((128, 128, 3), color, np.uint8), np.full((128, 128), truth, np.uint8)

    sizes = {"train": 10, "val": val}
    return source_of(CLASSES, **{s: [pair(s, n) for n in range(sizes[s])] for s in sizes})


@pytest.fixture(scope="module")
def model():
    model = build_fcn("fcn32s", 3, width=1 / 64, head_units=4, class_names=CLASSES, palette=PALETTE)
    model.get_layer("score_fr").bias.assign([0, 30, 0])
    return model


@contextlib.contextmanager
def in_place_of_tflite(folder):
    """Puts the format there, and has all data be `plain_source`; gives the data that are opened."""
    (folder / "handmade_format.py").write_text(HANDMADE)
    opened = []

    def open_source(data, trains):
        if data.data_dir:
            raise InputError("they are gone")
        opened.append(data)
        return plain_source(**({"val": 0} if data.tfds_dir == "no val" else {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        entry = replace(FORMATS["tflite"], module="handmade_format", kinds=KINDS)
        patch.setitem(FORMATS, "tflite", entry)
        patch.setattr("fcn_tf.exporting.export.open_source", open_source)
        yield opened


@pytest.fixture
def handmade(tmp_path):
    with in_place_of_tflite(tmp_path) as opened:
        yield opened


def handmade_options(quantize, **tflite):
    return ExportOptions(formats="tflite", tflite=TFLiteOptions(quantize=quantize, **tflite))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The folder of a version, what is returned, and the lines that are printed."""
    folder = tmp_path_factory.mktemp("format")
    with in_place_of_tflite(folder), contextlib.redirect_stdout(io.StringIO()) as said:
        options = handmade_options(
            "labels,scores,calibrated,bfloat16", size="any", calibration_images=4
        )
        written = export(model, folder / "scenes", DataConfig(name="shapes"), options)["tflite"]
    return folder / "scenes/tflite/1", written, said.getvalue().splitlines()


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def calibrated_on(path):
    """The images that a kind was written with."""
    return [array for name, array in arrays(path).items() if name.startswith("arr_")]


def shown_to(path):
    """The images that a kind was compared on, in their order."""
    count = len(list(path.parent.glob(f"{path.stem}-shown-*.npy")))
    return [np.load(path.with_name(f"{path.stem}-shown-{number}.npy")) for number in range(count)]


def test_the_numbers_of_a_card_are_those_worked_out_by_hand(exported):
    """A third of the images has the model's label 1 and is right, a third has it and is wrong."""
    folder, written, printed = exported
    for kind in ("labels", "scores", "calibrated", "bfloat16"):
        found = written[kind]
        assert found["same_label"] == pytest.approx(2 / 3)
        # Of class 0 all, of class 1 one half, of class 2 nothing.
        assert found["mean_iou"] == pytest.approx((1 + 1 / 2 + 0) / 3)
        # The model finds class 1, a third of what it calls so.
        assert found["reference_mean_iou"] == pytest.approx((0 + 1 / 3 + 0) / 3)
        assert found["images"] == 24  # twelve at two sizes
        assert found["file"] == f"scenes-{kind}.npz"
        assert found["bytes"] == (folder / found["file"]).stat().st_size
        assert found["same_label_required"] == 0.25
    assert written["labels"]["largest_difference"] is None
    # Where the artefact says 0.8 of class 0 and 0.1 of class 1, and the model 1 of class 1.
    assert written["scores"]["largest_difference"] == pytest.approx(0.9, abs=1e-6)
    assert written["scores"]["largest_difference_allowed"] == 0.95
    assert printed[-1] == f"Written: {folder}"
    shares = "mean IU 50.00 % (float32 model 11.11 %)"
    same = "same label on 66.667 % of the decided pixels"
    assert f"  labels: {same}; {shares}" in printed
    assert f"  scores: {same}; largest difference of a score 0.9; {shares}" in printed
    record = json.loads((folder / "export.json").read_text())
    assert record.pop("artefacts") == written
    assert record == {
        "model": None,
        "fcn_tf": __version__,
        "verified_on": "images of the data set",
        "margin_px": 224,
        "size": "any",
        "step_px": 32,
        "input": "uint8",
        "output": "scores",
        "classes": list(CLASSES),
        "palette": PALETTE,
    }
    assert (folder / "labels.txt").read_text() == "sky\nsea\nsand\n"


def test_the_card_has_what_was_measured(exported):
    folder = exported[0]
    text = (folder / "README.md").read_text()
    assert text.startswith("---\nlicense: unknown\n")
    assert "\n# scenes\n" in text
    assert "24 images, images of the data set." in text

    def row(kind, difference):
        file = folder / f"scenes-{kind}.npz"
        size = f"{file.stat().st_size / 1000:,.0f}"
        return f"| {kind} | {file.name} | {size} | {difference} | 66.667 | 50.0 | 11.1 |\n"

    assert row("labels", "–") in text
    assert row("scores", "0.9") in text
    assert 'fcn_tf.Predictor("scenes-labels.npz")' in text
    assert "They are not known" in text  # the scores of a model in memory


def test_twelve_images_of_val_are_compared_at_two_sizes(exported):
    shown = shown_to(exported[0] / "scenes-labels.npz")
    assert [image.shape for image in shown] == [(128, 128, 3), (96, 96, 3)] * 12
    assert [tuple(image[0, 0]) for image in shown[::2]] == [
        (VAL[number // 2 % 3][0], number, 100) for number in range(0, 24, 2)
    ]


def test_only_what_needs_images_is_calibrated_on_as_many_of_train(exported):
    """Four of ten: every third."""
    folder = exported[0]
    calibrated = calibrated_on(folder / "scenes-calibrated.npz")
    assert [tuple(image[0, 0, 1:]) for image in calibrated] == [(n, 200) for n in (0, 3, 6, 9)]
    assert not calibrated_on(folder / "scenes-labels.npz")


def test_a_kind_computes_in_its_precision(exported):
    found = {
        kind: bool(arrays(exported[0] / f"scenes-{kind}.npz")["is_bfloat16"])
        for kind in ("labels", "bfloat16")
    }
    assert found == {"labels": False, "bfloat16": True}


def test_a_fixed_size_is_that_of_all_images(model, handmade, tmp_path):
    """And the data without val are compared on train; what is below its bar is left out.

    The data that are named go over those of the run.
    """
    run = tmp_path / "run"
    run.mkdir()
    save_model(model, run / "model.keras")
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"name": "shapes"}}))
    options = handmade_options(
        "calibrated,refused", size=(4, 6), output="labels", calibration_images=2
    )
    data = DataConfig(name="shapes", tfds_dir="no val")
    with pytest.raises(RunError) as refused:
        export(run, tmp_path / "m", data, options)
    assert handmade == [data]
    said = "refused TFLite file is refused: 30 % of the decided pixels have the same label"
    assert f"{said}, and 70 % are required." in str(refused.value)
    folder = tmp_path / "m/tflite/1"
    shown = shown_to(folder / "m-calibrated.npz")
    assert [image.shape for image in shown] == [(4, 6, 3)] * 10
    assert {tuple(image[0, 0, 1:]) for image in shown} == {(n, 200) for n in range(10)}
    calibrated = calibrated_on(folder / "m-calibrated.npz")
    assert [image.shape for image in calibrated] == [(4, 6, 3)] * 2
    record = json.loads((folder / "export.json").read_text())
    assert (record["size"], record["output"]) == ("4x6", "labels")
    assert list(record["artefacts"]) == ["calibrated"]
    assert not (folder / "m-refused.npz").exists()


def test_a_run_whose_data_are_gone_is_compared_on_scenes(model, handmade, tmp_path, capsys):
    """On twelve, and what needs images is left out where nothing is asked for."""
    run, out = tmp_path / "run", tmp_path / "m"
    run.mkdir()
    save_model(model, run / "model.keras")
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"data_dir": str(tmp_path)}}))
    with pytest.raises(RunError, match=r"^The refused TFLite file is refused: .* not published\.$"):
        export(run, out, options=handmade_options(None, size="any"))
    said = capsys.readouterr().out
    assert "The data of the run are left out: they are gone" in said
    written = [line for line in said.splitlines() if line.startswith("TFLite, ")]
    assert written == [f"TFLite, {kind} …" for kind in KINDS if kind != "calibrated"]
    shown = shown_to(out / "tflite/1/m-labels.npz")
    random = np.random.default_rng(0)
    for image in shown[::2]:
        scene = draw_scene(random)[0]
        # To the next multiples of 32, which is what the files take.
        size_px = [-(-side // 32) * 32 for side in scene.shape[:2]]
        np.testing.assert_array_equal(image, resize(scene, size_px))
    assert len(shown) == 24
    record = json.loads((out / "tflite/1/export.json").read_text())
    assert record["verified_on"] == "generated scenes"
    card = (out / "tflite/1/README.md").read_text()
    assert "24 images, generated scenes." in card
    assert f"Data: {escaped(tmp_path.name)} (`data.name: folder`)" in card  # the run's
    assert record["model"] == str(run)
    assert record["artefacts"]["labels"]["mean_iou"] is None


def test_a_format_that_is_a_folder_has_one_kind(model, handmade, tmp_path, monkeypatch):
    """The first, where none is asked for; no file is named."""
    monkeypatch.setitem(FORMATS, "tflite", replace(FORMATS["tflite"], is_folder=True))
    found = export(model, tmp_path / "m", options=handmade_options(None))["tflite"]
    assert list(found) == ["labels"]
    assert not {"file", "bytes"} & set(found["labels"])


def test_the_settings_of_the_formats_are_those_of_the_options():
    options = ExportOptions(
        precision="bfloat16",
        saved_model=SavedModelOptions(max_pixels=77),
        tflite=TFLiteOptions(
            quantize="dynamic,int8",
            size=(4, 6),
            input="float32",
            output="labels",
            calibration_images=9,
        ),
    )
    saved_model = FORMATS["saved_model"].settings(options)
    assert (saved_model.kinds, saved_model.max_pixels) == (("bfloat16",), 77)
    assert (saved_model.size_px, dict(saved_model.described)) == (None, {})
    tflite = FORMATS["tflite"].settings(options)
    assert (tflite.kinds, tflite.size_px) == (("dynamic", "int8"), (4, 6))
    assert (tflite.calibration_images, tflite.max_pixels) == (9, None)
    described = {"size": "4x6", "step_px": None, "input": "float32", "output": "labels"}
    assert tflite.described == described
    default = FORMATS["tflite"].settings(ExportOptions())
    assert (default.kinds, default.size_px, default.calibration_images) == (None, (512, 512), 100)
    assert (tflite.step_px, default.step_px) == (1, 1)
    described = {"size": "512x512", "step_px": None, "input": "uint8", "output": "scores"}
    assert default.described == described
    free = FORMATS["tflite"].settings(ExportOptions(tflite=TFLiteOptions(size="any")))
    assert (free.size_px, free.step_px) == (None, 32)
    assert (free.described["size"], free.described["step_px"]) == ("any", 32)
    # Only what is calibrated has an input of int8.
    int8 = FORMATS["tflite"].settings(ExportOptions(tflite=TFLiteOptions(input="int8")))
    assert (int8.kinds, int8.described["input"]) == (("int8",), "int8")
    assert FORMATS["saved_model"].settings(ExportOptions()).kinds == ("float32",)
    assert FORMATS["onnx"].settings(options).described == {"size": "any", "opset": 17}


def test_the_kinds_are_those_of_the_pages():
    """docs/serving.md and docs/on-device.md name them, and how far each may differ."""
    bars = {
        (name, kind): (what.bar.largest_difference, what.bar.same_label, what.bar.margin)
        for name, format in FORMATS.items()
        for kind, what in format.kinds.items()
    }
    assert bars == {
        ("saved_model", "float32"): (1e-5, 0.9999, 1e-5),
        ("saved_model", "bfloat16"): (None, 0.99, 0.01),
        ("tflite", "float32"): (1e-5, 0.9999, 1e-5),
        ("tflite", "float16"): (0.01, 0.999, 0.01),
        ("tflite", "dynamic"): (None, 0.97, 0.01),
        ("tflite", "int8"): (None, 0.97, 0.01),
        ("tflite", "integer"): (None, 0.97, 0.01),
        ("web", "float32"): (1e-5, 0.9999, 1e-5),
        ("onnx", "float32"): (1e-5, 0.9999, 1e-5),
    }
    kinds = {(name, kind): FORMATS[name].kinds[kind] for name, kind in bars}
    in_bfloat16 = [place for place, what in kinds.items() if what.computes_in != "float32"]
    assert in_bfloat16 == [("saved_model", "bfloat16")]
    needing = [place for place, what in kinds.items() if what.needs_images]
    assert needing == [("tflite", "int8"), ("tflite", "integer")]
    assert [place for place, what in kinds.items() if what.remedy] == needing
    named = [place for place, what in kinds.items() if not what.by_default]
    assert named == [("tflite", "integer")]


def test_bfloat16_halves_the_constants_and_moves_the_scores_a_little():
    model = narrow_fcn("fcn32s", 3)
    image = random_images(1, 40, 50, 3)
    graphs = {
        precision: freeze(model, precision).get_concrete_function()
        for precision in ("float32", "bfloat16")
    }
    sizes = {name: graph.graph.as_graph_def().ByteSize() for name, graph in graphs.items()}
    assert 0.45 < sizes["bfloat16"] / sizes["float32"] < 0.6
    plain = model(image, training=False).numpy()
    np.testing.assert_allclose(graphs["float32"](tf.constant(image)), plain, atol=1e-4)
    moved = np.abs(graphs["bfloat16"](tf.constant(image)) - plain).max() / np.abs(plain).max()
    assert 1e-4 < moved < 0.1
