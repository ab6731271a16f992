"""FCN-8s, an image to its labels: our artefacts beside OpenVINO, ONNX Runtime and PyTorch.

    pip install '.[bench]' && python benchmarks/inference.py [--size_px 375x500] [--width 1]

All sides hold the same random weights, take uint8 (1, H, W, 3) and give uint8 labels. Each runs
in a process of its own and waits there, so that no side's threads disturb another's; they take
turns. The limits are matrix products of the network's multiplications. Prints Markdown for
docs/performance.md; exits with 1 if a bar is missed by more than 2 %.

With another --trunk than vgg16 the other libraries get an ONNX file of our network; PyTorch, which
has a VGG16 of its own here, is left out.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from any_size import network
from quantized import write_onnx_runtime, write_openvino
from sides import (
    flop,
    medians_of,
    processor,
    products,
    race,
    serve,
    thread_count,
    whole_products,
)
from toy import exit_code, parse

from fcn_tf.config.types import Size

CLASSES = 21
FLOAT32 = "SavedModel float32"
BFLOAT16 = "SavedModel bfloat16"
SERVED = "SavedModel float32, JPEG to PNG"
AROUND = "decoding, preprocessing, argmax and PNG alone"
TFLITE = ("float32", "float16", "dynamic", "int8")
LIGHT = "TFLite int8, fc6_kernel=1"
OPENVINO_INT8, ONNX_INT8 = "OpenVINO int8", "ONNX Runtime int8"
PARTS = (
    *("float32", "bfloat16", "torch", OPENVINO_INT8, ONNX_INT8),
    *(f"TFLite {kind}" for kind in TFLITE),
    LIGHT,
)
PYTORCH = (
    "PyTorch",
    "PyTorch channels-last",
    "PyTorch compiled",
    "PyTorch channels-last compiled",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size_px", type=Size.of, default=Size((375, 500)))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--head_units", type=int, default=4096)
    parser.add_argument("--trunk", default="vgg16")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="parts of the names of the sides, by commas")
    parser.add_argument("--folder", help="where the artefacts are kept; default a temporary one")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parse(
        parser,
        size_px=(64, 96),
        width=1 / 16,
        head_units=16,
        rounds=1,
        only="SavedModel float32,OpenVINO,ONNX,PyTorch bfloat16,TFLite int8,decoding",
    )
    if arguments.part:
        return write_some(arguments.part.split(";"), Path(arguments.folder), arguments)
    if arguments.side:
        return run_side(arguments.side, Path(arguments.folder))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.folder or temporary)
        folder.mkdir(exist_ok=True, parents=True)
        write_all(folder, arguments)
        about = json.loads((folder / "about.json").read_text())
        about["bytes"] = {
            **{name: bytes_of(folder / name.split()[1]) for name in (FLOAT32, BFLOAT16)},
            **{
                name: bytes_of(folder / f"{slug(name)}.tflite")
                for name in parts_of(arguments)
                if "TFLite" in name
            },
        }
        milliseconds, labels = [], {}
        for group in GROUPS:
            wanted = arguments.only.split(",")
            names = [name for name in group if any(part in name for part in wanted)]
            names = [name for name in names if is_vgg16(arguments) or "PyTorch" not in name]
            # With --only, a group may have nothing left that has not run with another.
            if set(names) - {name for ran in milliseconds for name in ran}:
                rounds, gflop = arguments.rounds, about["gflop"]
                times = race_of(names, folder, rounds=rounds, gflop=gflop, labels=labels)
                milliseconds.append(times)
                print(f"ran {', '.join(names)}", file=sys.stderr, flush=True)
    return exit_code(report(about, milliseconds, labels), arguments)


def is_vgg16(arguments):
    return arguments.trunk == "vgg16"


def parts_of(arguments):
    """`LIGHT` has another kernel in fc6, which only VGG16 has."""
    return [part for part in PARTS if part != LIGHT or is_vgg16(arguments)]


def write_all(folder, arguments):
    """Writes every part to a folder, unless those of the same sizes are there.

    Each part has a process of its own, or memory does not suffice. Toys are written by one.
    """
    asked = [*arguments.size_px, arguments.width, arguments.head_units, arguments.trunk]
    sizes = json.dumps(asked)
    written, parts = folder / "written", ("about", *parts_of(arguments))
    if written.exists() and written.read_text() == sizes:
        return
    for part in [";".join(parts)] if arguments.toy else parts:
        command = [sys.executable, *sys.argv, "--part", part, "--folder", str(folder)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    written.write_text(sizes)


def write_some(parts, folder, arguments):
    for part in parts:
        write(part, folder, arguments)


def write(part, folder, arguments):
    """Writes the network in one form."""
    import tensorflow as tf

    from fcn_tf.exporting.freeze import freeze
    from fcn_tf.exporting.saved_model import write_saved_model
    from fcn_tf.exporting.tflite import convert
    from fcn_tf.models import build_fcn

    height_px, width_px = arguments.size_px
    random = np.random.default_rng(0)
    sizes = {key: getattr(arguments, key) for key in ("width", "head_units", "trunk")}
    sizes["dropout"] = 0.0
    if part == "about":
        coarse = random.integers(0, 256, (1, height_px // 8, width_px // 8, 3))
        image = tf.cast(tf.image.resize(coarse, arguments.size_px), tf.uint8).numpy()
        np.save(folder / "image.npy", image)
        (folder / "image.jpg").write_bytes(tf.io.encode_jpeg(image[0]).numpy())
        fixed = build_fcn("fcn8s", CLASSES, **sizes, input_shape=(height_px, width_px, 3))
        about = {
            "size_px": arguments.size_px,
            "width": arguments.width,
            "parameters": fixed.count_params(),
            "trunk": arguments.trunk,
            "gflop": sum(map(flop, fixed.layers)) / 1e9,
        }
        (folder / "about.json").write_text(json.dumps(about))
        return
    image = np.load(folder / "image.npy")
    if part in (OPENVINO_INT8, ONNX_INT8):
        return (write_openvino if part == OPENVINO_INT8 else write_onnx_runtime)(folder, image)
    if is_vgg16(arguments):
        model = build_fcn("fcn8s", CLASSES, **sizes, fc6_kernel=1 if part == LIGHT else 7)
        fill(model, random)
    else:
        model = network(argparse.Namespace(**vars(arguments), variant="fcn8s"))
    if part in ("float32", "bfloat16"):
        write_saved_model(freeze(model, part), folder / part, max_pixels=4_000_000)
        if part == "float32":
            np.save(folder / "logits.npy", freeze(model)(image).numpy())
    elif part == "torch":
        (write_torch if is_vgg16(arguments) else write_onnx)(model, folder, image)
    else:
        kind = part.removeprefix("TFLite ").split(",")[0]
        size_px = tuple(arguments.size_px)
        content = convert(*(model, kind, size_px), output="labels", calibration=[image[0]] * 4)
        (folder / f"{slug(part)}.tflite").write_bytes(content)


def bytes_of(path):
    """The size of a file, or of a SavedModel's graph, which has the weights."""
    return (path / "saved_model.pb" if path.is_dir() else path).stat().st_size


