"""LiteRT.js from a folder and from npm, by archives of a few bytes in the place of its own."""

import base64
import hashlib
import io
import os
import stat
import sys
import tarfile

import pytest

from fcn_tf.errors import InputError
from fcn_tf.exporting import web_runtime
from fcn_tf.exporting.web_runtime import FILES, packages, write_runtime

CORE, UTILS = "@litertjs/core", "@litertjs/wasm-utils"


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """A folder with both, each file of them holding its own name; these are the ones required."""
    packages.cache_clear()
    folder, required = tmp_path / "archives", {}
    folder.mkdir()
    for package, files in FILES.items():
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for name in (*files, "dist/index.js.map"):
                text = f"{package} {name}".encode()
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
        file = web_runtime.PACKAGES[package][0]
        (folder / file).write_bytes(content.getvalue())
        checksum = base64.b64encode(hashlib.sha512(content.getvalue()).digest()).decode()
        required[package] = (file, checksum)
    monkeypatch.setattr(web_runtime, "PACKAGES", required)
    yield folder
    packages.cache_clear()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts a Python program in the place of npm."""

    def install(code):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "npm"
        program.write_text(f"#!{sys.executable}\nimport os, shutil, sys\n{code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))

    return install


def test_the_files_of_a_page_are_taken_out_of_the_archives(archives, tmp_path):
    write_runtime(tmp_path / "litert", str(archives))
    found = {
        str(path.relative_to(tmp_path / "litert")): path.read_text()
        for path in (tmp_path / "litert").rglob("*")
        if path.is_file()
    }
    names = {"litert_wasm_internal", "litert_wasm_compat_internal"}
    wasm = {f"{name}.{end}" for name in names for end in ("js", "wasm")}
    assert found == {
        "core/index.js": f"{CORE} dist/index.js",
        "core/package.json": f"{CORE} package.json",
        "core/README.md": f"{CORE} README.md",
        "wasm-utils/index.js": f"{UTILS} dist/index.js",
        "wasm-utils/package.json": f"{UTILS} package.json",
        "wasm-utils/README.md": f"{UTILS} README.md",
        **{f"wasm/{name}": f"{CORE} wasm/{name}" for name in wasm},
    }


def test_npm_is_asked_for_both_at_the_held_version(archives, npm, tmp_path):
    npm(
        f"open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:4]))\n"
        f"for file in os.scandir({str(archives)!r}): shutil.copy(file, file.name)"
    )
    assert set(packages(None)) == {CORE, UTILS}
    assert (tmp_path / "asked").read_text() == f"pack {CORE}@2.5.3 {UTILS}@2.5.3"
    (tmp_path / "bin/npm").unlink()  # what was fetched is not fetched again
    write_runtime(tmp_path / "litert", None)
    assert (tmp_path / "litert/core/index.js").read_text() == f"{CORE} dist/index.js"


@pytest.mark.parametrize("package", [CORE, UTILS])
def test_an_archive_with_another_checksum_is_refused(archives, package):
    name, _ = web_runtime.PACKAGES[package]
    with (archives / name).open("ab") as file:
        file.write(b"!")
    with pytest.raises(InputError, match=rf"^{name} is not the archive .* sha512 .*npm pack"):
        packages(str(archives))


def test_a_folder_without_an_archive_is_refused(archives):
    (archives / "litertjs-wasm-utils-2.5.3.tgz").unlink()
    said = rf"^{archives} holds no litertjs-wasm-utils-2.5.3.tgz that can be read. Run `npm pack "
    with pytest.raises(InputError, match=said) as refused:
        packages(str(archives))
    assert str(refused.value).endswith("give its folder as --web.runtime.")


def test_without_npm_the_message_says_how(archives, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(InputError, match=r"npm is not installed: install Node.js. Or: Run `npm"):
        packages(None)


def test_what_npm_says_first_is_the_reason(archives, npm):
    npm("print('\\nnpm error code EAI_AGAIN\\nnpm error log', file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(InputError) as refused:
        packages(None)
    assert "cannot fetch LiteRT.js 2.5.3 (npm error code EAI_AGAIN). Run" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_npm_that_does_not_end_is_left(archives, npm, monkeypatch):
    npm("import time\ntime.sleep(60)")
    monkeypatch.setattr(web_runtime, "SECONDS", 0.05)
    with pytest.raises(InputError, match=r"did not fetch LiteRT.js within 0.05 s. Run `npm pack"):
        packages(None)
