"""The house: imports run downwards only, and no private API is used."""

import ast
import re
from pathlib import Path

import pytest

from fcn_tf import commands

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fcn_tf"

ROW = re.compile(r"^\| `(\w+)` \|.*\|(.*)\|$", re.MULTILINE)


def allowed_imports():
    """What each room may import of the package, from the table of docs/architecture.md."""
    table = (ROOT / "docs/architecture.md").read_text().split("## Rooms")[1].split("\n## ")[0]
    allowed = {room: set(words.replace(",", " ").split()) for room, words in ROW.findall(table)}
    return {**allowed, "__init__": {"version"}}


ALLOWED = allowed_imports()
# Rooms in which nothing but these and the standard library is imported.
ONLY = {
    "config": {"fcn_tf", "jsonargparse", "yaml"},
    "classes": {"numpy"},
    # h5py comes with keras; torch and safetensors read published files, if they are there
    "models": {"fcn_tf", "h5py", "keras", "numpy", "safetensors", "torch"},
}
PRIVATE = ("keras.src", "tensorflow.python", "tensorflow_datasets.core.")
THIRD_PARTY = {
    "PIL",
    "array_record",
    "fcn_tf",
    "h5py",
    "jsonargparse",
    "keras",
    "matplotlib",
    "numpy",
    "safetensors",
    "scipy",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
    "yaml",
}

FILES = sorted(PACKAGE.rglob("*.py"))


DEFINITIONS = (ast.ClassDef, ast.FunctionDef)


def imported_by(node):
    """The modules that an import names; none of any other node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


def imported_modules(path):
    """Full names of what a file imports, with their line numbers."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    room = room_of(path)
    assert room in ALLOWED, f"{path}: a new room; give it a line in ALLOWED and in the docs"
    for module, line in imported_modules(path):
        if module.startswith("fcn_tf."):
            target = module.split(".")[1]
            allowed = {room, *ALLOWED[room]}
            assert target in allowed, f"{path}:{line}: {room} may import {sorted(allowed)}"
        elif room in ONLY and module.split(".")[0] in THIRD_PARTY:
            assert module.split(".")[0] in ONLY[room], f"{path}:{line}: not in {room}"
        assert not module.startswith(PRIVATE), f"{path}:{line}: {module} is private"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_private_attribute_of_another_is_used(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            assert own or node.attr.endswith("__"), f"{path}:{node.lineno}: {node.attr} is private"


def test_the_table_has_no_room_that_is_gone():
    assert set(ALLOWED) == {room_of(path) for path in FILES}


def test_there_is_no_circle():
    done = set()
    while len(done) < len(ALLOWED):
        ready = {room for room in ALLOWED if room not in done and ALLOWED[room] <= done}
        assert ready, f"a circle among {set(ALLOWED) - done}"
        done |= ready


def test_few_modules_lie_in_the_root():
    assert len([path for path in FILES if path.parent == PACKAGE]) <= 10


def test_each_command_is_the_file_of_its_name():
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__", "options"}
    assert files == {name.replace("-", "_") for name in commands.NAMES}
    for name in commands.NAMES:
        assert commands.find_command(name).description.endswith(".")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_calls_name_their_arguments(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            given = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
            assert len(given) <= 4, f"{path}:{node.lineno}: more than four positional arguments"


# What the command line waits for before it parses.
LIGHT = [
    *(PACKAGE / "commands").glob("*.py"),
    *(PACKAGE / "config").glob("*.py"),
    PACKAGE / "cli.py",
]


@pytest.mark.parametrize("path", LIGHT, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_command_line_imports_nothing_heavy_on_top(path):
    heavy = ("keras", "matplotlib", "numpy", "PIL", "tensorflow")
    top = ast.Module(
        [n for n in ast.parse(path.read_text()).body if not isinstance(n, DEFINITIONS)]
    )
    for node in ast.walk(top):
        for name in imported_by(node):
            assert name.split(".")[0] not in heavy, f"{path}:{node.lineno}: not on top: {name}"


# What is decided once: how it would be written, and the only file that writes it.
DECISIONS = {
    "the newest version": (r"\.isdigit\(\)|max\(versions", "config/export_record.py"),
    "the fields of export.json": (r"class ExportRecord", "config/export_record.py"),
    "the pixels of an image": (r'image\.convert\("RGB"\)', "images/read.py"),
    "the pixels of a mask": (r"def labels_of\(", "images/masks.py"),
    "an evaluation of a split": (r"confusion \+= part", "evaluation/score.py"),
    "a number that is undefined": (r"None if math\.isnan", "evaluation/tables.py"),
    "the names of classes without names": (r"map\(str, range\(", "classes.py"),
    "the colours of classes without colours": (r"= voc_palette\(|return voc_palette", "classes.py"),
    "the opacity of an overlay": (r"opacity[^=\n]*= ?0?\.5|OPACITY = ", "images/__init__.py"),
    "the largest image": (r"MAX_PIXELS = |89_478_485", "images/__init__.py"),
    "how a size is written": (r"\(\\d\+\)(\(\?:)?x\(\\d\+\)", "config/types.py"),
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_is_made_once(decision):
    pattern, file = DECISIONS[decision]
    found = {
        str(path.relative_to(PACKAGE)) for path in FILES if re.search(pattern, path.read_text())
    }
    assert found == {file}