def fill(model, random):
    """Random weights that keep values of one size, so that all classes are answered."""
    for layer in model.layers:
        if layer.weights and not layer.name.startswith("upscore"):
            fan_in = np.prod(layer.kernel.shape[:-1])
            first = 70 if layer.name == "conv1_1" else 1  # it sees values of about 70
            deviation = np.float32(np.sqrt(2 / fan_in) / first)
            layer.kernel.assign(random.standard_normal(layer.kernel.shape, "float32") * deviation)
            layer.bias.assign(random.uniform(-0.1, 0.1, layer.bias.shape))


def write_torch(model, folder, image):
    import torch
    from peers import Labels, TorchFCN8s

    network = TorchFCN8s(model).eval()
    torch.save(network, folder / "network.pt")
    given = (torch.from_numpy(image),)
    path = folder / "network.onnx"
    torch.onnx.export(Labels(network), given, path, dynamo=False, input_names=["image"])


def write_onnx(model, folder, image):
    """network.onnx, of the size of the image."""
    import tensorflow as tf
    import tf2onnx

    from fcn_tf.exporting.freeze import freeze

    frozen = freeze(model)

    @tf.function(input_signature=[tf.TensorSpec(image.shape, tf.uint8, name="image")])
    def labels(image):
        return tf.cast(tf.argmax(frozen(image), axis=-1, output_type=tf.int32), tf.uint8)

    path = folder / "network.onnx"
    tf2onnx.convert.from_function(labels, labels.input_signature, opset=17, output_path=str(path))


def run_side(side, folder):
    """Waits for calls of a side; what it answered last is kept in the folder."""
    answer = serve(SIDES[side](folder))
    if answer is not None:
        np.save(folder / f"{slug(side)}.npy", answer)


