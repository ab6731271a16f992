import io
import os
import sys

import pytest
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.images.find import find_images
from fcn_tf.images.walk import Skipped, files_below


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(*arguments, **options):
    return [image.name.as_posix() for image in find_images(map(str, arguments), **options)]


def test_hidden_folders_are_left_out_and_suffixes_may_be_large(tmp_path, capsys):
    for name in (".cache/a.png", "deep/.trash/b.png", "deep/C.JPG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(tmp_path / name)
    (found,) = find_images([str(tmp_path)])
    assert found.path == tmp_path.resolve() / "deep/C.JPG"
    assert found.name.as_posix() == "deep/C.JPG"
    assert capsys.readouterr().out == "Skipped: 2 files (2 hidden).\n"


def test_what_is_skipped_is_counted_by_kind(tmp_path, capsys):
    write(tmp_path, "a.jpg", "b.MP4", "c/d.mp4", "c/e.docx", "f", "._a.jpg", ".DS_Store", "g.heic")
    assert names(tmp_path) == ["a.jpg", "g.heic"]
    assert capsys.readouterr().out == (
        "Skipped: 5 files (2 .mp4, 1 .docx, 1 hidden, 1 without a suffix).\n"
    )
    # The same file is counted once.
    assert names(tmp_path, tmp_path / "*") == ["a.jpg", "b.MP4", "f", "g.heic"]
    assert capsys.readouterr().out.startswith("Skipped: 5 files (2 .mp4")
    write(tmp_path, *(f"many/{number}.x{number % 10}" for number in range(15)))
    with pytest.raises(InputError, match=r"many: no image is there, but 15 files \(2 \.x0, "):
        find_images([str(tmp_path / "many")])
    assert "2 of 2 other kinds)" in str(told(tmp_path / "many"))


def told(folder):
    """What is said of a folder in which all files are skipped."""
    skipped = Skipped()
    for file in files_below(folder, skipped):
        skipped.add(file.suffix, file)
    return skipped


def test_links_to_folders_are_followed_once_and_not_in_a_circle(tmp_path, capsys):
    write(tmp_path, "in/a/0.png", "in/a/deep/1.png", "else/2.png", "else/more/3.png")
    for link, target in (
        ("in/again", "a"),  # is there without the link
        ("in/b", "../else"),
        ("in/c", "../else/more"),  # is in the one before
        ("in/a/up", ".."),
        ("else/back", "../in"),
        ("in/gone", "nowhere"),
    ):
        (tmp_path / link).symlink_to(target)
    assert names(tmp_path / "in") == ["a/0.png", "a/deep/1.png", "b/2.png", "b/more/3.png"]
    said = capsys.readouterr().out
    assert said == (
        "Skipped: 1 file (1 without a suffix), the folder "
        f"{tmp_path}/in/a/up (a link to a folder that it is in).\n"
    )


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    skipped = Skipped()
    assert list(files_below(tmp_path / "gone", skipped)) == []
    assert str(skipped) == f"the folder {tmp_path}/gone (No such file or directory)"


def test_results_are_no_images_by_whatever_way_they_are_reached(tmp_path, capsys):
    write(tmp_path, "in/a.png", "labelled/a.png.png", "labelled/deep/b.png.png")
    (tmp_path / "in/results").symlink_to("../labelled")
    assert names(tmp_path / "in", out=tmp_path / "labelled") == ["a.png"]
    said = capsys.readouterr().out
    assert said == f"Left out: 2 images in {tmp_path}/labelled, the folder of the results.\n"


@pytest.fixture
def given(monkeypatch):
    """A function that puts bytes on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_a_list_may_hold_any_name_and_blank_lines(tmp_path, given, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = ["a b.png", os.fsdecode(b"caf\xe9.png"), "line\x85.png"]
    write(tmp_path, *odd)
    given(b"\n" + b"\r\n".join(map(os.fsencode, odd)) + b"\n  \n\n")
    assert sorted(names("-")) == sorted(odd)


@pytest.mark.parametrize("text", [b"", b"\n", b" \r\n\n"], ids=["nothing", "line", "blanks"])
def test_an_empty_list_is_no_error(given, capsys, text):
    given(text)
    assert find_images(["-"]) == []
    said = capsys.readouterr().out
    assert said == "The list on standard input names no image: there is nothing to do.\n"


def test_an_empty_list_beside_a_name_and_a_closed_one(tmp_path, given, monkeypatch):
    write(tmp_path, "a.png")
    given(b"")
    assert names(tmp_path / "a.png", "-") == ["a.png"]
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        find_images(["-"])
    with pytest.raises(InputError, match=r"^No image was named\.$"):
        find_images([])


def test_a_shard_may_be_empty(tmp_path, capsys):
    write(tmp_path, "a.png", "b.png")
    assert names(tmp_path, shard=(1, 4)) == ["b.png"]
    assert names(tmp_path, shard=(3, 4)) == []
    assert capsys.readouterr().out == "Shard 3/4 gets none of 2 images: there is nothing to do.\n"
