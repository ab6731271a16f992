import zipfile

import pytest

from fcn_tf.errors import InputError
from fcn_tf.files import (
    is_unfinished,
    make_folder,
    read_lines,
    remove_unfinished,
    unreadable_as_input_error,
    write_text,
    written_whole,
)


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep/a.txt"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_midway():
        with written_whole(path) as beside:
            assert beside.suffix == ".txt"  # by which writers choose the format
            assert is_unfinished(beside)
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_url_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^gs://bucket/o is a URL"):
        make_folder("gs://bucket/o")
    assert not list(tmp_path.iterdir())


def test_lines_are_read_as_people_write_them(tmp_path):
    write_text(tmp_path / "a.txt", "\ufeffStraße\r\n\n  two words \n\n")
    assert read_lines(tmp_path / "a.txt") == ["Straße", "two words"]


def test_what_a_killed_process_left_is_told_from_files_of_others(tmp_path):
    (tmp_path / "report").mkdir()
    left = [".model.77.keras", "report/.scores.5.json", ".step-000000004.77.npz"]
    kept = [".lock", ".hidden", "model.keras", ".notes.txt", "a.77.keras"]
    for name in left + kept:
        (tmp_path / name).write_bytes(b"PK")
    remove_unfinished(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == set(
        kept
    )


def test_what_a_library_says_of_a_file_is_one_line_that_names_it(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    for error, reason in [
        (RuntimeError("two\n  lines"), r"a\.bin cannot be read as a model: two lines \(If"),
        (zipfile.BadZipFile(), "as a model: BadZipFile "),
        (KeyError("z" * 500), "as a model: 'z{399} … "),
    ]:
        with pytest.raises(InputError, match=reason), unreadable_as_input_error(path, "a model"):
            raise error
    for error in (MemoryError(), InputError("ours")):
        with pytest.raises(type(error)) as raised, unreadable_as_input_error(path, "a model"):
            raise error
        assert raised.value is error
    path.write_bytes(b"")
    with pytest.raises(InputError, match="it is empty"), unreadable_as_input_error(path, "a"):
        pass