def race_of(names, folder, *, rounds, gflop, labels):
    """Milliseconds of each side in each round; what each answered is added to `labels`."""
    commands = {
        name: [sys.executable, __file__, "--side", name, "--folder", str(folder)] for name in names
    }
    milliseconds = race(commands, rounds)
    for name in names:
        if (path := folder / f"{slug(name)}.npy").exists():
            labels[name] = np.load(path)
        if name.startswith("limit"):  # of whole products to the network's multiplications
            milliseconds[name] = [whole_products(gflop) * ms for ms in milliseconds[name]]
    return milliseconds


def slug(name):
    return re.sub(r"\W+", "-", name)


def matrix_product(dtype):
    """Products with as many multiplications as the network, by the fastest library at hand."""

    def make(folder):
        return products(json.loads((folder / "about.json").read_text())["gflop"], dtype)

    return make


def saved_model(precision):
    def make(folder):
        import tensorflow as tf

        labels = tf.saved_model.load(str(folder / precision)).signatures["labels"]
        image = tf.constant(np.load(folder / "image.npy"))
        return lambda: labels(images=image)["labels"].numpy()

    return make


def served(folder):
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder / "float32")).signatures["serving_default"]
    encoded = tf.constant([(folder / "image.jpg").read_bytes()])

    def run():
        serve(image_bytes=encoded)["label_png_bytes"].numpy()

    return run


def around(folder):
    """What a served call does besides the network, on the network's own logits."""
    import tensorflow as tf

    from fcn_tf.models.layers import CaffePreprocessing

    preprocess = CaffePreprocessing()
    answered = tf.Variable(np.load(folder / "logits.npy"))
    encoded = tf.constant((folder / "image.jpg").read_bytes())

    @tf.function
    def call():
        image = preprocess(tf.io.decode_png(encoded, channels=3)[None])
        with tf.control_dependencies([image]):
            labels = tf.cast(tf.argmax(answered, axis=-1), tf.uint8)
        return tf.io.encode_png(labels[0, ..., None])

    def run():
        call().numpy()

    return run


def tflite(kind):
    def make(folder):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(
            str(folder / f"{slug(f'TFLite {kind}')}.tflite"), num_threads=THREADS
        )
        image = np.load(folder / "image.npy")
        given = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(given, image.shape)
        interpreter.allocate_tensors()
        answered = interpreter.get_output_details()[0]["index"]

        def run():
            interpreter.set_tensor(given, image)
            interpreter.invoke()
            return interpreter.get_tensor(answered)

        return run

    return make


def openvino(precision):
    def make(folder):
        import openvino

        image = np.load(folder / "image.npy")
        if precision == "int8":
            network = openvino.Core().read_model(folder / "openvino-int8.xml")
        else:
            network = openvino.convert_model(folder / "network.onnx")
            network.reshape(image.shape)
        rest = "f32" if precision == "int8" else precision
        options = {"INFERENCE_PRECISION_HINT": rest, "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(network, "CPU", options)
        return lambda: compiled(image)[0]

    return make


def onnx_runtime(name):
    def make(folder):
        import onnxruntime

        path = str(folder / name)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        inputs = {session.get_inputs()[0].name: np.load(folder / "image.npy")}
        return lambda: session.run(None, inputs)[0]

    return make


def pytorch(how, precision="float32"):
    def make(folder):
        import torch
        from peers import Labels

        network = torch.load(folder / "network.pt", weights_only=False)
        if "channels-last" in how:
            network = network.channels_last()
        labels = Labels(network)
        if "compiled" in how:
            labels = torch.compile(labels)
        image = torch.from_numpy(np.load(folder / "image.npy"))

        def run():
            is_lower = precision == "bfloat16"
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=is_lower):
                return labels(image).numpy()

        return run

    return make


