"""An exported page in Chromium: its labels, what it shows, and what it says is wrong."""

import base64
import contextlib
import functools
import http.server
import io
import os
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions
from tests.browsers import BROWSER, needs_browser
from tests.networks import narrow_fcn, random_images

pytestmark = [pytest.mark.slow, *needs_browser]

NAMES = ("sky", 'a "quoted" <b>name</b>', "w" * 200, "Straße", "e", "f")
COLORS = [[1, 2, 3], [40, 50, 60], [7, 8, 9], [255, 0, 128], [0, 90, 0], [200, 200, 0]]
SIZE_PX = (96, 128)
SOFTWARE_GPU = (
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    "--enable-features=Vulkan",
)
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# Gives the page a photo and waits for its labels, or for what it says instead.
LABELLED = """async ([name, text, isDropped]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const problem = document.getElementById("problem");
    const answer = new Promise((go) => document.addEventListener("labelled", go, { once: true }));
    const photo = new DataTransfer();
    photo.items.add(new File([bytes], name));
    if (isDropped) {
        dispatchEvent(new DragEvent("drop", { dataTransfer: photo, cancelable: true }));
    } else {
        const file = document.getElementById("file");
        file.files = photo.files;
        file.dispatchEvent(new Event("change"));
    }
    const refused = new Promise((go) => {
        problem.hidden = true;
        setTimeout(go, 60_000);
        const look = () => problem.hidden ? setTimeout(look, 5) : go();
        look();
    });
    const event = await Promise.race([answer, refused]);
    const { width, height, labels } = event?.detail ?? { width: 0, height: 0, labels: [] };
    const says = problem.hidden ? "" : problem.textContent;
    return { width, height, labels: labels.join(""), says };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a page, as the export writes and verifies it."""
    model = narrow_fcn("fcn8s", 6, class_names=NAMES, palette=COLORS, width=0.0625, head_units=32)
    return exported(model, tmp_path_factory.mktemp("web") / "scenes")


def exported(model, out):
    """The folder of the page of a model, which then gives several classes."""
    from fcn_tf.exporting.export import export
    from fcn_tf.exporting.web_runtime import packages

    try:
        packages(None)
    except InputError as error:
        pytest.skip(str(error))
    logits = np.asarray(model(random_images(1, *SIZE_PX, 3), training=False))
    scored = [one for one in model.layers if getattr(one, "bias", None) is not None]
    bias = next(one.bias for one in reversed(scored) if one.bias.shape == logits.shape[-1:])
    bias.assign(bias - logits.mean((0, 1, 2)))
    options = ExportOptions(formats="web", tflite=TFLiteOptions(size=SIZE_PX))
    written = export(model, out, options=options)
    assert written["web"]["float32"]["same_label"] >= 0.9999
    assert written["web"]["float32"]["largest_difference"] <= 1e-5
    return out / "web/1"


