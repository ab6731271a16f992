"""Fonts of class names, on a system whose fonts the test decides."""

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from fcn_tf.images import fonts
from fcn_tf.images.draw import overlay
from fcn_tf.images.figures import write_figure
from fcn_tf.images.fonts import plain_text, shown, widest_in
from tests.images.made_fonts import FAMILY, make_font

USUAL = font_manager.findfont(fonts.USUAL)


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Gives the system fonts with one character each; it has none but these and matplotlib's."""

    def gives(*characters):
        files = [str(tmp_path / f"{ord(character)}.ttf") for character in characters]
        for file, character in zip(files, characters, strict=True):
            make_font(file, character)
        broken = tmp_path / "broken.ttf"
        broken.write_bytes(b"no font")
        monkeypatch.setattr(fonts, "_files", lambda: [str(broken), *files, USUAL])
        return files

    known = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(fonts, "_said", set())
    fonts._file_with.cache_clear()
    yield gives
    fonts._file_with.cache_clear()
    fonts._family.cache_clear()
    font_manager.fontManager.ttflist[:] = known


def test_a_character_that_the_usual_font_lacks_has_a_font_of_the_system(system, capsys):
    cat, dog = system("猫", "犬")
    name = shown("a 猫b犬")
    assert (name.text, name.files[0]) == ("a 猫b犬", USUAL)
    assert list(name.runs()) == [("a ", USUAL), ("猫", cat), ("b", USUAL), ("犬", dog)]
    assert shown("дом, ñ").files == (USUAL,)
    assert capsys.readouterr().out == ""


def test_a_character_of_no_font_is_written_as_its_number_and_said_once(system, capsys):
    system("犬")
    assert plain_text("猫 cat") == "\\u732b cat"
    said = capsys.readouterr().out
    assert "No font of this system has the characters 猫 of '猫 cat'" in said
    assert "\\u732b for 猫" in said
    assert plain_text("猫 $5$") == "\\u732b \\$5\\$"
    assert capsys.readouterr().out == ""


def test_a_figure_is_written_in_fonts_that_have_its_characters(system, tmp_path):
    """matplotlib warns of a character that its fonts lack, and a warning fails the test."""
    system("猫")
    figure = Figure()
    text = figure.text(0, 0, plain_text("猫 cat"))
    write_figure(tmp_path / "a.png", figure)
    assert text.get_fontfamily() == [fonts.USUAL, FAMILY]


def test_the_widest_text():
    texts = ["i", "www", "ww"]
    assert widest_in(texts, 8) == widest_in(["www"], 8) > 1.4 * widest_in(["ww"], 8)
    assert widest_in(["ww"], 16) == pytest.approx(2 * widest_in(["ww"], 8), rel=0.1)


def test_a_legend_draws_each_character_in_its_font(system):
    """Of 60 px of text the square of the made font has 42; the next character stands behind it."""
    system("猫")
    image = np.zeros((20, 2400, 3), np.uint8)
    labels = np.zeros((20, 2400), np.uint8)
    drawn = np.asarray(overlay(image, labels, ["猫", "b"], [(9, 9, 200), (9, 200, 9)]))
    text_px = 50
    legend = drawn[20:, 25 + 80 :]  # right of the colour
    rows, columns = np.nonzero(legend[:, :text_px].max(-1) == 0)
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == len(np.unique(columns)) == 35
    assert (legend[:, text_px : 2 * text_px] < 100).any()  # its share, "100.0 %"
