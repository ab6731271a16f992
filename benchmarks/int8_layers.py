"""Where an 8-bit TFLite file spends its time: files that end at one layer after the other.

    python benchmarks/int8_layers.py [--size_px 375x500] [--width 0.25] [--head_units 512]

FCN-8s with random weights, in files that go from the image to a layer, and the whole file, from the
image to its labels. They take turns, on one thread; the time is that of the processor, which other
programs disturb less. What a layer takes is the difference to the file before it, with what lies
between them: activations, pools, casts. The operations of the last upsampling are left out, as it
interpolates, and multiplies no matrices. The limit is four times the speed of matrix products in
float32 in the same process, as 8-bit instructions multiply four times as many numbers. Prints
Markdown for docs/performance.md.
"""

import argparse
import statistics
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from inference import CLASSES, fill
from sides import flop, processor, products, whole_products
from toy import exit_code, parse

from fcn_tf.config.types import Size
from fcn_tf.exporting.device_graph import device_graph
from fcn_tf.exporting.tflite import convert
from fcn_tf.models import build_fcn

# The ends of the files: each block's last layer that computes, the head, and the scores at 1/8.
ENDS = (
    *("conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_3", "pool3"),
    *("conv4_3", "pool4", "conv5_3", "pool5", "fc6", "fc7", "score_fr", "fuse_pool3"),
)
LIMIT_GFLOP = 20
LEAST_MS = 0.5  # a difference below it is mostly noise


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size_px", type=Size.of, default=Size((375, 500)))
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--head_units", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=25)
    arguments = parse(parser, size_px=Size((64, 96)), width=0.0625, head_units=16, rounds=1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    show(arguments)
    return exit_code(False, arguments)


def show(arguments):
    size_px = tuple(arguments.size_px)
    random = np.random.default_rng(0)
    sizes = {"width": arguments.width, "head_units": arguments.head_units, "dropout": 0.0}
    model = build_fcn("fcn8s", CLASSES, **sizes, input_shape=(*size_px, 3))
    fill(model, random)
    image = random.integers(0, 256, (*size_px, 3), np.uint8)
    files = {end: int8_file(part, image) for end, part in parts_of(model, size_px).items()}
    files["labels"] = convert(model, "int8", size_px, output="labels", calibration=[image] * 4)
    runs = {name: runner(content) for name, content in files.items()}
    runs["limit"] = products(LIMIT_GFLOP, "float32")
    for run in runs.values():
        run()
    milliseconds = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            milliseconds[name].append(processor_ms(run))
    limit_ms = min(milliseconds.pop("limit")) * whole_products(LIMIT_GFLOP)
    print_table(milliseconds, gflop_up_to(model), LIMIT_GFLOP / limit_ms)


def print_table(milliseconds, gflop, limit):
    """Prints a row for each file; `limit` is that of float32 in GFLOP a millisecond."""
    print(f"{processor()}, one thread; float32 limit {1000 * limit:.0f} GFLOP/s\n")
    print("| up to | ms, median | least | added, ms | added, GFLOP | of four times the limit |")
    print("|---|---|---|---|---|---|")
    before = 0.0, 0.0
    for name, values in milliseconds.items():
        now = statistics.median(values), gflop.get(name, before[1])
        added_ms, added = (one - other for one, other in zip(now, before, strict=True))
        shown = added_ms >= LEAST_MS and added > 0
        share = f"{added / added_ms / limit / 4:.2f}" if shown else ""
        print(f"| {name} | {now[0]:.1f} | {min(values):.1f} ", end="")
        print(f"| {added_ms:z.1f} | {added:.2f} | {share} |")
        before = now


def parts_of(model, size_px):
    """What is exported, from the image to each of `ENDS`: Keras models by the layers' names."""
    outputs = {}

    def called(layer, *args, **kwargs):
        outputs[layer.name] = layer(*args, **kwargs)
        return outputs[layer.name]

    image = keras.Input(batch_shape=(1, *size_px, 3))
    keras.models.clone_model(
        device_graph(model, size_px, "int8"),
        input_tensors=image,
        clone_function=lambda layer: layer,
        call_function=called,
    )
    return {end: keras.Model(image, outputs[end]) for end in ENDS}


def int8_file(part, image):
    """An int8 file of a part."""
    given = image[None].astype(np.float32)
    function = tf.function(
        lambda x: part(x, training=False),
        input_signature=[tf.TensorSpec(given.shape, tf.float32)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[given]]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    return converter.convert()


def runner(content):
    """A function that runs a file once, on one thread."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    given = interpreter.get_input_details()[0]
    interpreter.allocate_tensors()
    low, high = np.iinfo(given["dtype"]).min, np.iinfo(given["dtype"]).max
    numbers = np.random.default_rng(1).integers(low, high, given["shape"], given["dtype"])

    def run():
        interpreter.set_tensor(given["index"], numbers)
        interpreter.invoke()

    return run


def processor_ms(run):
    begin = time.process_time()
    run()
    return 1000 * (time.process_time() - begin)


def gflop_up_to(model):
    """The operations of a network up to each of its layers, by the layers' names."""
    total, sums = 0, {}
    for layer in model.layers:
        total += flop(layer)
        sums[layer.name] = total / 1e9
    return sums


if __name__ == "__main__":
    sys.exit(main())
