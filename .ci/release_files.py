"""Checks a wheel and an sdist: each file that they must have, and none besides.

    python -m build && python .ci/release_files.py dist

tests/test_release.py tests it.
"""

import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What setuptools writes.
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}
EGG_INFO = {
    *("PKG-INFO", "SOURCES.txt", "dependency_links.txt", "entry_points.txt", "requires.txt"),
    "top_level.txt",
}
BESIDE = {
    *("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "constraints.txt"),
    *("constraints-beam.txt", "export.py", "pyproject.toml", "setup.cfg", "train.py"),
}


def package_files(root: Path) -> set[str]:
    """The files of fcn_tf/ and configs/, as paths below the root; no caches."""
    files = (path for name in ("fcn_tf", "configs") for path in (root / name).rglob("*"))
    parts = (path.relative_to(root).parts for path in files if path.is_file())
    return {"/".join(p) for p in parts if not any(n.startswith(("__pycache__", ".")) for n in p)}


def wheel_files(root: Path, info: str) -> set[str]:
    """What a wheel has to hold.

    Args:
        root: of the checkout.
        info: the wheel's folder of metadata, NAME-VERSION.dist-info.
    """
    package = {
        name if name.startswith("fcn_tf/") else f"fcn_tf/{name}" for name in package_files(root)
    }
    return package | {f"{info}/{name}" for name in (*METADATA, "licenses/LICENSE")}


def sdist_files(root: Path) -> set[str]:
    """What an sdist has to hold, as paths below its only folder."""
    egg_info = {f"fcn_tf.egg-info/{name}" for name in EGG_INFO}
    return package_files(root) | BESIDE | egg_info | {"PKG-INFO"}


def differences(name: str, found: Iterable[str], expected: Iterable[str]) -> list[str]:
    """A line for each file that is missing, and for each that does not belong there."""
    found, expected = set(found), set(expected)
    missing = [f"{name}: {file} is missing" for file in sorted(expected - found)]
    return missing + [f"{name}: {file} does not belong there" for file in sorted(found - expected)]


def check(folder: Path, root: Path = ROOT) -> list[str]:
    """What is wrong with the wheel and the sdist of a folder, a line each; none if all is right.

    Args:
        folder: with one wheel and one sdist, as `python -m build` writes them.
        root: of the checkout that they were built from.

    Raises:
        ValueError: there is not one wheel and one sdist.
    """
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        raise ValueError(
            f"{folder} has {len(wheels)} wheels and {len(sdists)} sdists, and must have one of "
            "each: run `python -m build` in a checkout without dist/"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        in_wheel = [name for name in wheel.namelist() if not name.endswith("/")]
    with tarfile.open(sdists[0]) as sdist:
        members = [member.name for member in sdist.getmembers() if member.isfile()]
    info = "-".join(wheels[0].name.split("-")[:2]) + ".dist-info"
    in_sdist = [name.partition("/")[2] for name in members]
    return [
        *differences(wheels[0].name, in_wheel, wheel_files(root, info)),
        *differences(sdists[0].name, in_sdist, sdist_files(root)),
    ]


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]))
    print(*wrong or ["the files of the wheel and of the sdist are right"], sep="\n")
    sys.exit(bool(wrong))
