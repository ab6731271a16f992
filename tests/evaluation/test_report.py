"""The report: every number that it shows, worked out by hand from a few images of some pixels."""

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.data.skipped import Skipped
from fcn_tf.data.source import Source
from fcn_tf.evaluation import report
from fcn_tf.evaluation.report import _extremes, default_out, write_report
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.predictor import Predictor
from tests.evaluation.test_page import Page

CLASSES = ("sky", "road", "<car>")
PALETTE = [[10, 0, 0], [0, 20, 0], [0, 0, 30]]
LETTERS = {"s": 0, "r": 1, "c": 2, ".": VOID}
# 13 images of 16 px of sky, of which A takes so many for road: the first none, the sixth twelve.
WRONG = [5 * number % 13 for number in range(13)]
# The truth of each image of each split, row by row, and what the models A and B answer.
TRUTH = {
    "train": ["s" * 16] * 13,
    "val": [".... ....", "ssss rrrr", "ssss ssss", "rrr. rrr."],
    "test": ["ssrr ssrr"],
    "void": ["...."],
    "pixel": ["s"],
}
A = {
    "train": ["r" * wrong + "s" * (16 - wrong) for wrong in WRONG],
    "val": ["cccc cccc", "ssss rrrr", "ssss ssrr", "ssrc srrc"],
    "test": ["ssrr srrr"],
    "void": ["ssss"],
    "pixel": ["s"],
}
B = {
    "train": ["s" * 16] * 13,
    "val": ["ssss ssss", "sccc rrrr", "ssss ssss", "rrrr rrrr"],
    "test": ["ssss ssss"],
    "void": ["ssss"],
    "pixel": ["s"],
}
GREY = {"train": 100, "val": 10, "test": 50, "void": 60, "pixel": 70}  # of a split's first image
SCORES_OF_A = {
    "pixel_accuracy": 17 / 22,
    "mean_accuracy": (10 / 12 + 7 / 10) / 2,
    "mean_iou": (10 / 15 + 7 / 12) / 2,
    "frequency_weighted_iou": (12 * 10 / 15 + 10 * 7 / 12) / 22,
    "mean_dice": (20 / 25 + 14 / 19) / 2,
    "class_iou": {"sky": 10 / 15, "road": 7 / 12, "<car>": None},
    "class_dice": {"sky": 20 / 25, "road": 14 / 19, "<car>": None},
    "confusion_matrix": [[10, 2, 0], [3, 7, 0], [0, 0, 0]],
}
SCORES_OF_B = {
    "pixel_accuracy": 19 / 22,
    "mean_accuracy": (9 / 12 + 1) / 2,
    "mean_iou": (9 / 12 + 1 + 0) / 3,
    "frequency_weighted_iou": (12 * 9 / 12 + 10) / 22,
    "mean_dice": (18 / 21 + 1 + 0) / 3,
    "class_iou": {"sky": 9 / 12, "road": 1.0, "<car>": 0.0},
    "class_dice": {"sky": 18 / 21, "road": 1.0, "<car>": 0.0},
    "confusion_matrix": [[9, 0, 3], [0, 10, 0], [0, 0, 0]],
}


def labels_of(text):
    return np.array([[LETTERS[letter] for letter in row] for row in text.split()], np.uint8)


def picture(split, number):
    """An image that is grey all over, and its number in its split the shade."""
    size = labels_of(TRUTH[split][number]).shape
    return np.full((*size, 3), GREY[split] + number, np.uint8)


def make_source():
    def records(split):
        numbers = range(len(TRUTH[split]))
        masks = [labels_of(text)[..., None] for text in TRUTH[split]]
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": np.stack([picture(split, number) for number in numbers]),
                "segmentation_mask": np.stack(masks),
                "file_name": [f"{number}.png" for number in numbers],
            }
        )

    return Source(
        class_names=CLASSES,
        split_sizes={split: len(texts) for split, texts in TRUTH.items()},
        records=records,
        image_size=lambda record: tf.shape(record["image"])[:2],
        decode=lambda record, window=None: record,
    )


def predictor(answers, gives_scores=True):
    """Of a model that is 0.7 sure of the second image of val, and 0.9 of all else."""
    known = {
        GREY[split] + number: labels_of(text)
        for split, texts in answers.items()
        for number, text in enumerate(texts)
    }

    def labels(images):
        return np.stack([known[image[0, 0, 0]] for image in images])

    def scores(images):
        sure = np.where(images == GREY["val"] + 1, 0.7, 0.9)
        is_label = np.eye(len(CLASSES))[labels(images)]
        return np.where(is_label, sure, (1 - sure) / 2).astype(np.float32)

    return Predictor(
        LoadedModel(
            scores=scores if gives_scores else None,
            labels=labels,
            num_classes=len(CLASSES),
            class_names=CLASSES,
            palette=PALETTE,
            margin_px=None,
        )
    )


