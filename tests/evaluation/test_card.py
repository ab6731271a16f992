"""The card of a run, its numbers worked out by hand."""

import json
import re

import pytest
import yaml

from fcn_tf.evaluation.card import card, escaped, origin_of, write_card
from fcn_tf.models import build_fcn

NAMES = ("sky | sea", "<b>*car*</b>", "Straße 道路", "x" * 200)
LINES = (
    {"split": "train", "step": 10, "mean_iou": 0.9},
    {"split": "val", "step": 10, "ious": (0.5, 0.25, None, 0.0), "mean_iou": 0.25},
    {"split": "val", "step": 20, "ious": (0.75, 0.5, None, 0.1255), "mean_iou": 0.4585},
    {"split": "val", "step": 30, "ious": (0.9, 0.9, None, 0.9), "mean_iou": 0.4585},
)


@pytest.fixture
def model():
    return build_fcn("fcn32s", 4, width=1 / 64, head_units=4, class_names=NAMES)


@pytest.fixture
def run(tmp_path):
    """The folder of a run, without its model's contents."""
    path = tmp_path / "my_run"
    path.mkdir()
    (path / "model.keras").touch()
    config = {
        "seed": 3,
        "variant": "fcn32s",
        "data": {"data_dir": str(tmp_path / "street"), "batch_size": 6, "crop_px": "32x48"},
        "training": {"max_steps": 12_000, "accumulate_steps": 2},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    lines = []
    for line in LINES:
        ious = dict(zip(NAMES, line.get("ious", ()), strict=False))
        others = {"pixel_accuracy": 0.875, "mean_accuracy": None, "frequency_weighted_iou": 0.7}
        of_classes = {"class_iou": ious} if ious else {}
        if line["step"] == 20:  # as if the run had begun with a version that knew no Dice
            of_classes["class_dice"] = dict.fromkeys(NAMES[:3], 0.875) | {NAMES[3]: None}
        lines.append(json.dumps({**others, **line, **of_classes}))
    (path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"split": "val", "st')
    return path


def head_of(text):
    return yaml.safe_load(re.match(r"---\n(.*?)^---$", text, re.DOTALL | re.MULTILINE)[1])


def test_the_scores_are_those_of_the_saved_model(run, model):
    """The first line of val with the highest mean IU."""
    write_card(run, model)
    text = (run / "README.md").read_text()
    assert "after step 20:" in text
    for row in (
        "| mean IU | 45.9 |",  # 45.85
        "| pixel accuracy | 87.5 |",
        "| mean accuracy | – |",
        "| mean Dice | – |",  # the log lacks it
        "| class | IU, % | Dice, % |",
        r"| sky \| sea | 75.0 | 87.5 |",
        r"| &lt;b&gt;\*car\*&lt;/b&gt; | 50.0 | 87.5 |",
        "| Straße 道路 | – | 87.5 |",
        f"| {'x' * 200} | 12.6 | – |",  # 12.55
    ):
        assert f"\n{row}\n" in text, row
    head = head_of(text)
    (index,) = head.pop("model-index")
    (result,) = index["results"]
    assert index["name"] == "my_run"
    assert result["dataset"] == {"name": "street", "type": "street", "split": "val"}
    assert result["task"] == {"type": "image-segmentation"}
    found = {metric["type"]: (metric["name"], metric["value"]) for metric in result["metrics"]}
    assert found == {
        "mean_iou": ("mean IU", 0.4585),
        "pixel_accuracy": ("pixel accuracy", 0.875),
        "frequency_weighted_iou": ("frequency weighted IU", 0.7),
    }
    assert head == {
        "license": "unknown",
        "library_name": "fcn_tf",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "fcn32s", "Keras"],
    }


def test_what_a_model_was_trained_on_is_said_without_the_machines_paths(run, model, tmp_path):
    write_card(run, model)
    text = (run / "README.md").read_text()
    assert "# my\\_run\n" in text
    assert "Data: street (`data.name: folder`), the split `train`." in text
    for row in (
        "steps, at most | 12,000",
        "images of a step | 12",
        "crops, px | 32x48",
        "seed | 3",
    ):
        assert f"\n| {row} |\n" in text, row
    assert "\n| width | `0.015625` |\n" in text
    assert str(tmp_path) not in text
    assert 'fcn_tf.Predictor("model.keras")' in text


def test_the_licence_that_a_user_writes_stays_and_goes_to_the_exports(run, model, capsys):
    write_card(run, model)
    file = run / "README.md"
    assert "Licence: not stated." in file.read_text()
    file.write_text(file.read_text().replace("license: unknown", "license: cc-by-4.0", 1))
    write_card(run, model)
    assert head_of(file.read_text())["license"] == "cc-by-4.0"
    assert "Licence: cc-by-4.0." in file.read_text()
    assert origin_of(run).license == origin_of(run / "model.keras").license == "cc-by-4.0"
    file.write_text("---\nlicense: [\n---\n")
    assert origin_of(run).license == "unknown"
    assert "no YAML: its licence is left out" in capsys.readouterr().out


def test_what_is_not_known_is_said(run, model):
    """Of a file beside the model of a run, too: the scores are not those of it."""
    (run / "other.keras").touch()
    for path in (None, run.parent / "none", run / "other.keras"):
        text = card("m", model, origin_of(path), form="TFLite", how="")
        assert "not known: the model is none of a run folder." in text
        assert "They are not known" in text
        assert "model-index" not in head_of(text)
        assert "## Run it" not in text
    (run / "config.yaml").write_text("nothing: 1\n")
    text = card("m", model, origin_of(run), form="TFLite", how="")
    assert "this version does not understand the config.yaml of its run" in text
    assert head_of(text)["model-index"][0]["results"][0]["dataset"]["name"] == "unknown"


def test_a_network_of_torchvisions_names_no_trunk_of_others():
    model = build_fcn("fcn_resnet50", 2, width=1 / 16)
    text = card("m", model, origin_of(None), form="TFLite", how="")
    assert "| variant | `fcn_resnet50` |\n| width | `0.0625` |\n| output_stride | `8` |\n" in text
    assert "vgg16" not in text
    assert "\n| 1 |" not in text


def test_a_unet_says_whether_its_convolutions_are_padded():
    model = build_fcn("unet", 2, width=1 / 64, geometry="valid")
    assert "\n| geometry | `valid` |\n" in card("m", model, origin_of(None), form="TFLite", how="")


def test_text_is_shown_as_it_is():
    assert escaped("a\nb  c") == "a b c"
    assert escaped(r"\ ` * _ [x](y) & <") == r"\\ \` \* \_ \[x\](y) &amp; &lt;"
