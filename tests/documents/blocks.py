"""The commands and the Python snippets of a Markdown page, in their order."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from typing import Literal

FENCED = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```[ ]*$", re.DOTALL | re.MULTILINE)
SNIPPETS = ("python", "py")
SHELLS = ("bash", "console", "sh", "shell")
# A block without a language holds commands if it begins with one of these words.
PROGRAMS = {
    *("cat", "cd", "cp", "curl", "docker", "echo", "export", "fcn-tf", "find", "git", "grpcurl"),
    *("kubectl", "mkdir", "mkdocs", "mypy", "npm", "npx", "pip", "pytest", "python", "python3"),
    *("ruff", "tensorboard", ".ci/run"),
}
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*\s+")


@dataclass(frozen=True)
class Step:
    """A command or a snippet.

    Args:
        kind: which of the two it is.
        text: the command on one line without its comment, or the lines of the snippet.
        section: the heading of the second level above it.
        line: where its block begins in the page, from 1.
    """

    kind: Literal["command", "snippet"]
    text: str
    section: str
    line: int


def steps_of(page: str) -> list[Step]:
    """The steps of a page, in their order.

    Args:
        page: its text, Markdown.

    Raises:
        ValueError: a block without a language may hold commands, but its first word is unknown.
    """
    steps = []
    for block in FENCED.finditer(page):
        language, content = block[2], textwrap.dedent(block[3])
        line = page.count("\n", 0, block.start()) + 1
        headings = re.findall(r"^## (.*)$", page[: block.start()], re.MULTILINE)
        section = headings[-1] if headings else ""
        if language in SNIPPETS:
            steps.append(Step("snippet", content, section, line))
        elif language in SHELLS or (not language and _holds_commands(content, line)):
            steps += [Step("command", text, section, line) for text in _commands(content)]
    return steps


def _holds_commands(content: str, line: int) -> bool:
    first = ASSIGNMENT.sub("", content.lstrip()).split()[0]
    if first in PROGRAMS:
        return True
    if re.fullmatch(r"[a-z][a-z0-9-]*", first):
        raise ValueError(
            f"line {line}: a block without a language begins with {first!r}. If it is a command, "
            "add it to PROGRAMS in tests/documents/blocks.py; if not, write ```text."
        )
    return False


def _commands(content: str) -> list[str]:
    """Each command of a block on one line: joined where it goes on, split at &&."""
    commands, begun = [], ""
    for line in content.splitlines():
        begun += re.sub(r"(^|\s+)# .*$", "", line).strip()
        if begun.endswith("\\"):
            begun = begun[:-1].rstrip() + " "
        elif begun.endswith(("|", "&&")) or not _quotes_are_closed(begun):
            begun += " "
        elif begun:
            commands += [part.strip() for part in re.split(r"\s&&\s", begun)]
            begun = ""
    if begun:
        raise ValueError(f"a command has no end: {begun}")
    return [re.sub(r"\s+", " ", command) for command in commands]


def _quotes_are_closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True