@pytest.fixture
def drawn(monkeypatch):
    """The figures by the names of their files, which hold their names alone."""
    figures = {}

    def write(path, figure):
        figures[path.name] = figure
        path.write_bytes(path.name.encode())

    monkeypatch.setattr(report, "write_figure", write)
    return figures


def written(out, name="scores.json"):
    return json.loads((out / name).read_text(encoding="utf-8"))


def page_of(out):
    return Page((out / "report.html").read_text(encoding="utf-8"))


def printed_rows(text):
    """The rows of the printed table: the name, and the numbers behind it."""
    lines = map(str.strip, re.split(r"images?:\n", text)[1].splitlines())
    rows = [re.fullmatch(r"(.*?)  +(.*) %", line) for line in lines if line.endswith(" %")]
    return [[row[1], *row[2].split()] for row in rows]


def assert_scores(summary, expected):
    """Compares a summary with the scores that are expected of it."""
    assert summary["confusion_matrix"] == expected["confusion_matrix"]
    for name in expected.keys() - {"confusion_matrix"}:
        assert summary[name] == pytest.approx(expected[name]), name


def titles(figure):
    """The titles of a sheet's images, in the order in which they stand there."""
    return [text.get_text() for text in figure.axes[0].texts][::4]


def test_the_numbers_of_a_report(drawn, tmp_path, capsys):
    write_report({"runs/a": predictor(A)}, make_source(), "val", tmp_path)
    summary = written(tmp_path)
    assert_scores(summary, SCORES_OF_A)
    assert (summary["split"], summary["images"]) == ("val", 4)
    # Up to 1 px from an edge all are right; at 2 px and at 3 px a half of road and all of it
    # is taken for sky.
    near = {1: 1, 2: (4 / 5 + 7 / 8) / 2, 4: (4 / 7 + 7 / 10) / 2}
    near |= dict.fromkeys((8, 16, 32), near[4])
    expected = {str(px): iou for px, iou in near.items()}
    assert summary["mean_iou_near_edges_px"] == pytest.approx(expected)
    # 8 px at 0.7, all right; 14 at 0.9, of which 9 are right.
    error = (abs(8 * 0.7 - 8) + abs(14 * 0.9 - 9)) / 22
    assert summary["calibration_error"] == pytest.approx(error, abs=1e-6)

    said = capsys.readouterr().out
    assert "Scores on val, 4 images:" in said
    assert re.search(r" 4/4 \[.* images", said)  # the bar
    assert f"Written: {tmp_path / 'report.html'}, {tmp_path / 'scores.json'}" in said
    rows = [
        ["pixel accuracy", "77.3"],
        ["mean accuracy", "76.7"],
        ["mean IU", "62.5"],
        ["frequency weighted IU", "62.9"],
        ["mean Dice", "76.8"],
        ["IU sky", "66.7"],
        ["IU road", "58.3"],
        ["IU <car>", "–"],
        ["Dice sky", "80.0"],
        ["Dice road", "73.7"],
        ["Dice <car>", "–"],
    ]
    assert printed_rows(said) == rows

    page = page_of(tmp_path)
    assert page.title == "a on val"
    assert page.lines == ["runs/a on val, 4 images: mean IU 62.5 %."]
    scores = page.sections["Scores"]
    assert scores["head"] == ["", "%"]
    assert [[name.strip(), value] for name, value in scores["rows"][1:]] == rows
    pictures = {
        heading: (section["picture"].decode(), section.get("text", ""))
        for heading, section in page.sections.items()
        if heading != "Scores"
    }
    errors = "Errors in red; what is not labelled is pale."
    by_score = f"By the image's own mean IU. {errors}"
    assert pictures == {
        "IU of each class": ("class_iou.png", ""),
        "What is taken for what": (
            "confusion.png",
            "Each row is divided by the pixels of its true class; in %.",
        ),
        "Samples": ("sample_sheet.png", errors),
        "The worst images": ("worst.png", by_score),
        "The median images": ("median.png", by_score),
        "The best images": ("best.png", by_score),
        "Near the edges": (
            "edges.png",
            "The mean IU of pixels near the objects' edges (trimap).",
        ),
        "How sure, and how right": ("calibration.png", "Expected calibration error 27.3 %."),
    }

    (bars,) = drawn["class_iou.png"].axes
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [10 / 15, 7 / 12, 0])
    colors = [bar.get_facecolor()[:3] for bar in bars.patches]
    np.testing.assert_allclose(colors, np.array(PALETTE) / 255)
    (confusion,) = drawn["confusion.png"].axes
    numbers = {text.get_position(): text.get_text() for text in confusion.texts}
    assert numbers == {(0, 0): "83", (1, 0): "17", (0, 1): "30", (1, 1): "70"}
    assert [label.get_text() for label in confusion.get_yticklabels()] == list(CLASSES)
    near_line, whole = drawn["edges.png"].axes[0].lines
    np.testing.assert_allclose(near_line.get_ydata(), list(near.values()))
    np.testing.assert_allclose(whole.get_ydata(), SCORES_OF_A["mean_iou"])
    _, curve = drawn["calibration.png"].axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [(0.7, 1), (0.9, 9 / 14)], rtol=1e-6)


