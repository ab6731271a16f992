"""How soon the page for browsers shows the first labels of a photo, and how fast it goes on.

python benchmarks/web.py

The page is opened in a headless Chromium, on the processor. The first visit fills the cache. The
visits after it are measured from the address to the labels of a photo of 640×480 px.
"""

import argparse
import functools
import http.server
import io
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from toy import exit_code, parse

import fcn_tf
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions

SECONDS_AT_MOST = 3
LABEL = "document.addEventListener('labelled', ({ detail }) => (window.last = detail.milliseconds))"
WAIT = """async () => {
    while (!window.last) await new Promise((go) => setTimeout(go, 1));
    const milliseconds = window.last;
    window.last = null;
    return milliseconds;
}"""


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *what):
        pass


def exported(arguments, folder):
    """The page of a network whose weights are random."""
    model = fcn_tf.build_fcn("fcn8s", 21, width=arguments.width, head_units=arguments.head_units)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score"):  # they begin at zero, and would answer nothing
            layer.kernel.assign(random.normal(0, 0.01, layer.kernel.shape))
    tflite = TFLiteOptions(size=(arguments.size_px, arguments.size_px))
    fcn_tf.export(model, folder, options=ExportOptions(formats="web", tflite=tflite))
    return folder / "web/1"


def visit(context, origin, photo, photos):
    """Seconds to the first labels, and the milliseconds of each photo after it."""
    page = context.new_page()
    started = time.perf_counter()
    page.goto(f"{origin}?run=wasm")
    page.locator("#file:enabled").wait_for()
    page.evaluate(LABEL)
    page.locator("#file").set_input_files(photo)
    page.evaluate(WAIT)
    seconds = time.perf_counter() - started
    milliseconds = []
    for _ in range(photos):
        page.locator("#file").set_input_files(photo)
        milliseconds.append(page.evaluate(WAIT))
    page.close()
    return seconds, milliseconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--head_units", type=int, default=512)
    parser.add_argument("--size_px", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parse(parser, rounds=1, width=1 / 32, head_units=8, size_px=32)
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    png = io.BytesIO()
    Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(png, "PNG")
    photo = {"name": "photo.png", "mimeType": "image/png", "buffer": png.getvalue()}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = exported(arguments, Path(folder) / "page")
        handler = functools.partial(Server, directory=site)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}/"
        browser = playwright.chromium.launch(executable_path=os.environ["CHROME_BIN"])
        context = browser.new_context(bypass_csp=True)
        cold, _ = visit(context, origin, photo, 0)
        visits = [visit(context, origin, photo, 3) for _ in range(arguments.rounds)]
        browser.close()
    seconds = [first for first, _ in visits]
    median = statistics.median(seconds)
    print(f"first labels with an empty cache: {cold:.2f} s")
    print(f"with a warm one: {median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    photos = [each for _, milliseconds in visits for each in milliseconds]
    spread = f"{min(photos):.0f} to {max(photos):.0f}"
    print(f"each photo after it: {statistics.median(photos):.0f} ms ({spread})")
    return exit_code(median > SECONDS_AT_MOST, arguments)


if __name__ == "__main__":
    sys.exit(main())
