"""The files around the package say the same as the package: README, setup.cfg, CI, citation."""

import ast
import configparser
import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fcn_tf
from fcn_tf.version import __version__
from tests.extras import APART

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "fcn_tf").rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))

# Modules whose distribution has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "grpc": "grpcio",
    "tensorflow_datasets": "tensorflow-datasets",
    "tensorflow_serving": "tensorflow-serving-api",
    "yaml": "PyYAML",
}
# Files that are imported only where their extra is installed.
OPTIONAL_FILES = {
    "annotations.py": "coco",
    "maps.py": "maps",
    "polygons.py": "maps",
    "tiff.py": "maps",
}
OLDER_FOR_BEAM = {"pillow", "protobuf", "pyarrow", "python-dateutil"}
# Rooms of which the same is true.
OPTIONAL_ROOMS = {"beam": "beam"}
# What Windows lacks, and macOS some of it.
UNIX_MODULES = {
    *("crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios"),
    "tty",
}
UNIX_FUNCTIONS = {
    *("fork", "forkpty", "getpgid", "getuid", "killpg", "nice", "sched_getaffinity", "setpgid"),
    *("setsid", "sysconf", "uname", "wait3", "wait4"),
}
UNIX_SIGNALS = {"SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2"}
UNIX_ARGUMENTS = {"preexec_fn", "start_new_session", "pass_fds"}
UNIX_PATHS = re.compile(r"^/(proc|dev|sys|tmp|etc|var)\b")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser(delimiters="=")
    parser.read_string(text("setup.cfg"))
    return parser


def requirements(lines):
    found = [line for line in lines.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(r.name): r for r in map(Requirement, found)}


@pytest.fixture(scope="module")
def required(setup):
    return requirements(setup["options"]["install_requires"])


@pytest.fixture(scope="module")
def extras(setup):
    return {name: requirements(text) for name, text in setup["options.extras_require"].items()}


def test_ci_runs_the_commands_of_the_readme():
    start_commands = runpy.run_path(str(ROOT / ".ci/readme_commands.py"))["start_commands"]
    # .ci/run appends an option to the first, and takes both for all that there is.
    assert start_commands(text("README.md")) == [
        "pip install . && python train.py --variant fcn8s",
        "pip install '.[test]' && pytest",
    ]
    run = text(".ci/run")
    assert "python .ci/readme_commands.py" in run
    assert re.findall(r'^bash -euc "(.*)"$', run, re.MULTILINE) == [
        "${command[0]} --training.max_steps 20",
        "${command[1]}",
    ]
    # Nothing is installed before them, and neither of them is written out again.
    assert run.index("bash -euc") < run.index("\npip install")
    assert "python train.py" not in run
    assert ".[test]" not in run


def test_a_readme_without_its_commands_is_refused():
    start_commands = runpy.run_path(str(ROOT / ".ci/readme_commands.py"))["start_commands"]
    assert start_commands(
        "## Start\n```\na\nb\n```\ntext\n```sh\nc\n```\n## Else\n```\nd\n```\n"
    ) == [*"abc"]
    for readme in ("# Title\n```\na\n```\n", "## Start\nSee below.\n## Else\n```\na\n```\n"):
        with pytest.raises(ValueError, match="Start"):
            start_commands(readme)


def test_every_file_names_the_same_version():
    released = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", text("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == __version__
    assert yaml.safe_load(text("CITATION.cff"))["version"] == __version__


def test_every_folder_of_the_package_is_installed(setup):
    packages = set(setup["options"]["packages"].split())
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in FILES}
    assert packages == folders | {"fcn_tf.configs"}


def test_every_file_of_data_is_installed(setup):
    patterns = setup["options.package_data"]
    found = {
        file
        for package, globs in patterns.items()
        for folder in [ROOT / package.replace(".", "/").replace("fcn_tf/configs", "configs")]
        for glob in globs.split(", ")
        for file in folder.glob(glob)
    }
    data = {
        file
        for folder in ("fcn_tf", "configs")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix not in (".py", ".pyc")
        and not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
    }
    assert ROOT / "fcn_tf/py.typed" in data
    assert found == data