@pytest.fixture(scope="module")
def browser():
    """Starts Chromium, once for each set of flags."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:

        @functools.cache
        def started(*flags):
            return playwright.chromium.launch(executable_path=BROWSER, args=[*flags])

        yield started


@pytest.fixture
def opened(browser):
    """Serves a folder and opens its page; by default once it is ready for photos."""
    with contextlib.ExitStack() as stack:

        def open_page(folder, *flags, query="?run=wasm", waits=True, **context):
            handler = functools.partial(QuietHandler, directory=folder)
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            # Its policy is lifted but in one test: that it asks no other server is to be seen.
            page = browser(*flags).new_page(**{"bypass_csp": True, **context})
            stack.callback(page.close)
            page.asked = []
            page.on("request", lambda what: page.asked.append(what.url))
            page.origin = f"http://127.0.0.1:{server.server_port}/"
            page.goto(page.origin + query)
            if waits:
                page.locator("#file:enabled").wait_for(timeout=60_000)
            return page

        yield open_page


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *what):
        pass


@pytest.fixture(scope="module")
def predictor(site):
    from fcn_tf import Predictor

    return Predictor(site / "model.tflite")


def photo(height, width):
    """Soft blobs of colour, so that several classes are answered."""
    blobs = random_images(max(2, height // 12), max(2, width // 12), 3)
    return np.asarray(Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def label(page, contents, name="photo.png", is_dropped=False):
    """(labels (H, W), what the page complains of) of an image file."""
    text = base64.b64encode(contents).decode()
    found = page.evaluate(LABELLED, [name, text, is_dropped])
    digits = np.frombuffer(found["labels"].encode(), np.uint8) - ord("0")
    return digits.reshape(found["height"], found["width"]), found["says"]


def test_labels_are_those_of_the_predictor_and_nothing_is_asked_elsewhere(site, opened, predictor):
    """At the size of the file, wider, higher and smaller; dropped and chosen."""
    page = opened(site)
    assert "This browser has no WebGPU." in page.inner_text("#state")
    for index, size in enumerate([SIZE_PX, (300, 411), (181, 100), (33, 20)]):
        image = photo(*size)
        labels, says = label(page, encoded(image), is_dropped=index % 2 == 1)
        expected = predictor(image)
        assert len(np.unique(expected)) > 2 or expected.size < 1000
        np.testing.assert_array_equal(labels, expected)
        assert says == ""
    # As browsers show it: turned by the EXIF orientation, which stands for a quarter turn here.
    turned = Image.Exif()
    turned[0x0112] = 6
    contents = encoded(photo(90, 130), "JPEG", quality=95, subsampling=0, exif=turned)
    labels, _ = label(page, contents, "photo.jpg")
    expected = predictor(contents)
    assert labels.shape == expected.shape == (130, 90)
    assert (labels == expected).mean() > 0.99  # decoders of JPEG round differently
    others = [url for url in page.asked if not url.startswith((page.origin, "data:", "blob:"))]
    assert not others
    assert len(page.asked) >= 9


@pytest.mark.parametrize("variant", ["lraspp_mobilenetv3", "segnet"])
def test_the_kin_have_pages(variant, opened, tmp_path):
    from fcn_tf import Predictor

    site = exported(narrow_fcn(variant, 6, width=0.0625), tmp_path / "m")
    image = photo(*SIZE_PX)
    labels, says = label(opened(site), encoded(image))
    expected = Predictor(site / "model.tflite")(image)
    assert len(np.unique(expected)) > 2
    assert (labels == expected).mean() > 0.999
    assert says == ""


def test_on_webgpu_the_labels_are_the_same(site, opened, predictor, tmp_path):
    strict = tmp_path / "app.js"
    text = (site / "app.js").read_text()
    strict.write_text(text.replace("SAME_LABELS = 0.999;", "SAME_LABELS = 1.001;"))
    page = opened(site, *SOFTWARE_GPU, query="?run=webgpu")
    if "no WebGPU" in page.inner_text("#state"):
        pytest.skip("needs a software adapter for WebGPU, which this Chromium lacks")
    assert page.inner_text("#state") == "Ready. Runs on WebGPU (graphics processor), at 128×96 px."
    assert page.locator("#problem").is_hidden()
    image = photo(130, 170)
    labels, says = label(page, encoded(image))
    expected = predictor(image)
    assert (labels == expected).mean() >= 0.999
    assert "the network on WebGPU" in page.inner_text("#state")
    assert says == ""
    # A WebGPU that gives other labels is left: here it would have to agree on more than all.
    page.route("**/app.js", lambda route: route.fulfill(path=strict))
    page.reload()
    page.locator("#file:enabled").wait_for()
    labels, _ = label(page, encoded(image))
    np.testing.assert_array_equal(labels, expected)
    page.locator(
        "#problem", has_text="WebGPU gave other labels than WebAssembly on 0.0 %"
    ).wait_for()
    assert "the network on WebAssembly" in page.inner_text("#state")
    page.select_option("#route", "webgpu")
    page.locator("#state", has_text="Ready. Runs on WebGPU").wait_for()
    page.select_option("#route", "wasm")
    page.locator("#state", has_text="Ready. Runs on WebAssembly").wait_for()
    np.testing.assert_array_equal(label(page, encoded(image))[0], expected)


def test_a_narrow_screen_shows_all_and_the_keyboard_reaches_it(site, opened, tmp_path):
    page = opened(site, viewport={"width": 400, "height": 800}, bypass_csp=False)
    labels, _ = label(page, encoded(photo(120, 200)))
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.evaluate("getComputedStyle(document.getElementById('overlay')).opacity") == "0.5"
    assert page.locator("#overlay").bounding_box() == page.locator("#photo").bounding_box()
    # The legend: the commonest class first, each name as text, its colour and its share.
    counts = np.bincount(labels.ravel(), minlength=6)
    order = sorted(range(6), key=lambda number: (-counts[number], number))
    assert page.locator("#legend .name").all_inner_texts() == [NAMES[number] for number in order]
    shares = [f"{100 * counts[number] / labels.size:.1f} %" for number in order]
    assert page.locator("#legend .share").all_inner_texts() == shares
    swatch = "getComputedStyle(document.querySelector('#legend .colour')).backgroundColor"
    assert page.evaluate(swatch) == "rgb({}, {}, {})".format(*COLORS[order[0]])
    pixel = "[...document.getElementById('overlay').getContext('2d').getImageData(7, 5, 1, 1).data]"
    assert page.evaluate(pixel) == [*COLORS[labels[5, 7]], 255]
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "opacity":
            page.keyboard.press("ArrowRight")
    assert reached == ["file", "camera", "opacity", "SUMMARY"]
    assert page.evaluate("document.getElementById('overlay').style.opacity") == "0.51"
    assert page.inner_text("#shown") == "51 %"
    assert page.evaluate("document.title") == "scenes"


def test_what_cannot_be_labelled_is_said_and_the_page_goes_on(site, opened):
    page = opened(site)
    labels, says = label(page, b"no image", "notes.txt")
    assert labels.size == 0
    assert says.startswith("notes.txt cannot be read as an image. Choose a JPEG")
    deep = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep, "PNG")
    assert label(page, deep.getvalue())[1].startswith("photo.png has 16 bits a channel")
    image = photo(40, 50)
    alpha = np.dstack([image, np.where(np.arange(50) < 9, 0, 255) * np.ones((40, 1), int)])
    labels, says = label(page, encoded(alpha.astype(np.uint8)))
    assert labels.shape == (40, 50)
    assert says.startswith("The image has transparent parts.")
    assert label(page, encoded(image))[1] == ""
    page.evaluate("dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer() }))")
    page.locator("#problem", has_text="What was dropped is no file.").wait_for()


def test_the_camera(site, opened):
    page = opened(site, *FAKE_CAMERA, permissions=["camera"])
    page.click("#camera")
    page.locator("#camera", has_text="Take the photo").wait_for()
    assert page.locator("#video").is_visible()
    page.click("#camera")
    page.locator("#state", has_text="Photo of the camera, 640×480 px").wait_for()
    page.locator("#camera", has_text="Use the camera").wait_for()
    assert page.locator("#video").is_hidden()
    assert page.locator("#overlay").is_visible()
    refused = opened(site)
    refused.click("#camera")
    refused.locator("#problem:visible").wait_for()
    assert refused.inner_text("#problem").startswith(("The camera was refused.", "No camera"))


def test_what_keeps_the_page_from_starting_is_said(site, opened, tmp_path):
    def said(change):
        folder = tmp_path / change.__name__
        shutil.copytree(site, folder, copy_function=os.link)
        change(folder)
        page = opened(folder, waits=False)
        page.locator("#problem:visible").wait_for()
        assert page.inner_text("#state") == "Not started."
        return page.inner_text("#problem")

    def replace(path, contents):  # the others are those of the site
        path.unlink()
        path.write_bytes(contents)

    def no_model(folder):
        (folder / "model.tflite").unlink()

    def damaged_model(folder):
        replace(folder / "model.tflite", b"TFL3" * 50)

    def other_classes(folder):
        replace(folder / "model.json", b'{"name": "x", "classes": ["a"], "palette": [[0, 0, 0]]}')

    def no_litert(folder):
        shutil.rmtree(folder / "litert/core")

    assert said(no_model).startswith("No model: there is no model.tflite beside this page")
    assert said(damaged_model).startswith("model.tflite cannot be loaded (")
    assert said(other_classes).startswith("model.json names 1 classes, and model.tflite has 6.")
    assert said(no_litert).startswith("This page cannot start here.")
    page = opened(site)
    page.goto((site / "index.html").as_uri())
    page.locator("#problem:visible").wait_for()
    assert page.inner_text("#problem").startswith("This page was opened as a file")
