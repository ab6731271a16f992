import json

import pytest

from fcn_tf.config.export_record import ExportRecord, newest_version, read_record

MEASURED = {"float32": {"same_label": 1.0, "mean_iou": None}}


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = ExportRecord(
        model="/runs/é",
        fcn_tf="0.2.0",
        margin_px=224,
        max_pixels=4_000_000,
        classes=("a", "b"),
        palette=[[0, 0, 0], [1, 2, 3]],
        value_range=(0.0, 4095.0),
        bands=(4, 3, 2),
        artefacts=MEASURED,
    )
    (tmp_path / "export.json").write_text(record.to_json(), encoding="utf-8")
    assert read_record(tmp_path) == record
    assert read_record(tmp_path / "elsewhere") is None


def test_keys_of_other_formats_are_not_written():
    written = json.loads(ExportRecord(size="any", output="scores").to_json())
    assert list(written) == [
        *("model", "fcn_tf", "verified_on", "margin_px"),
        *("size", "output", "classes", "palette", "artefacts"),
    ]
    assert written["model"] is None


def test_unknown_keys_are_ignored_and_missing_ones_have_defaults():
    record = ExportRecord.from_json('{"classes": ["a"], "of_the_future": 1}')
    assert record == ExportRecord(classes=("a",))
    assert record.artefacts == {}


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"classes": 3}', '{"value_range": [1]}', '{"bands": [1]}', "null"]
)
def test_a_damaged_file_is_refused(text):
    with pytest.raises(ValueError, match=r"Expecting value|no object|no list"):
        ExportRecord.from_json(text)


def test_versions_are_ordered_as_numbers(tmp_path):
    assert newest_version(tmp_path / "nowhere") is None
    assert newest_version(tmp_path) is None
    for name in ("2", "9", "10", "011", "x12", ".13", "²"):
        (tmp_path / name).mkdir()
    (tmp_path / "9/export.json").touch()
    (tmp_path / "2/export.json").touch()
    assert newest_version(tmp_path) == tmp_path / "011"
    assert newest_version(tmp_path, holding="export.json") == tmp_path / "9"