@pytest.mark.parametrize(("split", "iou"), [("void", None), ("pixel", 1.0)])
def test_a_split_without_an_object_has_a_report(drawn, tmp_path, split, iou):
    """Nothing is labelled, or one pixel that is right: no edge has a score."""
    skipped = Skipped()
    skipped.note("b", "b.png: broken.")
    source = dataclasses.replace(make_source(), skipped=skipped)
    write_report({"runs/a": predictor(A)}, source, split, tmp_path)
    scores = written(tmp_path)
    assert scores["mean_iou"] == scores["class_iou"]["sky"] == iou
    assert scores["class_iou"]["road"] is None
    assert set(scores["mean_iou_near_edges_px"].values()) == {None}
    axis = drawn["edges.png"].axes[0]
    near, _ = axis.lines
    assert np.isnan(near.get_ydata()).all()
    low, high = axis.get_xlim()
    assert low < 1 < 32 < high
    page = page_of(tmp_path)
    shown = dict(page.sections["Scores"]["rows"][1:])
    assert shown["mean IU"] == ("–" if iou is None else "100.0")
    # A split with one image; the broken ones are in train.
    assert page.lines[0].startswith(f"runs/a on {split}, 1 image: mean IU ")
    assert page.lines[1] == "1 image is skipped (data.broken): b.png: broken."


def test_what_was_scaled_to_a_fixed_size_is_named(drawn, tmp_path, capsys):
    source, one = make_source(), predictor(A)
    fixed = dataclasses.replace(one.model, size_px=(4, 8), scores=None)
    write_report({"out/b.tflite": Predictor(fixed)}, source, "val", tmp_path)
    said = "out/b.tflite: Images of 2x4 were scaled to 4x8"
    assert said in capsys.readouterr().out
    assert page_of(tmp_path).lines[-1].startswith(said)


def test_two_models_side_by_side(drawn, tmp_path, capsys):
    """B gives labels alone: what it has no scores for is left out, and A has it."""
    both = {"runs/a": predictor(A), "out/b.tflite": predictor(B, gives_scores=False)}
    write_report(both, make_source(), "val", tmp_path)
    compared = written(tmp_path, "compared.json")
    assert list(compared) == ["runs/a", "out/b.tflite"]
    for summary, expected in zip(compared.values(), (SCORES_OF_A, SCORES_OF_B), strict=True):
        assert_scores(summary, expected)
        assert (summary["split"], summary["images"]) == ("val", 4)
    assert written(tmp_path) == compared["runs/a"]
    assert "calibration_error" in compared["runs/a"]
    assert "calibration_error" not in compared["out/b.tflite"]

    rows = [
        ["pixel accuracy", "77.3", "86.4", "+9.1"],
        ["mean accuracy", "76.7", "87.5", "+10.8"],
        ["mean IU", "62.5", "58.3", "-4.2"],
        ["frequency weighted IU", "62.9", "86.4", "+23.5"],
        ["mean Dice", "76.8", "61.9", "-14.9"],
        ["IU sky", "66.7", "75.0", "+8.3"],
        ["IU road", "58.3", "100.0", "+41.7"],
        ["IU <car>", "–", "0.0", "–"],
        ["Dice sky", "80.0", "85.7", "+5.7"],
        ["Dice road", "73.7", "100.0", "+26.3"],
        ["Dice <car>", "–", "0.0", "–"],
    ]
    assert printed_rows(capsys.readouterr().out) == rows
    page = page_of(tmp_path)
    assert page.lines == [
        "runs/a on val, 4 images: mean IU 62.5 %.",
        "B is out/b.tflite: mean IU 58.3 %.",
    ]
    scores = page.sections["Scores"]
    assert scores["head"] == ["", "A", "B", "B - A"]
    assert [[name.strip(), *cells] for name, *cells in scores["rows"][1:]] == rows
    assert page.sections["IU of each class"]["text"] == "Bars: A; lines: B."
    (bars,) = drawn["class_iou.png"].axes
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [10 / 15, 7 / 12, 0])
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [9 / 12, 1, 0])
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["B"]
    # The other pictures are of A.
    assert titles(drawn["worst.png"]) == ["3.png: 25.0 %"]
    numbers = {
        text.get_position(): text.get_text() for text in drawn["confusion.png"].axes[0].texts
    }
    assert numbers[0, 1] == "30"


