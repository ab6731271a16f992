"""The list of hand-made mutations stays one that can be run: `python tests/mutate.py` runs it."""

import ast
import dataclasses
from functools import cache

import pytest

from fcn_tf.config.schema import Config
from tests.mutate import ROOT, Mutation, changed_line, meaning, read_list

TABLES = read_list()
MUTATIONS = TABLES["mutation"]
# Rooms of no decisions: the version, and names that others import.
WITHOUT = {"__init__", "version"}


@cache
def slow_by_name(file):
    """Whether each test of a file is marked slow, by its name."""
    found = {}
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [ast.unparse(decorator) for decorator in node.decorator_list]
            found[node.name] = "pytest.mark.slow" in marks
    return found


def keys_of(config):
    """Each key of the configuration, as the command line names it."""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            yield from (f"{entry.name}.{key}" for key in keys_of(value))
        else:
            yield entry.name


def test_each_mutation_changes_the_code():
    for mutation in MUTATIONS:
        assert ast.parse(mutation.fault().text), mutation
        assert "".join(mutation.old.split()) != "".join(mutation.new.split()), mutation


def test_each_mutation_has_a_quick_test():
    for mutation in MUTATIONS:
        file, _, name = mutation.test.partition("::")
        is_slow = slow_by_name(file).get(name.split("[")[0])
        assert is_slow is False, f"{mutation.test}: {'slow' if is_slow else 'no such test'}"


def test_no_mutation_is_there_twice():
    changes = [(mutation.file, mutation.old, mutation.new) for mutation in MUTATIONS]
    assert len(set(changes)) == len(changes)


def test_each_key_of_the_configuration_is_held():
    held = {key for mutation in MUTATIONS for key in mutation.keys}
    assert held == set(keys_of(Config()))


def test_each_room_has_mutations():
    rooms = {path.stem for path in (ROOT / "fcn_tf").iterdir() if path.suffix in ("", ".py")}
    held = {mutation.file.split("/")[1].removesuffix(".py") for mutation in MUTATIONS}
    assert held >= {room for room in rooms if not room.startswith("__")} - WITHOUT


def test_the_tables_of_the_tool_name_what_is_there():
    for entry in TABLES["pure"]:
        assert (ROOT / entry["file"]).is_file(), entry
        for test in entry["tests"]:
            assert (ROOT / test.split("::")[0]).exists(), entry
    for entry in TABLES.get("equivalent", ()):
        lines = (ROOT / entry["file"]).read_text(encoding="utf-8").splitlines()
        before = entry["change"].split("  →  ")[0]
        assert before in [line.strip() for line in lines], entry
        assert entry["why"]


def test_a_mutation_that_fits_no_place_or_two_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n")
    one = Mutation(what="", file="a.py", old="x = 1", new="x = 2", test="")
    assert one.fault(tmp_path).text == "x = 2\ny = 1\n"
    for old, count in (("= 1", 2), ("z", 0)):
        with pytest.raises(ValueError, match=f"has {count} times"):
            dataclasses.replace(one, old=old).fault(tmp_path)


def test_a_change_of_the_tool_is_written_as_its_first_line():
    old = "def f():\n    x = 1\n    return x\n"
    assert changed_line(old, old.replace("= 1", "= 2")) == "x = 1  →  x = 2"


def test_what_changes_no_result_is_no_fault():
    old = "def f(x: int) -> int:\n    print(x, flush=True)\n"
    same = "def f(x: int | None):\n    print(x, flush=False)\n"
    assert meaning(old) == meaning(same) != meaning(old.replace("print(x", "print(-x"))
    assert meaning("if x := 1 not :") is None
