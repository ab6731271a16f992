"""A training step of FCN-8s: this package beside PyTorch and the processor's limit.

    pip install '.[bench]' && python benchmarks/training.py [--width 1] [--batch_size 1]

One step is forward pass, loss, gradient and momentum SGD with L2, on one batch in memory: ours
is the compiled call of a run, with its input, its metrics and its counts. Every side holds the
same network and runs in a process of its own; they take turns. The limit is three times the
forward pass's multiplications, as products of matrices. Prints Markdown for
docs/performance.md; exits with 1 if a bar is missed by more than 2 %. --all runs every size.
"""

import argparse
import itertools
import os
import sys

import numpy as np
from sides import flop, medians_of, processor, products, race, serve, whole_products

CLASSES = 21
OURS = "fcn_tf"
LIMIT = "limit: three forward passes"
PYTORCH = ("PyTorch", "PyTorch channels-last", "PyTorch compiled")
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
WIDTHS, BATCHES, SIZES_PX = {1.0: 4096, 0.25: 512}, (1, 4, 16), ((375, 500), (321, 321))
# ours to the fastest PyTorch, and to the limit, at full width, one image of 375 x 500
BARS = {"float32": (1.25, 0.75), "bfloat16": (1.5, 0.75)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size_px", type=int, nargs=2, default=(375, 500))
    parser.add_argument("--width", type=float, default=1.0, choices=WIDTHS)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="every width, batch and size")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return run_side(arguments)
    case = (arguments.width, arguments.batch_size, tuple(arguments.size_px))
    cases = list(itertools.product(WIDTHS, BATCHES, SIZES_PX)) if arguments.all else [case]
    precisions = [arguments.precision] if arguments.precision else PRECISIONS
    print(f"{len(os.sched_getaffinity(0))} threads, {processor()}\n")
    print("| width | batch | px | precision | side | s a step | least to most ", end="")
    print("| images/s | × limit | peak MB |\n|---|---|---|---|---|---|---|---|---|---|")
    missed = False
    for case, precision in itertools.product(cases, precisions):
        missed |= compare(*case, precision, arguments.rounds)
    return missed


def compare(width, batch_size, size_px, precision, rounds):
    """Prints the rows of one case; returns whether a bar was missed."""
    options = ["--width", width, "--batch_size", batch_size, "--precision", precision]
    options = [*options, "--size_px", *size_px]
    commands = {
        name: [sys.executable, __file__, "--side", name, *map(str, options)]
        for name in (OURS, LIMIT, *PYTORCH)
    }
    peak_mb = {}
    milliseconds = race(commands, rounds, peak_mb)
    gflop = gflop_of(width, size_px) * batch_size * 3
    milliseconds[LIMIT] = [whole_products(gflop) * ms for ms in milliseconds[LIMIT]]
    medians = medians_of(milliseconds)
    for name, values in milliseconds.items():
        seconds = medians[name] / 1000
        print(f"| {width:g} | {batch_size} | {'×'.join(map(str, size_px))} | {precision} ", end="")
        print(
            f"| {name} | {seconds:.3f} | {min(values) / 1e3:.3f} to {max(values) / 1e3:.3f} ",
            end="",
        )
        print(f"| {batch_size / seconds:.2f} | {medians[LIMIT] / medians[name]:.2f} ", end="")
        print(f"| {peak_mb[name]:.0f} |", flush=True)
    fastest = min(PYTORCH, key=medians.get)
    to_pytorch = medians[fastest] / medians[OURS]
    print(
        f"{precision}: {to_pytorch:.2f} × {fastest}; memory {peak_mb[OURS] / peak_mb[fastest]:.2f}"
    )
    if (width, batch_size, size_px) != (1.0, 1, (375, 500)):
        return False
    at_least = BARS[precision]
    measured = (to_pytorch, medians[LIMIT] / medians[OURS])
    less_memory = peak_mb[OURS] <= 1.02 * min(peak_mb[name] for name in PYTORCH)
    return not less_memory or any(m < b / 1.02 for m, b in zip(measured, at_least, strict=True))


def gflop_of(width, size_px):
    """Of a forward pass of one image."""
    return sum(map(flop, network(width, "float32", (*size_px, 3)).layers)) / 1e9


def network(width, policy, input_shape=(None, None, 3)):
    from fcn_tf.models import build_fcn

    return build_fcn(
        "fcn8s",
        CLASSES,
        width=width,
        head_units=WIDTHS[width],
        dropout=0.0,
        input_shape=input_shape,
        dtype=policy,
    )


def batch(arguments):
    """uint8 images (N, H, W, 3) and labels (N, H, W) in blocks of 25 px."""
    random = np.random.default_rng(0)
    shape = (arguments.batch_size, *arguments.size_px)
    images = random.integers(0, 256, (*shape, 3), np.uint8)
    blocks = random.integers(0, CLASSES, (shape[0], -(-shape[1] // 25), -(-shape[2] // 25)))
    masks = blocks.repeat(25, 1).repeat(25, 2)[:, : shape[1], : shape[2]]
    return images, masks.astype(np.uint8)


def run_side(arguments):
    if arguments.side == LIMIT:
        gflop = gflop_of(arguments.width, tuple(arguments.size_px)) * arguments.batch_size * 3
        run = products(gflop, arguments.precision)
    else:
        run = ours(arguments) if arguments.side == OURS else pytorch(arguments)
    serve(run)


def ours(arguments):
    """The compiled call of a run, one step at a time."""
    import tensorflow as tf

    from fcn_tf.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig
    from fcn_tf.data.source import Source
    from fcn_tf.training.run import Run

    images, masks = batch(arguments)

    def decode(number, window=None):
        return {
            "image": tf.gather(images, number),
            "segmentation_mask": tf.gather(masks, number)[..., None],
            "file_name": tf.strings.as_string(number),
        }

    source = Source(
        class_names=tuple(map(str, range(CLASSES))),
        split_sizes={"train": len(images), "val": len(images)},
        records=lambda split: tf.data.Dataset.range(len(images)),
        image_size=lambda number: tf.constant(arguments.size_px),
        decode=decode,
    )
    units = WIDTHS[arguments.width]
    config = Config(
        data=DataConfig(name="shapes", batch_size=len(images), flip=False),
        model=ModelConfig(width=arguments.width, head_units=units, dropout=0.0),
        optimizer=OptimizerConfig(name="sgd", learning_rate=1e-6, momentum=0.99, weight_decay=5e-4),
        training=TrainingConfig(precision=PRECISIONS[arguments.precision]),
    )
    run = Run(config, source)
    run.feed()
    return lambda: run.train_call(tf.constant(1))[0].numpy()


def pytorch(arguments):
    """The same step in plain PyTorch, channels-last, or compiled."""
    import torch
    from peers import TorchFCN8s

    network_ = TorchFCN8s(network(arguments.width, "float32"))
    images, masks = (torch.from_numpy(array) for array in batch(arguments))
    masks = masks.long()
    if "channels-last" in arguments.side:
        network_ = network_.to(memory_format=torch.channels_last)
    forward = torch.compile(network_) if "compiled" in arguments.side else network_
    optimizer = torch.optim.SGD(
        network_.parameters(), lr=1e-6, momentum=0.99, weight_decay=5e-4, fused=True
    )
    is_lower = arguments.precision == "bfloat16"

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=is_lower):
            logits = forward(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), masks, ignore_index=255)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss)

    return run


if __name__ == "__main__":
    sys.exit(main())
