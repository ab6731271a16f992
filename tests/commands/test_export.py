"""What `fcn-tf export` gives to the export."""

import pytest
import yaml

from fcn_tf.cli import main


@pytest.fixture
def given(monkeypatch):
    """What the export is called with."""
    calls = []
    monkeypatch.setattr("fcn_tf.exporting.export.export", lambda *what: calls.append(what))
    return calls


def test_each_option_reaches_the_export(given, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"data": {"name": "voc", "batch_size": 3}}))
    main(
        [
            *("export", "--model=m.keras", "--out=there", "--formats=tflite,saved_model"),
            *("--precision=bfloat16", "--saved_model.max_pixels=77", "--tflite.size=4x6"),
            *("--tflite.quantize=int8,dynamic", "--tflite.output=labels"),
            *("--tflite.input=float32", "--tflite.calibration_images=9"),
            *("--web.runtime=there/litert", f"--config={recipe}", "--data.crop_px=32"),
        ]
    )
    ((model, out, data, options),) = given
    assert (model, out) == ("m.keras", "there")
    assert (data.name, data.batch_size, data.crop_px) == ("voc", 3, (32, 32))
    assert options.formats == ("tflite", "saved_model")
    assert options.precision == "bfloat16"
    assert options.saved_model.max_pixels == 77
    assert options.tflite.size == (4, 6)
    assert options.tflite.quantize == ("int8", "dynamic")
    assert (options.tflite.input, options.tflite.output) == ("float32", "labels")
    assert options.tflite.calibration_images == 9
    assert options.web.runtime == "there/litert"


def test_without_options_the_defaults_of_the_pages(given):
    """And no data: the export looks for those of the run."""
    main(["export", "--model=m.keras", "--out=there"])
    ((_, _, data, options),) = given
    assert data is None
    assert options.formats == ("saved_model", "tflite")
    assert options.precision == "float32"
    assert options.saved_model.max_pixels == 4_000_000
    assert (options.tflite.quantize, options.tflite.size) == (None, None)
    assert (options.tflite.output, options.tflite.calibration_images) == ("scores", 100)
    assert options.web.runtime is None


def test_data_of_the_command_line_go_over_those_of_the_run(given, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"name": "voc", "batch_size": 3}}))
    main(["export", f"--model={run}", "--out=there", "--data.batch_size=5"])
    data = given[0][2]
    assert (data.name, data.batch_size) == ("voc", 5)
