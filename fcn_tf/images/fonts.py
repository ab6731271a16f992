"""Fonts for names in any script: a font of the system where the usual one lacks a character.

matplotlib and Pillow draw a box for a character that a font lacks. Names come with fonts that
have all their characters; a character that no font has is written as its number, as in Python
("\\u732b"), and a line says so.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

USUAL = "DejaVu Sans"  # matplotlib brings it along
# matplotlib's font of boxes, which has one for every character.
ONLY_BOXES = "LastResort"
NAMED_CHARACTERS = 20  # more are counted

_said: set[str] = set()  # the characters that a line has named


class Shown(NamedTuple):
    """A text as it can be drawn.

    Args:
        text: with the numbers of the characters that no font has.
        files: the fonts that have its characters, the usual one first.
    """

    text: str
    files: tuple[str, ...]

    @property
    def families(self) -> list[str]:
        """The names of the fonts, as matplotlib takes them."""
        return [_family(file) for file in self.files]

    def runs(self) -> Iterator[tuple[str, str]]:
        """Parts of the text, each with the font that draws it; neighbours differ in the font."""
        start, font = 0, ""
        for place, character in enumerate(self.text):
            has = [file for file in self.files if _is_in(character, file)] or [*self.files]
            if font in has:
                continue
            if place > start:
                yield self.text[start:place], font
            start, font = place, has[0]
        if self.text:
            yield self.text[start:], font


def shown(text: str) -> Shown:
    """Finds fonts for a text. What no font of the system has is said once for each character."""
    files = [str(font_manager.findfont(USUAL))]
    missing = {c for c in text if not c.isspace() and not _is_in(c, files[0])}
    while missing and (file := _file_with(frozenset(missing))):
        files.append(file)
        missing = {character for character in missing if not _is_in(character, file)}
    if missing - _said:
        _say(missing - _said, text)
    written = "".join(_number(c) if c in missing else c for c in text)
    return Shown(written, tuple(files))


def plain_text(text: str) -> str:
    """A text for matplotlib, which can be drawn, and in which a dollar begins no formula."""
    return (text if text.isascii() else shown(text).text).replace("$", r"\$")


def use_fonts(figure: Figure) -> None:
    """Gives each text of a figure the fonts that have its characters."""
    for artist in figure.findobj(Text):
        assert isinstance(artist, Text)
        if not artist.get_text().isascii():
            artist.set_fontfamily(shown(artist.get_text()).families)


def widest_in(texts: Iterable[str], size_pt: float) -> float:
    """The width of the widest of some texts in a figure, in inches.

    Args:
        texts: as `plain_text` gives them.
        size_pt: the size of the font, in points.
    """
    figure = Figure()
    drawn = [figure.text(0, 0, text, fontsize=size_pt) for text in texts]
    use_fonts(figure)
    widths_px = [one.get_window_extent().width for one in drawn]
    return max(widths_px, default=0.0) / float(figure.dpi)


@functools.lru_cache(maxsize=10_000)
def _is_in(character: str, file: str) -> bool:
    return font_manager.get_font(file).get_char_index(ord(character)) != 0


@functools.lru_cache(maxsize=1000)
def _file_with(characters: frozenset[str]) -> str | None:
    """The font of the system with the most of these characters; None where none has any."""
    best, most = None, 0
    for file in _files():
        try:
            count = sum(_is_in(character, file) for character in characters)
        except (OSError, RuntimeError, ValueError):  # a font that FreeType cannot read
            continue
        if count > most:
            best, most = file, count
        if most == len(characters):
            break
    return best


@functools.cache
def _files() -> list[str]:
    """The font files of the system and of matplotlib, upright ones without serifs first."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    # matplotlib keeps a list of fonts, in which one that was installed since is missing.
    found = known.union(font_manager.findSystemFonts())
    usable = [file for file in found if not Path(file).name.startswith(ONLY_BOXES)]
    return sorted(
        usable,
        key=lambda file: ("Sans" not in Path(file).name, "Regular" not in Path(file).name, file),
    )


@functools.cache
def _family(file: str) -> str:
    """The name of a font, which matplotlib knows afterwards."""
    if file not in {entry.fname for entry in font_manager.fontManager.ttflist}:
        font_manager.fontManager.addfont(file)
    names = {entry.fname: entry.name for entry in font_manager.fontManager.ttflist}
    return names[file]


def _number(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _say(characters: set[str], text: str) -> None:
    _said.update(characters)
    named = sorted(characters)[:NAMED_CHARACTERS]
    more = f" and {len(characters) - len(named)} more" if len(characters) > len(named) else ""
    print(
        f"No font of this system has the characters {' '.join(named)}{more} of {text!r}: pictures "
        f"show their numbers, {_number(named[0])} for {named[0]}. A font that has them, such as "
        "Noto Sans CJK for Chinese, Japanese and Korean, is found once it is installed.",
        flush=True,
    )