def imported(nodes):
    """The top-level names of what these nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@each_file
def test_what_is_imported_is_required(path, required, extras):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    installed = set(required)
    optional = {name for names in extras.values() for name in names}

    def foreign(nodes):
        names = set(imported(nodes)) - sys.stdlib_module_names - {"fcn_tf"}
        return {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in names}

    extra = OPTIONAL_FILES.get(path.name, OPTIONAL_ROOMS.get(path.parent.name))
    at_once = installed | set(extras.get(extra, ()))
    assert foreign(tree.body) <= at_once, "needed by the import, but not in install_requires"
    assert foreign(ast.walk(tree)) <= installed | optional, "neither required nor in an extra"


@each_file
def test_nothing_is_used_that_windows_or_macos_lack(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not set(imported(ast.walk(tree))) & UNIX_MODULES
    for node in ast.walk(tree):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "os" or node.attr not in UNIX_FUNCTIONS, where
            assert node.value.id != "signal" or node.attr not in UNIX_SIGNALS, where
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "signal"):
            names = {alias.name for alias in node.names}
            assert not names & (UNIX_FUNCTIONS | UNIX_SIGNALS), where
        elif isinstance(node, ast.keyword):
            assert node.arg not in UNIX_ARGUMENTS, where
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not UNIX_PATHS.match(node.value), where


def test_each_extra_that_a_test_needs_exists(extras):
    needed = {}
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "needs_extra":
                extra = ast.literal_eval(node.args[0])
                modules = [a.value for a in node.args[1:] if isinstance(a, ast.Constant)]
                needed.setdefault(extra, set()).update(modules)
    assert {"backends", "import", "maps", "mediapipe"} <= set(needed) <= set(extras)
    for extra, modules in needed.items():
        assert {canonicalize_name(module) for module in modules} <= set(extras[extra]), extra


def test_the_extra_dev_holds_all_others(extras):
    assert extras["dev"]["fcn-tf"].extras == set(extras) - {"dev"} - APART


def test_the_extra_test_is_light(extras):
    assert set(extras["test"]) == {"pytest", "pytest-xdist"}


def pins_of(name):
    """The versions that a file of constraints holds."""
    found = re.findall(r"^([\w.-]+)==(\S+)$", text(name), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def test_the_constraints_pin_all_that_is_required(required, extras):
    of_extras = [r for name in set(extras) - APART for r in extras[name].values()]
    of_beam = [r for name in ("beam", "test", "beam-test") for r in extras[name].values()]
    for file, requirements in {
        "constraints.txt": [*required.values(), *of_extras],
        "constraints-beam.txt": [*required.values(), *of_beam],
    }.items():
        pins = pins_of(file)
        for requirement in requirements:
            if (name := canonicalize_name(requirement.name)) != "fcn-tf":
                assert requirement.specifier.contains(pins.get(name, "nothing")), requirement


def test_packages_of_both_constraints_are_the_same_but_where_beam_wants_older_ones():
    """So that what was tested with one set holds for the other."""
    both = pins_of("constraints.txt"), pins_of("constraints-beam.txt")
    differ = {name for name in both[0].keys() & both[1].keys() if both[0][name] != both[1][name]}
    assert differ == OLDER_FOR_BEAM


def test_ruff_is_the_same_before_a_commit_and_in_ci():
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    versions = {Path(hook["repo"]).name: hook["rev"] for hook in hooks}
    assert f"ruff=={versions['ruff-pre-commit'].removeprefix('v')}\n" in text("constraints.txt")


def names_of(path):
    """The names at the top level of a Python file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_contributing_names_what_exists():
    page = text("CONTRIBUTING.md")
    paths = re.findall(r"`((?:fcn_tf|tests|docs|benchmarks)/[\w./-]*)`", page)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert len(paths) > 30
    assert not missing
    places = re.findall(r"`(fcn_tf/[\w/]+\.py)`: (`\w+`(?:[^`;.|]*`\w+`)*)", page)
    in_lists = re.findall(r"(`[A-Z]+`) (?:in|of) `(fcn_tf/\S+\.py)`", page)
    places += [(path, name) for name, path in in_lists]
    assert len(places) > 15
    for path, names in places:
        assert set(re.findall(r"`(\w+)`", names)) <= set(names_of(ROOT / path)), path


def test_the_site_has_every_public_name():
    documented = re.findall(r"^::: (\S+)$", text("docs/api/index.md"), re.MULTILINE)
    assert sorted(name.split(".")[-1] for name in documented) == sorted(
        set(fcn_tf.__all__) - {"__version__"}
    )
    schema = ast.parse(text("fcn_tf/config/schema.py"))
    configs = {c.name for c in schema.body if isinstance(c, ast.ClassDef)}
    documented = re.findall(r"^::: (\S+)$", text("docs/api/config.md"), re.MULTILINE)
    assert set(documented) == {f"fcn_tf.config.schema.{name}" for name in configs}
