"""A folder for any static server: one page that labels photos in the browser that opens it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import InputError
from fcn_tf.exporting.browser import VARIABLE, find_browser
from fcn_tf.exporting.formats import Job
from fcn_tf.exporting.options import ExportOptions
from fcn_tf.exporting.tflite import convert
from fcn_tf.exporting.tflite_metadata import with_metadata
from fcn_tf.exporting.web_runtime import packages, write_runtime

PAGE = Path(__file__).with_name("page")


def check(options: ExportOptions) -> None:
    """Refuses a page that could not be made or verified; see `fcn_tf.exporting.formats`.

    Raises:
        InputError: the model would have no fixed size, or there is no browser to verify the page
            in, or no LiteRT.js.
    """
    if options.tflite.size_px is None:
        raise InputError(
            "tflite.size='any': the model of a web page has a fixed size. Give HEIGHTxWIDTH, or "
            "export the page by itself."
        )
    os.environ[VARIABLE] = find_browser()  # for the process of `run`
    packages(options.web.runtime)


def write(job: Job, kind: str, folder: Path) -> Path:
    """Writes the page, which is the folder itself; see `fcn_tf.exporting.formats`."""
    # Float32 in and a fixed size: no operation is left that WebGPU does not take.
    size_px = job.options.tflite.size_px
    content = convert(job.model, kind, size_px=size_px, takes="float32")
    assert job.record is not None
    (folder / "model.tflite").write_bytes(with_metadata(content, job.stem, job.record))
    described = {
        "name": job.stem,
        "classes": job.record.classes,
        "palette": job.record.palette,
    }
    (folder / "model.json").write_text(json.dumps(described) + "\n", encoding="ascii")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    write_runtime(folder / "litert", job.options.web.runtime)
    return folder


def run(artefact: str) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """Serves the page, opens it in Chromium, and gives it photos; the answers are what it shows.

    This text is executed alone, in a process without this package: every name that it uses is
    imported or made inside.
    """
    import atexit
    import functools
    import http.server
    import io
    import os
    import sys
    import threading

    import numpy as np
    from PIL import Image
    from playwright.sync_api import Error, FilePayload, sync_playwright

    received = []

    class Server(http.server.SimpleHTTPRequestHandler):
        def do_POST(self):  # the scores, on their way back
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *what):
            pass

    serve = functools.partial(Server, directory=artefact)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}/"
    try:
        playwright = sync_playwright().start()
        atexit.register(playwright.stop)
        browser = playwright.chromium.launch(executable_path=os.environ["CHROME_BIN"])
        atexit.register(browser.close)
        page = browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        # What the page's own policy keeps from being asked.
        refused = (
            "addEventListener('securitypolicyviolation', (e) => (window.refused = e.blockedURI))"
        )
        page.add_init_script(refused)
        page.goto(f"{origin}?run=wasm")
        page.locator("#file:enabled, #problem:visible").first.wait_for(timeout=300_000)
        if page.locator("#problem").is_visible():
            sys.exit(f"the page says: {page.locator('#problem').inner_text()}")
    except Error as error:
        sys.exit(str(error).splitlines()[0])
    page.evaluate("document.addEventListener('labelled', (event) => (window.last = event.detail))")

    def answer(image):
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        page.evaluate("window.last = null")
        photo = FilePayload(name="photo.png", mimeType="image/png", buffer=png.getvalue())
        page.locator("#file").set_input_files(photo)
        found = page.evaluate(
            """async () => {
                const problem = document.getElementById("problem");
                const latest = performance.now() + 600_000;
                while (!window.last) {
                    if (!problem.hidden) return problem.textContent;
                    if (performance.now() > latest) return "nothing for ten minutes";
                    await new Promise((go) => setTimeout(go, 5));
                }
                for (const values of [window.last.scores, window.last.labels])
                    await fetch("received", { method: "POST", body: values });
            }"""
        )
        if found is not None:
            sys.exit(f"the page says: {found}")
        urls = [*asked, page.evaluate("window.refused") or origin]
        if others := [url for url in urls if not url.startswith((origin, "data:", "blob:"))]:
            sys.exit(f"the page asks another server: {others[0]}")
        labels = np.frombuffer(received.pop(), np.uint8)
        scores = np.frombuffer(received.pop(), np.float32).reshape(*image.shape[:2], -1)
        if (labels != scores.argmax(-1).ravel()).any():
            sys.exit("the page shows other labels than those of its scores")
        return {"scores": scores}

    return answer