def test_a_model_that_gives_labels_alone(drawn, tmp_path):
    write_report({"b": predictor(B, gives_scores=False)}, make_source(), "val", tmp_path)
    summary = written(tmp_path)
    assert summary["mean_iou"] == pytest.approx(SCORES_OF_B["mean_iou"])
    assert "calibration_error" not in summary
    assert "calibration.png" not in drawn
    assert "edges.png" in drawn


def test_a_sheet_shows_an_image_its_truth_and_the_answer(drawn, tmp_path):
    """Of the image of val that is worst: six pixels are labelled, and three of them are wrong."""
    write_report({"a": predictor(A)}, make_source(), "val", tmp_path)
    sheet = drawn["worst.png"]
    image, truth, prediction, errors = (shown.get_array() for shown in sheet.axes[0].images)
    np.testing.assert_array_equal(image, picture("val", 3))
    s, r, c = PALETTE
    void = list(VOID_COLOR)
    np.testing.assert_array_equal(truth, [[r, r, r, void]] * 2)
    np.testing.assert_array_equal(prediction, [[s, s, r, c], [s, r, r, c]])
    red = errors[..., 0].astype(int) - errors[..., 1] > 100
    np.testing.assert_array_equal(red, [[1, 1, 0, 0], [1, 0, 0, 0]])
    parts = [text.get_text() for text in sheet.axes[0].texts]
    assert parts == ["3.png: 25.0 %", "truth", "prediction", "errors"]
    (legend,) = sheet.legends
    assert [text.get_text() for text in legend.get_texts()] == [*CLASSES, "void"]
    colors = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    np.testing.assert_allclose(colors, np.array([*PALETTE, VOID_COLOR]) / 255)


def test_sheets_go_from_the_worst_image_to_the_best(drawn, tmp_path):
    write_report({"a": predictor(A)}, make_source(), "val", tmp_path)
    assert titles(drawn["worst.png"]) == ["3.png: 25.0 %"]
    assert titles(drawn["median.png"]) == ["2.png: 37.5 %"]
    assert titles(drawn["best.png"]) == ["1.png: 100.0 %"]
    # An image without a label is none of these, and stands last among the samples.
    assert titles(drawn["sample_sheet.png"]) == [
        *("3.png: 25.0 %", "2.png: 37.5 %", "1.png: 100.0 %", "0.png: – %"),
    ]


def test_at_most_four_images_of_a_kind_and_six_samples(drawn, tmp_path):
    """The mean IU of an image of which k of 16 pixels are wrong is (16 - k) / 32; 1 of none."""
    write_report({"a": predictor(A)}, make_source(), "train", tmp_path)
    assert titles(drawn["worst.png"]) == [
        *("5.png: 12.5 %", "10.png: 15.6 %", "2.png: 18.8 %", "7.png: 21.9 %"),
    ]
    assert titles(drawn["median.png"]) == [
        *("12.png: 25.0 %", "4.png: 28.1 %", "9.png: 31.2 %", "1.png: 34.4 %"),
    ]
    assert titles(drawn["best.png"]) == [
        *("11.png: 40.6 %", "3.png: 43.8 %", "8.png: 46.9 %", "0.png: 100.0 %"),
    ]
    # Every third, so that they are at most six.
    assert titles(drawn["sample_sheet.png"]) == [
        *("12.png: 25.0 %", "9.png: 31.2 %", "6.png: 37.5 %", "3.png: 43.8 %", "0.png: 100.0 %"),
    ]


