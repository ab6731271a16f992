"""Which TFLite files LiteRT.js runs whole on WebGPU, and whether they give the CPU's labels.

    python benchmarks/webgpu.py [--networks vgg16,resnet50] [--kinds float32,int8]

Networks with random weights are converted with an input of float32, and run in a headless Chromium
on its software adapter. Prints Markdown. "checked" is what TensorFlow's check for its GPU delegate
says. The labels are compared where the two best scores differ by more than 0.01, and the last two
columns compare with the network in Keras. Exits with 1 where a file does not run whole, or where
one of float32 or float16 gives less than 99.9 % of the CPU's labels.
"""

import argparse
import base64
import contextlib
import functools
import http.server
import io
import os
import sys
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from toy import exit_code, parse

SAME_LABELS = 0.999
MARGIN = 0.01  # of the two best scores of a pixel that counts
STEPS = 30  # in which batch normalisation takes the statistics of the images
NETWORKS = {
    "vgg16": {"variant": "fcn8s", "width": 0.125},
    "resnet50": {"variant": "fcn8s", "trunk": "resnet50"},
    "mobilenetv3_large": {"variant": "fcn8s", "trunk": "mobilenetv3_large", "width": 0.25},
    "efficientnetv2_b0": {"variant": "fcn8s", "trunk": "efficientnetv2_b0"},
    "fcn_resnet50": {"variant": "fcn_resnet50", "width": 0.125},
}
# A software adapter; on Linux it needs Vulkan.
FLAGS = (
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    "--enable-features=Vulkan",
)
PAGE = """<!doctype html>
<script type="importmap">{"imports": {"@litertjs/core": "./litert/core/index.js",
"@litertjs/wasm-utils": "./litert/wasm-utils/index.js"}}</script>
<script type="module">
import { getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
await loadLiteRt("./litert/wasm/");
window.hasGpu = getWebGpuDevice() !== null;
window.answer = async ([file, shape]) => {
    const read = async (name) => (await fetch(name)).arrayBuffer();
    try {
        const options = { accelerator: "webgpu", gpuOptions: { precision: "fp32" } };
        const network = await loadAndCompile(new Uint8Array(await read(file)), options);
        if (!network.isFullyAccelerated) return { refused: "in part" };
        const image = new Tensor(new Float32Array(await read("image.bin")), shape);
        const [output] = await network.run([image]);
        const scores = new Uint8Array((await output.data()).slice().buffer);
        let text = "";
        for (const one of scores) text += String.fromCharCode(one);
        network.delete();
        return { scores: btoa(text) };
    } catch (error) {
        return { refused: String(error.message ?? error) };
    }
};
window.isReady = true;
</script>
"""


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *what):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--kinds", default="float32,float16,dynamic,int8")
    parser.add_argument("--size_px", type=int, nargs=2, default=(96, 128))
    parser.add_argument("--head_units", type=int, default=64)
    arguments = parse(
        parser, networks="vgg16", kinds="float32,int8", size_px=(64, 96), head_units=16
    )
    missed = False
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as page:
        print("| network | kind | checked | whole | as the CPU, % | CPU, % | WebGPU, % |")
        print("|---|---|---|---|---|---|---|")
        images = scenes(arguments.size_px)
        for name in arguments.networks.split(","):
            model = network(name, arguments, np.stack(images))
            for kind in arguments.kinds.split(","):
                row = compared(model, kind, images, Path(folder), page)
                print("|", " | ".join([name, kind, *row[0]]), "|", flush=True)
                missed = missed or row[1]
    return exit_code(missed, arguments)


def network(name, arguments, images):
    """A network with random weights, whose labels differ from place to place."""
    import keras

    import fcn_tf

    keras.utils.set_random_seed(0)
    given = {**NETWORKS[name], "head_units": arguments.head_units}
    model = fcn_tf.build_fcn(given.pop("variant"), 21, **given)
    random = np.random.default_rng(0)
    scored = []
    for layer in model.layers:
        if layer.name.startswith("score"):  # they begin at zero, and would answer nothing
            layer.kernel.assign(random.normal(0, 1, layer.kernel.shape))
            scored.append(layer)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        for _ in range(STEPS):
            model(images, training=True)
    for layer in scored:  # their maps get the mean 0 and the deviation 2 in each class
        maps = keras.Model(model.inputs[0], layer.output)(images, training=False).numpy()
        deviation = maps.std((0, 1, 2)) + 1e-3
        layer.kernel.assign(layer.kernel * 2 / deviation)
        layer.bias.assign(-2 * maps.mean((0, 1, 2)) / deviation)
    return model


def scenes(size_px):
    from fcn_tf.data.shapes import draw_scene
    from fcn_tf.images.read import resize

    random = np.random.default_rng(0)
    return [resize(draw_scene(random)[0], tuple(size_px)) for _ in range(8)]


def compared(model, kind, images, folder, page):
    """The cells of a row behind its kind, and whether a bar is missed."""
    import tensorflow as tf

    from fcn_tf.exporting.tflite import convert, run

    content = convert(model, kind, images[0].shape[:2], "float32", calibration=images)
    (folder / "model.tflite").write_bytes(content)
    (folder / "image.bin").write_bytes(images[0].astype(np.float32).tobytes())
    checked = "yes" if is_for_gpus(content) else "no"
    on_cpu = run(str(folder / "model.tflite"))(images[0])["scores"]
    in_keras = np.asarray(tf.nn.softmax(model(images[0][None], training=False)[0]))
    found = page.evaluate("(what) => window.answer(what)", ["model.tflite", [1, *images[0].shape]])
    if "refused" in found:
        return [checked, f"no: {' '.join(found['refused'].split())}", "", "", ""], True
    on_gpu = np.frombuffer(base64.b64decode(found["scores"]), np.float32).reshape(on_cpu.shape)
    shares = [same(on_gpu, on_cpu), same(on_cpu, in_keras), same(on_gpu, in_keras)]
    missed = kind in ("float32", "float16") and shares[0] < SAME_LABELS
    return [checked, "yes", *(f"{100 * share:.2f}" for share in shares)], missed or checked == "no"


def same(scores, reference):
    """The share of the decided pixels of a reference that have its labels."""
    second, best = np.sort(reference)[..., -2:].transpose(2, 0, 1)
    decided = best - second > MARGIN
    return (scores.argmax(-1) == reference.argmax(-1))[decided].mean()


def is_for_gpus(content):
    """What TensorFlow's check for its GPU delegate says."""
    import tensorflow as tf

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tf.lite.experimental.Analyzer.analyze(model_content=content, gpu_compatibility=True)
    return "Your model looks compatible with GPU delegate" in said.getvalue()


@contextlib.contextmanager
def opened(folder):
    """A page in Chromium that has LiteRT.js, and is served from a folder."""
    from playwright.sync_api import sync_playwright

    from fcn_tf.exporting.browser import find_browser
    from fcn_tf.exporting.web_runtime import write_runtime

    write_runtime(folder / "litert", None)
    (folder / "index.html").write_text(PAGE)
    handler = functools.partial(Server, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=[*FLAGS])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("window.isReady", timeout=300_000)
        if not page.evaluate("window.hasGpu"):
            sys.exit("This Chromium has no software adapter for WebGPU.")
        yield page
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
