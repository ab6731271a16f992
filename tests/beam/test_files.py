"""Files of a disk and of a bucket, as workers read and write them."""

import pytest

from fcn_tf.errors import InputError
from tests.extras import needs_extra

pytestmark = needs_extra("beam", "apache_beam")


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    from tests.beam import bucket

    monkeypatch.setenv(bucket.VARIABLE, str(tmp_path / "bucket"))
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


@pytest.mark.parametrize(
    ("given", "pattern", "base"),
    [
        ("photos", "photos/**", "photos/"),
        ("photos/", "photos/**", "photos/"),
        ("photos/a.jpg", "photos/a.jpg", "photos/"),
        ("photos/*.jpg", "photos/*.jpg", "photos/"),
        ("photos/b/c*.jpg", "photos/b/c*.jpg", "photos/b/"),
        ("pho*/**.jpg", "pho*/**.jpg", ""),
    ],
)
def test_what_images_are_meant(tmp_path, bucket, monkeypatch, given, pattern, base):
    """Their names begin where a pattern's first * is, or below the folder."""
    from fcn_tf.beam.files import find_input

    monkeypatch.chdir(tmp_path)
    for folder, before in ((tmp_path, f"{tmp_path}/"), (bucket / "x", "bucket://x/")):
        write(folder, "photos/a.jpg", "photos/b/c.jpg")
        found = find_input(given if folder == tmp_path else f"bucket://x/{given}")
        assert (found.pattern, found.base) == (before + pattern, before + base)
        assert found.is_folder == (given.rstrip("/") == "photos")


def test_no_images_and_an_unknown_place_are_refused(tmp_path):
    from fcn_tf.beam.files import find_input

    for given in ("none", "*.jpg"):
        with pytest.raises(InputError, match="no file is there"):
            find_input(str(tmp_path / given))
    with pytest.raises(InputError, match=r"^nowhere://x/a cannot be read: Unable to get file"):
        find_input("nowhere://x/a")


def test_a_file_of_a_bucket_appears_whole_over_what_is_there(tmp_path, bucket):
    from fcn_tf.beam.files import check_out, upload, write_bytes

    write(tmp_path, "new")
    write_bytes("bucket://x/deep/a", b"old")
    upload(tmp_path / "new", "bucket://x/deep/a")
    assert (bucket / "x/deep/a").read_bytes() == b"new"
    check_out("bucket://x/deep")
    assert [path.name for path in (bucket / "x/deep").iterdir()] == ["a"]
    with pytest.raises(
        InputError, match=r"^bucket://closed/out cannot be written to: .*permission"
    ):
        check_out("bucket://closed/out")


def test_a_model_is_fetched_without_its_checkpoints(tmp_path, bucket):
    from fcn_tf.beam.files import fetched_model

    write(bucket / "x", "run/model.keras", "run/checkpoints/big", "m/a.tflite", "m/export.json")
    folder = fetched_model("bucket://x/run", tmp_path / "run")
    assert [path.name for path in folder.rglob("*")] == ["model.keras"]
    file = fetched_model("bucket://x/m/a.tflite", tmp_path / "m")
    assert file == tmp_path / "m/a.tflite"
    assert file.read_bytes() == b"m/a.tflite"
    assert (tmp_path / "m/export.json").is_file()
    with pytest.raises(InputError, match=r"^bucket://x/none is no model"):
        fetched_model("bucket://x/none", tmp_path)