THREADS = thread_count()
LIMIT, LIMIT_BFLOAT16 = "limit, float32", "limit, bfloat16"
# Those that are compared with each other run together; memory does not suffice for all at once.
GROUPS = (
    {
        FLOAT32: saved_model("float32"),
        LIMIT: matrix_product("float32"),
        "OpenVINO float32": openvino("f32"),
        "ONNX Runtime float32": onnx_runtime("network.onnx"),
    },
    {
        FLOAT32: saved_model("float32"),
        "PyTorch": pytorch("plain"),
        "PyTorch channels-last": pytorch("channels-last"),
        "PyTorch compiled": pytorch("compiled"),
        "PyTorch channels-last compiled": pytorch("channels-last compiled"),
    },
    {
        BFLOAT16: saved_model("bfloat16"),
        LIMIT: matrix_product("float32"),
        LIMIT_BFLOAT16: matrix_product("bfloat16"),
        "OpenVINO bfloat16": openvino("bf16"),
        "PyTorch bfloat16 autocast": pytorch("channels-last", "bfloat16"),
    },
    {
        LIMIT: matrix_product("float32"),
        **{f"TFLite {kind}": tflite(kind) for kind in TFLITE},
        OPENVINO_INT8: openvino("int8"),
        ONNX_INT8: onnx_runtime("network-int8.onnx"),
    },
    {SERVED: served, AROUND: around},
)
SIDES = {name: make for group in GROUPS for name, make in group.items()}


def report(about, groups, labels):
    """Prints the tables; returns whether a bar was missed."""
    print(
        "FCN-8s on {trunk}, {parameters:,} parameters, {gflop:.1f} GFLOP, ".format(**about), end=""
    )
    print("{}×{} px, ".format(*about["size_px"]) + f"{THREADS} threads, {processor()}\n")
    print("| side | ms, median | least to most | × float32 limit | same labels |")
    print("|---|---|---|---|---|")
    for milliseconds in groups:
        medians = medians_of(milliseconds)
        for name, values in milliseconds.items():
            median = medians[name]
            ratio = f"{medians[LIMIT] / median:.2f}" if LIMIT in medians else ""
            same = ""
            if name in labels and FLOAT32 in labels:
                same = f"{100 * (labels[name] == labels[FLOAT32]).mean():.2f} %"
            spread = f"{min(values):.0f} to {max(values):.0f}"
            print(f"| {name} | {median:.0f} | {spread} | {ratio} | {same} |")
    size = about["bytes"]
    print("\n| file | MB | of the same in float32 |\n|---|---|---|")
    for name, count in size.items():
        whole = size[f"{name.split()[0]} float32"]
        print(f"| {name} | {count / 1e6:.1f} | {count / whole:.3f} |")
    missed = False
    print("\n| bar | required | measured |\n|---|---|---|")
    for what, required, measured in bars(groups, size, about["width"]):
        is_missed = measured < required / 1.02
        missed |= is_missed
        print(f"| {what} | {required:.3g} | {measured:.3g}{' missed' if is_missed else ''} |")
    return missed


def bars(groups, size, width):
    """(what, at least, measured) of what both sides of were run."""

    def ratio(of, to):
        """How many times as long as `of` the fastest of `to` took, in one group."""
        for medians in map(medians_of, groups):
            others = [medians[name] for name in to if name in medians]
            if others and of in medians:
                return min(others) / medians[of]
        return None

    to_limit, light = ratio("TFLite int8", [LIMIT]), size.get(LIGHT)
    of_limit = 0.8 if width >= 1 else 0.6  # few channels do not fill the processor's registers
    found = [
        ("SavedModel float32 to the limit", 0.95, ratio(FLOAT32, [LIMIT])),
        (
            "SavedModel float32 to the best of OpenVINO and ONNX Runtime",
            1.0,
            ratio(FLOAT32, ["OpenVINO float32", "ONNX Runtime float32"]),
        ),
        ("SavedModel float32 to the fastest PyTorch", 1.3, ratio(FLOAT32, PYTORCH)),
        ("SavedModel bfloat16 to OpenVINO bfloat16", 1.0, ratio(BFLOAT16, ["OpenVINO bfloat16"])),
        ("TFLite int8 to TFLite float32", 3.5, ratio("TFLite int8", ["TFLite float32"])),
        ("TFLite int8 to four times the float32 limit's rate", of_limit, to_limit and to_limit / 4),
        ("TFLite int8 to OpenVINO int8", 0.9, ratio("TFLite int8", [OPENVINO_INT8])),
        ("TFLite int8 to ONNX Runtime int8", 1.2, ratio("TFLite int8", [ONNX_INT8])),
        ("JPEG to PNG: the call to what is not network", 20, ratio(AROUND, [SERVED])),
        ("bytes, TFLite float32 to int8", 1 / 0.26, size["TFLite float32"] / size["TFLite int8"]),
        ("36 MB to TFLite int8 with fc6_kernel=1", 1, light and 36e6 / light),
    ]
    return [one for one in found if one[2] is not None]


if __name__ == "__main__":
    sys.exit(main())