def test_a_third_of_few_images_is_of_each_kind():
    kinds = {kind: numbers.tolist() for kind, numbers in _extremes(np.arange(10, 17)).items()}
    assert kinds == {"worst": [10, 11], "median": [12, 13], "best": [16, 15]}


def test_another_split_is_read_and_named(drawn, tmp_path, capsys):
    write_report({"runs/a.keras": predictor(A)}, make_source(), "test", tmp_path)
    summary = written(tmp_path)
    assert (summary["split"], summary["images"]) == ("test", 1)
    assert summary["confusion_matrix"] == [[3, 1, 0], [0, 4, 0], [0, 0, 0]]
    said = capsys.readouterr().out
    assert "Scores on test, 1 image:" in said
    assert re.search(r" 1/1 \[", said)
    assert page_of(tmp_path).title == "a.keras on test"
    assert page_of(tmp_path).lines == ["runs/a.keras on test, 1 image: mean IU 77.5 %."]
    for sheet in ("sample_sheet", "worst", "median", "best"):
        assert titles(drawn[f"{sheet}.png"]) == ["0.png: 77.5 %"]
        image, truth, *_ = (shown.get_array() for shown in drawn[f"{sheet}.png"].axes[0].images)
        np.testing.assert_array_equal(image, picture("test", 0))
        assert truth[0, 2].tolist() == PALETTE[1]


def test_a_split_without_a_label_has_no_scores(drawn, tmp_path, capsys):
    write_report({"a": predictor(A)}, make_source(), "void", tmp_path)
    summary = written(tmp_path)
    assert summary["mean_iou"] is None
    assert summary["calibration_error"] is None
    assert summary["class_iou"] == dict.fromkeys(CLASSES)
    assert summary["mean_iou_near_edges_px"] == dict.fromkeys(map(str, (1, 2, 4, 8, 16, 32)))
    assert {value for _, value in printed_rows(capsys.readouterr().out)} == {"–"}
    assert page_of(tmp_path).lines == ["a on void, 1 image: mean IU – %."]
    assert drawn.keys() == {"class_iou.png", "confusion.png", "sample_sheet.png", "edges.png"}
    assert titles(drawn["sample_sheet.png"]) == ["0.png: – %"]


def test_the_learning_curve_of_a_run_is_shown(drawn, tmp_path):
    (tmp_path / "learning_curve.png").write_bytes(b"a curve")
    write_report({"a": predictor(A)}, make_source(), "test", tmp_path)
    assert page_of(tmp_path).sections["Training"]["picture"] == b"a curve"


def test_a_page_holds_its_pictures_and_needs_nothing_else(tmp_path):
    write_report({"a": predictor(A)}, make_source(), "test", tmp_path)
    page = (tmp_path / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 8
    for content in map(base64.b64decode, pictures):
        with Image.open(io.BytesIO(content)) as image:
            assert min(image.size) > 100
        assert content in [path.read_bytes() for path in tmp_path.glob("*.png")]
    assert "http" not in re.sub('base64,[^"]+', "", page)


def test_where_a_report_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/mine", "out/scenes/saved_model/2", "out/scenes/saved_model/10"):
        Path(folder).mkdir(parents=True)
    for version in (2, 10):
        Path(f"out/scenes/saved_model/{version}/saved_model.pb").touch()
    Path("scenes-int8.tflite").touch()
    for file in ("export.json", "scenes-float32.onnx"):
        Path("out/scenes/onnx/2").mkdir(parents=True, exist_ok=True)
        Path("out/scenes/onnx/2", file).touch()
    for model, folder in (
        ("runs/mine", "runs/mine/report"),
        ("runs/mine/model.keras", "runs/mine/report"),
        ("scenes-int8.tflite", "report/scenes-int8"),
        ("out/scenes/saved_model/2", "report/scenes-saved_model-2"),
        ("out/scenes/saved_model", "report/scenes-saved_model-10"),
        ("out/scenes/onnx/2/scenes-float32.onnx", "report/scenes-float32"),
        ("out/scenes/onnx/2", "report/scenes-onnx-2"),
        ("out/scenes/onnx", "report/scenes-onnx-2"),
    ):
        assert default_out(model, "val") == Path(folder)
        assert default_out(model, "test") == Path(folder) / "test"
        assert default_out(model, "test", "there") == Path("there")
    assert default_out("~/run", "val") == Path.home() / "run/report"
    assert default_out("run", "val", "~/there") == Path.home() / "there"
