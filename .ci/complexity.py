"""Fails if a function of the package is more complex than LIMIT: cyclomatic complexity by radon."""

import json
import subprocess
import sys

LIMIT = 15

found = subprocess.run(
    ["radon", "cc", "--json", "--min", "C", *sys.argv[1:]],
    check=True,
    capture_output=True,
    text=True,
)
too_complex = [
    f"{path}:{block['lineno']}: {block['name']} has a complexity of {block['complexity']}"
    for path, blocks in json.loads(found.stdout).items()
    for block in blocks
    if block["complexity"] > LIMIT
]
if too_complex:
    sys.exit("\n".join([*too_complex, f"No function may have more than {LIMIT}."]))
