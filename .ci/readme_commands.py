"""Prints the commands of the README's section "Start", one a line, for .ci/run.

So .ci/run does what the README tells a newcomer to do, word for word. tests/test_repository.py
tests both.
"""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def start_commands(text: str) -> list[str]:
    """The lines of all fenced blocks under the heading `## Start`.

    Args:
        text: the README's.

    Raises:
        ValueError: there is no such heading, or no block under it.
    """
    section = re.search(r"^## Start\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = (
        re.findall(r"^```\w*\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE) if section else []
    )
    if not blocks:
        raise ValueError('the README has no fenced block under a heading "## Start"')
    return [line for block in blocks for line in block.splitlines() if line.strip()]


if __name__ == "__main__":
    print(*start_commands(README.read_text(encoding="utf-8")), sep="\n")
