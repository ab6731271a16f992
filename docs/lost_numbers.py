"""Lists the numbers of an older version of the pages that the present ones lack.

python docs/lost_numbers.py COMMIT [PAGE …]

Pages are README.md and docs/*.md by default. A page that is rewritten must not lose a measured
figure: look at each number that is listed.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def numbers_of(text):
    return set(NUMBER.findall(text))


def main(commit, *pages):
    for page in pages or ("README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))):
        old = subprocess.run(
            ["git", "show", f"{commit}:{page}"], cwd=ROOT, capture_output=True, text=True
        )
        if old.returncode:
            print(f"{page}: not in {commit}")
            continue
        lost = numbers_of(old.stdout) - numbers_of((ROOT / page).read_text(encoding="utf-8"))
        print(f"{page}: {', '.join(sorted(lost)) or 'none lost'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
