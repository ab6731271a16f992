"""Which TFLite files LiteRT.js runs whole on WebGPU, and whether they give the CPU's labels.

    python benchmarks/webgpu.py [--networks vgg16,resnet50] [--kinds float32,int8]
    python benchmarks/webgpu.py --random

Each network is trained on generated scenes, unless its run is in --out, and converted with an input
of float32 (of uint8 for integer, which has no other). The files run in a headless Chromium on its
software adapter, on other scenes. Prints Markdown. "checked" is what TensorFlow's check for its GPU
delegate says. The labels of WebGPU are compared with the CPU's on all pixels, and both with those
of the network in Keras where its two best scores differ by more than 0.01. Exits with 1 where a
file does not run whole, or one of float32, float16 or int8 gives less than 99.9 % of the CPU's
labels.

With --random the networks have random weights. Their labels depend on small differences, so wrong
operations show; but 8 bits are then too few. So int8 has no bar, the files answer one image, and
all labels are compared where two scores differ.
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
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from random_weights import random_network
from rows import course, report, train_run
from toy import exit_code, parse

SAME_LABELS = 0.999
# WebGPU does not round the activations of `dynamic`, and CPUs do.
HELD, HELD_RANDOM = ("float32", "float16", "int8"), ("float32", "float16")
MARGIN = 0.01  # of the two best scores of a pixel that counts


class Network(NamedTuple):
    """What is trained: options of `fcn-tf train`, and for how many steps."""

    values: dict
    steps: int


NETWORKS = {
    "vgg16": Network({"variant": "fcn8s"}, 1000),
    "resnet50": Network({"variant": "fcn8s", "model.trunk": "resnet50", "model.width": 1.0}, 200),
    "mobilenetv3_large": Network(
        {"variant": "fcn8s", "model.trunk": "mobilenetv3_large", "model.width": 0.25}, 1000
    ),
    "efficientnetv2_b0": Network(
        {
            "variant": "fcn8s",
            "model.trunk": "efficientnetv2_b0",
            "model.width": 1.0,
            "data.crop_px": 128,
        },
        300,
    ),
    "fcn_resnet50": Network({"variant": "fcn_resnet50", "model.width": 0.125}, 1000),
}
# With random weights: what NETWORKS leaves to the recipe, and of the head.
RANDOM_WIDTH, HEAD_UNITS = {"vgg16": {"model.width": 0.125}}, 64
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
window.answer = async ([takes, shape, count]) => {
    // Two files of one name that are written within a second are the same to a browser's cache.
    const read = async (name) => (await fetch(name, { cache: "no-store" })).arrayBuffer();
    const numbers = takes === "uint8" ? Uint8Array : Float32Array;
    const answers = [];
    try {
        const options = { accelerator: "webgpu", gpuOptions: { precision: "fp32" } };
        const network = await loadAndCompile(new Uint8Array(await read("model.tflite")), options);
        if (!network.isFullyAccelerated) return { refused: "in part" };
        for (let index = 0; index < count; index++) {
            const image = new Tensor(new numbers(await read(`image-${index}.bin`)), shape);
            const [output] = await network.run([image]);
            let text = "";
            for (const one of new Uint8Array((await output.data()).slice().buffer)) {
                text += String.fromCharCode(one);
            }
            answers.push(btoa(text));
            image.delete();
            output.delete();
        }
        network.delete();
        return { answers };
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
    parser.add_argument("--out", type=Path, default=Path("runs/webgpu"))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--kinds", default="float32,float16,dynamic,int8")
    parser.add_argument("--random", action="store_true", help="random weights")
    parser.add_argument("--steps", type=int, help="of each network")
    parser.add_argument("--size_px", type=int, nargs=2, default=(96, 128))
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--calibration_images", type=int, default=100)
    parser.add_argument("overrides", nargs="*", help="passed on to train, after --")
    arguments = parse(
        parser,
        networks="vgg16",
        kinds="float32,int8",
        steps=20,
        size_px=(64, 96),
        images=2,
        calibration_images=4,
        overrides=[
            *("--data.batch_size=2", "--data.crop_px=64"),
            *("--model.width=0.0625", "--model.head_units=16"),
        ],
    )
    missed = False
    if arguments.random:
        calibration = scenes(8, arguments, seed=0)
        images = calibration[:1]
    else:
        images = scenes(arguments.images, arguments, seed=[0, 23])
        calibration = scenes(arguments.calibration_images, arguments, seed=[1, 23])
        for name in arguments.networks.split(","):  # first: a training prints, too
            train(name, arguments)
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as on_webgpu:
        columns = ("checked", "whole", "WebGPU as CPU", "CPU as Keras", "WebGPU as Keras")
        print(f"| network | mean IU | kind | {' | '.join(columns)} |", "|---" * 8 + "|", sep="\n")
        for name in arguments.networks.split(","):
            if arguments.random:
                model, mean_iou = of_random_weights(name, np.stack(calibration)), ""
            else:
                model, mean_iou = trained(arguments.out / name)
            for kind in arguments.kinds.split(","):
                content = converted(model, kind, calibration)
                cells, share = compared(
                    *(content, model, images, on_webgpu), decided_alone=arguments.random
                )
                print("|", " | ".join([name, mean_iou, kind, *cells]), "|", flush=True)
                held = kind in (HELD_RANDOM if arguments.random else HELD)
                missed |= share is None or (held and share < SAME_LABELS)
    return exit_code(missed, arguments)


def train(name, arguments):
    """Trains a network, or goes on with it, if it has not ended."""
    workdir, network = arguments.out / name, NETWORKS[name]
    if not report(workdir):
        values = course(arguments.steps or network.steps, seed=0) | network.values
        train_run("shapes", workdir, values, arguments.overrides)


def trained(workdir):
    """The network of a run, and its mean IU on val in %."""
    from fcn_tf.models import load_model

    return load_model(workdir), f"{100 * report(workdir)['mean_iou']:.1f}"


def of_random_weights(name, images):
    """A network of random weights, whose labels differ from place to place."""
    import keras

    values = RANDOM_WIDTH.get(name, {}) | NETWORKS[name].values
    sizes = {key: values[f"model.{key}"] for key in ("trunk", "width") if f"model.{key}" in values}
    model = random_network(values["variant"], images, head_units=HEAD_UNITS, **sizes)
    scored = [layer for layer in model.layers if layer.name.startswith("score")]
    for layer in scored:  # their maps get the mean 0 and the deviation 2 in each class
        maps = keras.Model(model.inputs[0], layer.output)(images, training=False).numpy()
        deviation = maps.std((0, 1, 2)) + 1e-3
        layer.kernel.assign(layer.kernel * 2 / deviation)
        layer.bias.assign(-2 * maps.mean((0, 1, 2)) / deviation)
    return model


def scenes(count, arguments, seed):
    from fcn_tf.data.shapes import draw_scene
    from fcn_tf.images.read import resize

    random = np.random.default_rng(seed)
    return [resize(draw_scene(random)[0], tuple(arguments.size_px)) for _ in range(count)]


def converted(model, kind, calibration):
    from fcn_tf.exporting.tflite import convert

    takes = "uint8" if kind == "integer" else "float32"
    return convert(model, kind, calibration[0].shape[:2], takes, calibration=calibration)


def compared(content, model, images, on_webgpu, *, decided_alone):
    """The cells of a row behind its kind, and how many labels of WebGPU are the CPU's, or None."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    on_cpu = Interpreter(model_content=content)
    on_cpu.allocate_tensors()
    given, answered = on_cpu.get_input_details()[0], on_cpu.get_output_details()[0]
    images = [image[None].astype(given["dtype"]) for image in images]
    checked = "yes" if is_for_gpus(content) else "no"
    found = on_webgpu(content, images)
    if "refused" in found:
        return [checked, f"no: {' '.join(found['refused'].split())}", "", "", ""], None
    shares = []
    for image, scores in zip(images, found["answers"], strict=True):
        on_cpu.set_tensor(given["index"], image)
        on_cpu.invoke()
        cpu = on_cpu.get_tensor(answered["index"])[0]
        gpu = np.frombuffer(base64.b64decode(scores), cpu.dtype).reshape(cpu.shape)
        keras = np.asarray(tf.nn.softmax(model(image, training=False)[0]))
        counted = is_decided(cpu) if decided_alone else np.True_
        shares.append(
            [
                same(gpu, cpu)[counted].mean(),
                same(cpu, keras)[is_decided(keras)].mean(),
                same(gpu, keras)[is_decided(keras)].mean(),
            ]
        )
    means = np.mean(shares, axis=0)
    cells = [checked, "yes", *(f"{100 * share:.2f}" for share in means)]
    return cells, means[0] if checked == "yes" else None


def same(scores, others):
    return scores.argmax(-1) == others.argmax(-1)


def is_decided(scores):
    second, best = np.sort(scores)[..., -2:].transpose(2, 0, 1)
    return best - second > MARGIN


def is_for_gpus(content):
    """What TensorFlow's check for its GPU delegate says."""
    import tensorflow as tf

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tf.lite.experimental.Analyzer.analyze(model_content=content, gpu_compatibility=True)
    return "Your model looks compatible with GPU delegate" in said.getvalue()


@contextlib.contextmanager
def opened(folder):
    """A function that has a page in Chromium run a file on images; the page lies in a folder."""
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

        def answers(content, images):
            (folder / "model.tflite").write_bytes(content)
            for index, image in enumerate(images):
                (folder / f"image-{index}.bin").write_bytes(image.tobytes())
            given = [images[0].dtype.name, images[0].shape, len(images)]
            return page.evaluate("(given) => window.answer(given)", given)

        yield answers
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
