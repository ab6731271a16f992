"""What libraries write to standard error, from compiled code."""

import os
import sys
import warnings

import pytest

from fcn_tf.quiet import import_quietly, library_messages_dropped, stderr_held_back


@pytest.fixture
def user_is_silent(monkeypatch):
    monkeypatch.setattr("fcn_tf.quiet._user_wants_messages", False)


def test_what_is_written_inside_is_held_back(user_is_silent, capfd):
    os.write(2, b"before ")
    with stderr_held_back():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_it_is_shown_where_something_fails(user_is_silent, capfd):
    def fail():
        with stderr_held_back():
            os.write(2, b"inside ")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(2, b"after")
    assert capfd.readouterr().err == "inside after"


def test_who_asks_for_messages_sees_them(monkeypatch, capfd):
    monkeypatch.setattr("fcn_tf.quiet._user_wants_messages", True)
    with stderr_held_back():
        os.write(2, b"inside")
    assert capfd.readouterr().err == "inside"


def test_messages_are_dropped_and_ours_are_seen(user_is_silent, capfd):
    with library_messages_dropped() as stderr:
        os.write(2, b"noise of a library")
        warnings.warn("noise of another", stacklevel=1)
        print("ours", file=stderr)
    os.write(2, b"after")
    assert capfd.readouterr().err == "ours\nafter"


@pytest.mark.parametrize(("given", "level"), [(None, "3"), ("0", "0")])
def test_a_module_is_imported_quietly(user_is_silent, monkeypatch, tmp_path, capfd, given, level):
    """TensorFlow is told to be quiet, unless the user told it something else."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", given or "")
    if given is None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    module = tmp_path / "loud_module.py"
    module.write_text("import os; os.write(2, b'noise'); told = os.environ['TF_CPP_MIN_LOG_LEVEL']")
    monkeypatch.syspath_prepend(tmp_path)
    import_quietly("loud_module")
    loud_module = sys.modules.pop("loud_module")
    assert loud_module.told == level
    assert capfd.readouterr().err == ""
