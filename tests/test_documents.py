"""The commands and the Python snippets of README.md and docs/ run, in the order of their page."""

import json
import re
import subprocess
import sys

import pytest

from tests.documents.blocks import steps_of
from tests.documents.table import (
    EVERYWHERE,
    PAGES,
    ROOT,
    SCENES_RUNS,
    TABLE,
    Page,
    begins,
    reason,
    steps_of_page,
    steps_to_run,
)

PAGE = """Text.

## First

```
street/classes.txt    a listing
```

```python
a = 1
b = 2
```

1. A list.

   ```
   fcn-tf train --x 1 \\
       --y 2          # a comment
   find . | fcn-tf predict -
   pip install . && echo '{"a":
     1}' |
     cat
   ```

## Second

```yaml
python: no command
```
"""
STEPS = {name: steps_of_page(name) for name in PAGES}
each_page = pytest.mark.parametrize("name", PAGES)


def test_the_steps_of_a_page():
    steps = steps_of(PAGE)
    assert [step.text for step in steps] == [
        "a = 1\nb = 2\n",
        "fcn-tf train --x 1 --y 2",
        "find . | fcn-tf predict -",
        "pip install .",
        """echo '{"a": 1}' | cat""",
    ]
    assert [step.kind for step in steps] == ["snippet"] + 4 * ["command"]
    assert {step.section for step in steps} == {"First"}
    assert [step.line for step in steps[:2]] == [9, 16]


def test_a_block_that_may_hold_commands_is_not_left_out():
    with pytest.raises(ValueError, match=r"line 1: .*unheard-of"):
        steps_of("```\nunheard-of --x\n```\n")


def run(steps, folder, *options):
    """Runs steps in a folder; the finished process, with all its output in stdout."""
    (folder / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    return subprocess.run(
        [sys.executable, ROOT / "tests/documents/runner.py", "steps.json", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "snippet", "text": "assert a == 2"},
        {"kind": "command", "text": "false", "options": []},
        {"kind": "command", "text": "fcn-tf predict", "options": ["--model", "none"]},
        {"kind": "options", "text": "fcn-tf train --model.width 0"},
    ],
)
def test_a_step_that_fails_is_named(step, tmp_path):
    first = {"kind": "snippet", "text": "a = 1"}
    done = run([first, step, {"kind": "snippet", "text": "open('later', 'w')"}], tmp_path)
    assert done.returncode == 1
    assert f"FAILED: {step['text']}\n" in done.stdout
    assert not (tmp_path / "later").exists()


def unused(beginnings, steps):
    return [one for one in beginnings if not any(begins(step, one) for step in steps)]


def test_the_table_knows_each_page():
    assert set(TABLE) <= set(PAGES)
    assert {"README.md", "docs/training.md"} <= set(PAGES)


def test_each_reason_that_counts_everywhere_is_used():
    assert not unused(EVERYWHERE, [step for steps in STEPS.values() for step in steps])


def test_each_test_that_a_reason_names_exists():
    reasons = [*EVERYWHERE.values(), *(why for p in TABLE.values() for why in p.not_run.values())]
    named = {name for why in reasons for name in re.findall(r"tests/[\w/]+\.py", why)}
    assert len(named) > 5
    assert not [name for name in named if not (ROOT / name).is_file()]


@each_page
def test_each_line_of_the_table_is_used(name):
    page, steps = TABLE.get(name, Page()), STEPS[name]
    runs = [step for step in steps if reason(name, step) is None]
    assert not unused(page.not_run, steps), "not on the page"
    assert not unused([*page.options, *page.checks], runs), "not on the page, or not run"
    snippets = [step.text for step in runs if step.kind == "snippet"]
    for pattern in page.changes:
        assert any(re.search(pattern, text) for text in snippets), f"{pattern}: in no snippet"
    assert not page.before or snippets, "there is no snippet that needs what runs before it"
    assert steps_to_run(name) or not (page.prepare or page.leaves), (
        "nothing runs that needs what is prepared"
    )


@pytest.fixture(scope="module")
def scenes_run(few_scenes_dir, tmp_path_factory):
    from tests.documents.prepare import make_scenes_run

    workdir = tmp_path_factory.mktemp("documents") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", few_scenes_dir)
        patch.setattr("fcn_tf.evaluation.report._figures", lambda *given, **options: [])
        make_scenes_run(workdir)
    return workdir


@pytest.mark.slow
def test_all_that_can_be_prepared_is_used():
    from tests.documents.prepare import PREPARED

    used = {path for page in TABLE.values() for path in page.prepare}
    assert used == {*PREPARED, *SCENES_RUNS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if steps_to_run(name)])
def test_the_page_runs(name, tmp_path, monkeypatch, few_scenes_dir, scenes_run):
    from tests.documents.prepare import prepare  # the tests above need no Keras

    page = TABLE.get(name, Page())
    prepare(tmp_path, page.prepare, scenes_run)
    monkeypatch.setenv("TFDS_DATA_DIR", few_scenes_dir)
    # Reports are the same on every page: those of the first have their figures.
    done = run(steps_to_run(name), tmp_path, *([] if name == "README.md" else ["--plain"]))
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    for pattern in page.leaves:
        assert list(tmp_path.glob(pattern)), f"{pattern} is not there"
