"""A data set of TFDS made by workers: the records of one process, in their order."""

import re

import pytest

from fcn_tf.cli import main
from tests.data.tricky_pairs import TRAIN, VAL, tricky_folder
from tests.extras import needs_extra

pytestmark = [
    needs_extra("beam", "apache_beam"),
    # What TFDS asks of the older protobuf of this environment.
    pytest.mark.filterwarnings("ignore:label.. is deprecated:DeprecationWarning"),
]
PROCESSES = ("--", "--direct_num_workers", "2", "--direct_running_mode", "multi_processing")


def prepare(data_dir, out, *arguments):
    main(["prepare", f"--data.data_dir={data_dir}", f"--out={out}", *arguments])


def records(out, split):
    """The values of each record, in the order of the files."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(out / "1.0.0")
    raw = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    examples = [tf.train.Example.FromString(one) for one in raw]
    return [
        {name: list(value.bytes_list.value) for name, value in one.features.feature.items()}
        for one in examples
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tricky_folder(tmp_path_factory.mktemp("tricky") / "street")


def said_of(capsys, out):
    """What a command said after it had listed the files, whatever the folder is called."""
    lines = capsys.readouterr().out.splitlines()
    return [
        line.replace(str(out), "OUT") for line in lines if "stored" in line or "train on" in line
    ]


def test_records_are_those_of_one_process(folder, tmp_path, capsys):
    prepare(folder, tmp_path / "alone/street")
    said = said_of(capsys, tmp_path / "alone")
    assert len(said) == 4
    for number, processes in enumerate([(), PROCESSES]):
        out = tmp_path / f"workers{number}"
        prepare(folder, out / "street", "--runner=direct", *processes)
        assert said_of(capsys, out) == said
        for split, size in (("train", TRAIN), ("val", VAL)):
            expected = records(tmp_path / "alone/street", split)
            assert len(expected) == size
            assert records(out / "street", split) == expected
        assert [path.name for path in out.iterdir()] == ["street"]
        prepare(folder, out / "street")  # the same, whoever made it
        assert "Nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["stop", "skip"])
def test_what_cannot_be_used_is_said_as_by_one_process(tmp_path, capsys, monkeypatch, broken):
    monkeypatch.setattr("fcn_tf.data.start_check.CHECKED_AT_START", 1)  # not read before
    data_dir = tricky_folder(tmp_path / "street")
    for name in ("images/train/grey.png", "masks/train/ink.png", "images/val/site1/d.png"):
        (data_dir / name).write_bytes(b"no image")
    found = []
    for runner in ([], ["--runner=direct"]):
        out, code = tmp_path / f"out{len(runner)}", 0
        try:
            prepare(data_dir, out / "street", f"--data.broken={broken}", *runner)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        skipped = [line for line in said.out.splitlines() if "skipped" in line]
        written = (
            records(out / "street", "train") if code == 0 else list((out / "street").iterdir())
        )
        found.append((code, skipped, said.err.splitlines()[-1:] if code else [], written))
    assert found[0] == found[1]
    code, skipped, error, written = found[1]
    if broken == "stop":
        assert (code, written) == (1, [])
        assert re.match("fcn-tf: 3 of 10 images cannot be used, so nothing was wr", error[0])
    else:
        assert (code, len(written)) == (0, TRAIN - 2)
        assert "3 images are skipped" in skipped[0]


def test_dataflow_gets_no_path_of_this_disk(folder, tmp_path, capsys, monkeypatch):
    from fcn_tf.beam import runners

    monkeypatch.setattr(runners, "_is_installed", lambda module: True)
    of_tfds = ["--data.tfds_name=gs://b/street/1.0.0", "--out=gs://b/again"]
    for arguments, message in [
        (
            [f"--data.data_dir={folder}", "--out=gs://b/street"],
            "--data.data_dir .*fcn-tf prepare",
        ),
        ([of_tfds[0], f"--out={tmp_path}/made"], "--out .*/made: the workers"),
        (of_tfds, "-- --temp_location gs://bucket/tmp for example"),
    ]:
        with pytest.raises(SystemExit) as end:
            main(["prepare", *arguments, "--runner=dataflow"])
        said = capsys.readouterr().err
        assert (end.value.code, said.count("\n")) == (2, 1)
        assert re.search(message, said)
    assert not (tmp_path / "made").exists()
