"""What is released: the files of the wheel and of the sdist, the image, and the page about them."""

import configparser
import re
import runpy
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
RELEASE = runpy.run_path(str(ROOT / ".ci/release_files.py"))


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def make_dist(folder, wheel, sdist):
    """A wheel and an sdist of empty files."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "fcn_tf-1.2-py3-none-any.whl", "w") as archive:
        for name in wheel:
            archive.writestr(name, "")
    with tarfile.open(folder / "fcn_tf-1.2.tar.gz", "w:gz") as archive:
        for name in sdist:
            archive.addfile(tarfile.TarInfo(f"fcn_tf-1.2/{name}"))


@pytest.fixture
def checkout(tmp_path):
    for name in (
        "fcn_tf/cli.py",
        "fcn_tf/py.typed",
        "fcn_tf/__pycache__/cli.pyc",
        "configs/a/b.yaml",
    ):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "checkout"


INFO = "fcn_tf-1.2.dist-info"
WHEEL = {
    *("fcn_tf/cli.py", "fcn_tf/py.typed", "fcn_tf/configs/a/b.yaml"),
    *(f"{INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
    *(f"{INFO}/{name}" for name in ("top_level.txt", "licenses/LICENSE")),
}
SDIST = {
    *("fcn_tf/cli.py", "fcn_tf/py.typed", "configs/a/b.yaml", "PKG-INFO"),
    *("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "constraints.txt"),
    *("constraints-beam.txt", "export.py", "pyproject.toml", "setup.cfg", "train.py"),
    *(f"fcn_tf.egg-info/{name}" for name in ("PKG-INFO", "SOURCES.txt", "dependency_links.txt")),
    *(f"fcn_tf.egg-info/{name}" for name in ("entry_points.txt", "requires.txt", "top_level.txt")),
}


def test_the_right_files_are_right(checkout, tmp_path):
    make_dist(tmp_path / "dist", WHEEL, SDIST)
    assert RELEASE["check"](tmp_path / "dist", checkout) == []


@pytest.mark.parametrize("missing", ["fcn_tf/py.typed", f"{INFO}/licenses/LICENSE"])
def test_each_file_that_is_missing_or_foreign_is_named(missing, checkout, tmp_path):
    make_dist(
        tmp_path / "dist",
        WHEEL - {missing} | {"tests/fixtures/run.keras"},
        SDIST - {"LICENSE"} | {"tests/test_cli.py"},
    )
    assert RELEASE["check"](tmp_path / "dist", checkout) == [
        f"fcn_tf-1.2-py3-none-any.whl: {missing} is missing",
        "fcn_tf-1.2-py3-none-any.whl: tests/fixtures/run.keras does not belong there",
        "fcn_tf-1.2.tar.gz: LICENSE is missing",
        "fcn_tf-1.2.tar.gz: tests/test_cli.py does not belong there",
    ]


def test_two_wheels_are_refused(checkout, tmp_path):
    make_dist(tmp_path / "dist", WHEEL, SDIST)
    (tmp_path / "dist/fcn_tf-1.1-py3-none-any.whl").touch()
    with pytest.raises(ValueError, match="2 wheels and 1 sdists, and must have one of each"):
        RELEASE["check"](tmp_path / "dist", checkout)


def test_ci_checks_the_files_and_runs_what_was_built():
    run = text(".ci/run")
    built = run.index('python -m build --quiet --outdir "$work/dist"')
    checked = run.index('python .ci/release_files.py "$work/dist"')
    installed = run.index('--no-deps --force-reinstall "$work"/dist/*.whl')
    assert built < checked < installed < run.index("step the commands from an empty folder")
    job = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["release"]
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    for part in ("python -m build", "twine check --strict", ".ci/release_files.py dist"):
        assert part in commands
        assert part.split()[0] in run
    # The list of what is installed is taken of the wheel's own environment, and audited.
    assert re.search(r"cyclonedx-py environment .* wheel/bin/python", commands)
    assert "wheel/bin/pip freeze --exclude fcn_tf > installed.txt" in commands
    assert re.search(r"pip-audit --strict .*--requirement installed\.txt", commands)


def test_the_image_is_built_from_what_docker_may_read():
    let_in = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert let_in == RELEASE["BESIDE"] | {"fcn_tf", "configs"}
    lines = text(".dockerignore").splitlines()
    assert lines.index("*") < min(lines.index(f"!{name}") for name in let_in)


def test_the_image_runs_the_wheel_and_not_as_root():
    dockerfile = text("Dockerfile")
    *_, last = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    assert re.search(r"^USER ([1-9]\d*)$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["fcn-tf"]' in last
    # The last stage takes the environment, and nothing of the checkout.
    assert re.findall(r"^COPY (.*)$", last, re.MULTILINE) == [
        "--from=installed /opt/fcn-tf /opt/fcn-tf"
    ]
    assert "--constraint /constraints.txt" in dockerfile
    python = re.search(r"^ARG PYTHON=(3\.\d+)-", dockerfile, re.MULTILINE)[1]
    jobs = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]
    assert python in jobs["run"]["strategy"]["matrix"]["python"]
    # Each build argument and its default stands on the page.
    arguments = dict(re.findall(r"^ARG (\w+)=(\S*)$", dockerfile, re.MULTILINE))
    rows = dict(re.findall(r"^\| `([A-Z]+)` \| (.*) \|$", text("docs/install.md"), re.MULTILINE))
    assert rows.keys() == arguments.keys()
    for name, default in arguments.items():
        said = re.search(r"`([^`]+)`, the default|the default is `([^`]+)`", rows[name])
        assert (said[1] or said[2]) == default if default else "none by default" in rows[name]


def test_the_page_has_each_extra_and_each_python():
    setup = configparser.ConfigParser(delimiters="=")
    setup.read_string(text("setup.cfg"))
    page = text("docs/install.md")
    rows = (
        re.search(r"^\| extra .*?\n\n", page, re.DOTALL | re.MULTILINE)[0].strip().splitlines()[2:]
    )
    named = [name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(setup["options.extras_require"])
    jobs = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]
    *all_but_last, last = jobs["run"]["strategy"]["matrix"]["python"]
    assert f"Python {', '.join(all_but_last)} or {last}." in page
