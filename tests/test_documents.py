"""The commands and the Python snippets of README.md and docs/ run, in the order of their page."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.documents.blocks import steps_of
from tests.documents.table import (
    EVERYWHERE,
    PAGES,
    ROOT,
    TABLE,
    Page,
    begins,
    reason,
    steps_to_run,
)

STEPS = {name: steps_of(path.read_text(encoding="utf-8")) for name, path in PAGES.items()}
each_page = pytest.mark.parametrize("name", PAGES)


def unused(beginnings, steps):
    return [one for one in beginnings if not any(begins(step, one) for step in steps)]


def test_the_table_knows_each_page():
    assert set(TABLE) <= set(PAGES)
    assert {"README.md", "docs/training.md"} <= set(PAGES)


def test_each_reason_that_counts_everywhere_is_used():
    assert not unused(EVERYWHERE, [step for steps in STEPS.values() for step in steps])


@each_page
def test_each_line_of_the_table_is_used(name):
    page, steps = TABLE.get(name, Page()), STEPS[name]
    run = [step for step in steps if reason(name, step) is None]
    assert not unused(page.not_run, steps), "not on the page"
    assert not unused([*page.options, *page.checks], run), "not on the page, or not run"
    snippets = [step.text for step in run if step.kind == "snippet"]
    for pattern in page.changes:
        assert any(re.search(pattern, text) for text in snippets), f"{pattern}: in no snippet"
    assert not page.before or snippets, "there is no snippet that needs what runs before it"
    assert run or not (page.prepare or page.leaves), "nothing runs that needs what is prepared"


@pytest.fixture(scope="module")
def scenes_run(few_scenes_dir, tmp_path_factory):
    from tests.documents.prepare import make_scenes_run

    workdir = tmp_path_factory.mktemp("documents") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", few_scenes_dir)
        make_scenes_run(workdir)
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if steps_to_run(name)])
def test_the_page_runs(name, tmp_path, few_scenes_dir, scenes_run):
    from tests.documents.prepare import prepare  # the tests above need no Keras

    page = TABLE.get(name, Page())
    prepare(tmp_path, page.prepare, scenes_run)
    steps = tmp_path / "steps.json"
    steps.write_text(json.dumps(steps_to_run(name)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "tests/documents/runner.py", steps],
        cwd=tmp_path,
        env={**os.environ, "TFDS_DATA_DIR": few_scenes_dir},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    for pattern in page.leaves:
        assert list(tmp_path.glob(pattern)), f"{pattern} is not there"
