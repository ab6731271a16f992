"""A report as one HTML page that holds its pictures and needs no network."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 0 1rem 3rem;
       color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .7rem; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
"""


class Section(NamedTuple):
    """A part of the page.

    Args:
        heading: what stands above.
        text: a paragraph, or "".
        content: the path of a PNG, or the rows of a table, the first of which is its head.
    """

    heading: str
    text: str
    content: Path | list[list[str]]


def report_page(title: str, lines: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as HTML.

    Args:
        title: the title.
        lines: what was measured, a paragraph each.
        sections: what follows.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in lines),
    ]
    for heading, text, content in sections:
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        if text:
            parts.append(f"<p>{html.escape(text)}</p>")
        shown = _table(content) if isinstance(content, list) else _picture(content, heading)
        parts.append(f'<div class="wide">{shown}</div>')
    return "\n".join([*parts, "</body></html>", ""])


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _picture(path: Path, heading: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{data}">'
