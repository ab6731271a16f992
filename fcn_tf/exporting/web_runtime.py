"""LiteRT.js, which runs a TFLite file in a browser: fetched from npm, held to a checksum."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fcn_tf.errors import InputError

VERSION = "2.5.3"
# Names of npm packages: the file that `npm pack` writes, its sha512 as npm's "integrity" has it.
PACKAGES = {
    "@litertjs/core": (
        f"litertjs-core-{VERSION}.tgz",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    ),
    "@litertjs/wasm-utils": (
        f"litertjs-wasm-utils-{VERSION}.tgz",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
    ),
}
# For each package, its files that a page needs, and where they go. Of the WebAssembly, the build
# for most browsers and the one for those without relaxed SIMD: the others need more of a server.
_ABOUT = ("package.json", "README.md")
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")
FILES: Mapping[str, Mapping[str, str]] = {
    "@litertjs/core": {
        **{name: f"core/{name}" for name in _ABOUT},
        "dist/index.js": "core/index.js",
        **{f"wasm/{name}.{end}": f"wasm/{name}.{end}" for name in _WASM for end in ("js", "wasm")},
    },
    "@litertjs/wasm-utils": {
        **{name: f"wasm-utils/{name}" for name in _ABOUT},
        "dist/index.js": "wasm-utils/index.js",
    },
}
COMMAND = " ".join(["npm pack", *(f"{name}@{VERSION}" for name in PACKAGES)])
SECONDS = 300  # for npm
_HOW = f"Run `{COMMAND}` where there is a network, and give its folder as --web.runtime."


def write_runtime(folder: Path, runtime: str | None) -> None:
    """Writes the files of LiteRT.js that a page needs.

    Args:
        folder: where to; made if it does not exist.
        runtime: as in `packages`.

    Raises:
        InputError: as in `packages`.
    """
    for package, content in packages(runtime).items():
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for name, place in FILES[package].items():
                file = archive.extractfile(f"package/{name}")
                assert file is not None
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())


@functools.lru_cache(maxsize=1)
def packages(runtime: str | None) -> dict[str, bytes]:
    """The archives of LiteRT.js by the name of their package; read or fetched once.

    Args:
        runtime: a folder that holds what `npm pack` wrote, or None to fetch them by npm.

    Raises:
        InputError: they cannot be had, or are not those that this version was tested with.
    """
    if runtime is not None:
        return _read(Path(runtime).expanduser())
    with tempfile.TemporaryDirectory() as folder:
        _fetch(Path(folder))
        return _read(Path(folder))


def _fetch(folder: Path) -> None:
    """Has npm write the archives to a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            "The web page is made with LiteRT.js, which npm fetches, and npm is not installed: "
            f"install Node.js. Or: {_HOW}"
        )
    specs = [f"{name}@{VERSION}" for name in PACKAGES]
    options = ["--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--loglevel=error"]
    try:
        done = subprocess.run(
            [npm, "pack", *specs, *options], cwd=folder, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"npm did not fetch LiteRT.js within {SECONDS} s. {_HOW}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").split("\n")
        reason = next((line.strip() for line in said if line.strip()), "npm gives no reason")
        raise InputError(f"npm cannot fetch LiteRT.js {VERSION} ({reason}). {_HOW}")


def _read(folder: Path) -> dict[str, bytes]:
    """The archives in a folder, once all are those that are held."""
    found = {}
    for package, (name, checksum) in PACKAGES.items():
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{folder} holds no {name} that can be read. {_HOW}") from error
        sha512 = base64.b64encode(hashlib.sha512(content).digest()).decode()
        if sha512 != checksum:
            raise InputError(
                f"{name} is not the archive that this page was tested with: its sha512 is "
                f"{sha512[:12]}…, and {checksum[:12]}… is required. {_HOW}"
            )
        found[package] = content
    return found
