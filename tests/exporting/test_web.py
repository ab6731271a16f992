"""The page for browsers, as far as it can be checked without one: test_web_page.py opens it."""

import base64
import hashlib
import importlib.util
import json
import os
import re
from types import SimpleNamespace

import pytest

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.errors import InputError
from fcn_tf.exporting import web
from fcn_tf.exporting.export import export
from fcn_tf.exporting.formats import FORMATS
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions, WebOptions
from fcn_tf.exporting.sizes import with_fixed_size
from fcn_tf.exporting.web_runtime import FILES

NAMES = ("sky", 'a "quoted" <b>name</b>', "w" * 200, "Straße")
COLORS = [[1, 2, 3], [40, 50, 60], [7, 8, 9], [255, 0, 128]]
HTML = (web.PAGE / "index.html").read_text()


@pytest.fixture(autouse=True)
def needs_no_extra(monkeypatch):
    """No browser is opened here: what opens one need not be installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def options(**values):
    return ExportOptions(formats="web", tflite=TFLiteOptions(size="32x48"), **values)


@pytest.fixture
def runtime(monkeypatch):
    """Notes what LiteRT.js is asked for."""
    asked = []
    monkeypatch.setattr(web, "packages", lambda runtime: asked.append(runtime))
    monkeypatch.setattr(web, "write_runtime", lambda folder, runtime: asked.append(runtime))
    return asked


@pytest.fixture
def written(runtime, monkeypatch, tmp_path):
    """The folder of a page whose model is a line that says how it was converted."""
    record = ExportRecord(classes=NAMES, palette=COLORS, model="/home/me/runs/mine")
    said = lambda *given, **options: repr((*given, options)).encode()  # noqa: E731
    monkeypatch.setattr(web, "convert", said)
    described = lambda content, *of: content + repr(of == ('my "scenes"', record)).encode()  # noqa: E731
    monkeypatch.setattr(web, "with_metadata", described)
    job = SimpleNamespace(
        model="the network",
        options=options(web=WebOptions(runtime="there")),
        stem='my "scenes"',
        record=record,
    )
    assert web.write(job, "float32", tmp_path) == tmp_path
    assert runtime == ["there"]
    return tmp_path


def test_names_and_colours_are_those_of_the_export(written):
    described = json.loads((written / "model.json").read_text())
    assert described == {"name": 'my "scenes"', "classes": list(NAMES), "palette": COLORS}
    assert "/home/me" not in (written / "model.json").read_text()
    assert (written / "model.json").read_bytes().isascii()


def test_the_page_and_the_model_lie_side_by_side(written):
    assert {path.name for path in written.iterdir()} == {
        *("index.html", "app.js", "pixels.js", "app.css", "model.json", "model.tflite"),
    }
    converted = (written / "model.tflite").read_text()
    assert converted == (
        "('the network', 'float32', {'size_px': Size(32, 48), 'takes': 'float32'})True"
    )


def test_export_json_tells_visitors_no_path():
    described = FORMATS["web"].settings(options()).described
    assert described == {"size": "32x48", "model": None}


def test_all_that_the_page_loads_is_beside_it():
    """Files of the page, of LiteRT.js and of the export; nothing of another server."""
    there = {path.name for path in web.PAGE.iterdir()} | {"model.json", "model.tflite"}
    there |= {f"litert/{place}" for files in FILES.values() for place in files.values()}
    imports = json.loads(re.search(r'<script type="importmap">(.*?)</script>', HTML)[1])["imports"]
    script = (web.PAGE / "app.js").read_text()
    loaded = [
        *re.findall(r'(?:src|href)="(?!data:)([^"]*)"', HTML),
        *(place.removeprefix("./") for place in imports.values()),
        *(name.removeprefix("./") for name in re.findall(r'from "(\./[^"]*)"', script)),
        *re.findall(r'fetched\("([^"]*)"', script),
    ]
    assert len(loaded) == 7
    assert set(loaded) <= there
    bare = {name for name in re.findall(r'from "([^"]*)"', script) if not name.startswith(".")}
    assert bare == {"@litertjs/core"} <= set(imports)
    texts = HTML + script + (web.PAGE / "pixels.js").read_text()
    assert re.findall(r"https?://[\w.:-]*", texts) == ["http://localhost:8000."]


def test_the_browser_refuses_what_the_page_does_not_hold():
    """Its policy names no other server, and allows the two scripts that stand in it alone."""
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', HTML)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    scripts = re.findall(r"<script(?: type=\"importmap\")?>(.*?)</script>", HTML, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    allowed = ["'self'", "'wasm-unsafe-eval'", *(f"'sha256-{hash.decode()}'" for hash in hashes)]
    assert rules["script-src"].split() == allowed
    assert not re.search(
        r"innerHTML|insertAdjacentHTML|outerHTML", (web.PAGE / "app.js").read_text()
    )


def test_a_page_has_a_fixed_size(runtime, monkeypatch):
    assert with_fixed_size(ExportOptions(formats="web"), None).tflite.size == (512, 512)
    any_size = ExportOptions(formats="web", tflite=TFLiteOptions(size="any"))
    with pytest.raises(InputError, match=r"^tflite.size='any': the model of a web page has a fix"):
        web.check(any_size)
    assert runtime == []


def test_without_a_browser_nothing_is_begun(runtime, monkeypatch, tmp_path):
    """The model is not looked at."""
    monkeypatch.delenv("CHROME_BIN", raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(InputError, match=r"none was found: install one \(apt-get install chro"):
        export("no such model", tmp_path / "m", options=options())
    assert not (tmp_path / "m").exists()
    assert runtime == []


def test_the_browser_that_is_found_is_named_for_the_process(runtime, monkeypatch, tmp_path):
    """The one that verifies the page knows it by its environment alone."""
    monkeypatch.setenv("CHROME_BIN", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "google-chrome").touch(mode=0o755)
    web.check(options())
    assert os.environ["CHROME_BIN"] == str(tmp_path / "google-chrome")


def test_the_browser_that_is_named_is_taken(runtime, monkeypatch, tmp_path):
    monkeypatch.setenv("CHROME_BIN", str(tmp_path / "mine"))
    with pytest.raises(InputError, match=r"CHROME_BIN=.*/mine is no program: install one"):
        web.check(options())
    (tmp_path / "mine").touch(mode=0o755)
    web.check(options(web=WebOptions(runtime="there")))
    assert os.environ["CHROME_BIN"] == str(tmp_path / "mine")
    assert runtime == ["there"]


def test_without_the_extra_the_line_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^formats=web: pip install 'fcn_tf\[web\]' writes it"):
        options()
