"""The house: imports run downwards only, and no private API is used."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fcn_tf"

# What each room may import of the package. docs/architecture.md shows the same.
ALLOWED = {
    "version": set(),
    "errors": set(),
    "files": {"errors"},
    "classes": set(),
    "networks": {"errors"},
    "config": {"errors", "networks"},
    "config_files": {"config", "errors"},
    "drawing": {"classes", "files"},
    "models": {"errors", "files", "networks"},
    "progress": set(),
    "data": {"classes", "errors", "files", "image_files", "progress"},
    "checking": {"data", "drawing", "errors"},
    "evaluation": {"classes", "drawing", "files"},
    "exporting": {
        "classes",
        "config",
        "config_files",
        "data",
        "errors",
        "evaluation",
        "image_files",
        "models",
        "quiet",
        "scoring",
        "version",
    },
    "heatmap": {"config", "drawing", "errors", "image_files", "models"},
    "image_files": {"errors", "windows"},
    "importing": {"classes", "errors", "files", "models", "networks"},
    "artefacts": {"classes", "config_files", "errors", "models"},
    "predictor": {"artefacts", "errors", "image_files", "models", "progress"},
    "predicting": {"errors", "files", "image_files", "prediction_files", "predictor"},
    "windows": {"errors"},
    "training": {
        "artefacts",
        "classes",
        "config_files",
        "data",
        "drawing",
        "errors",
        "evaluation",
        "files",
        "models",
        "predictor",
        "progress",
        "scoring",
        "version",
    },
    "scoring": {
        "artefacts",
        "data",
        "drawing",
        "errors",
        "evaluation",
        "files",
        "predictor",
        "progress",
    },
    "prediction_files": {"drawing", "errors", "files", "progress"},
    "quiet": set(),
    "client": {"classes", "errors", "files", "image_files", "prediction_files"},
    "cli": {
        "checking",
        "client",
        "config",
        "config_files",
        "errors",
        "exporting",
        "files",
        "heatmap",
        "importing",
        "predicting",
        "quiet",
        "scoring",
        "training",
        "version",
    },
    "__init__": {"version"},
}
# Rooms in which nothing but these and the standard library is imported.
ONLY = {
    "config": {"fcn_tf"},
    "classes": {"numpy"},
    # h5py comes with keras; torch and safetensors read published files, if they are there
    "models": {"fcn_tf", "h5py", "keras", "numpy", "safetensors", "torch"},
    "drawing": {"PIL", "fcn_tf", "matplotlib", "numpy"},
}
PRIVATE = ("keras.src", "tensorflow.python", "tensorflow_datasets.core.")
THIRD_PARTY = {
    "PIL",
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
