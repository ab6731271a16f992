"""FCN-8s on a GPU: the Keras network on JAX beside PyTorch, its forward pass and a training step.

    pip install jax torch && python benchmarks/gpu.py [--batch_sizes 1 8 32] [--size_px 480x640]

TensorFlow is not needed. All sides hold the same weights, compute in bfloat16, and run in processes
of their own that take turns. Forward is uint8 images to uint8 labels. A step is forward pass, loss,
gradient and momentum SGD on one batch; all sides have to end at the same loss. Without a GPU the
script runs on the processor. Prints Markdown for docs/performance.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the other sides need memory, too

import numpy as np
from sides import medians_of, processor, race, serve
from toy import exit_code, parse

from fcn_tf.config.types import Size

CLASSES, SEED = 21, 0
OURS, PYTORCH, COMPILED = "fcn_tf on JAX", "PyTorch", "PyTorch compiled"
PASSES = ("forward", "step")
LEARNING_RATE, MOMENTUM = 1e-4, 0.9
LOSSES_WITHIN, LABELS_AT_LEAST = 0.05, 0.95  # bfloat16 rounds; random weights have close scores


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size_px", type=Size.of, default=Size((480, 640)))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--head_units", type=int, default=4096)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=list(PASSES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sides", nargs="+", default=[OURS, PYTORCH, COMPILED])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parse(
        parser,
        size_px=Size((64, 96)),
        width=0.0625,
        head_units=16,
        batch_sizes=[2],
        rounds=1,
        sides=[OURS, PYTORCH],  # compiling takes minutes
    )
    if arguments.child:
        return run_side(arguments)
    print(f"{device_name()}\n")
    print("| pass | batch | side | ms | least to most | images/s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--size_px={arguments.size_px}", f"--width={arguments.width}"]
        script = [sys.executable, __file__, *options, f"--head_units={arguments.head_units}"]
        subprocess.run([*script, "--child", folder, "write", "-", "0"], check=True)
        for kind in arguments.passes:
            for batch_size in arguments.batch_sizes:
                compare(script, Path(folder), kind, batch_size, arguments)
    return exit_code(False, arguments)


def compare(script, folder, kind, batch_size, arguments):
    """Prints the rows of a pass with a batch size; refuses sides that compute something else."""
    commands = {
        side: [*script, "--child", str(folder), side, kind, str(batch_size)]
        for side in arguments.sides
    }
    said = {}
    milliseconds = race(commands, arguments.rounds, said=said)
    for side, median in medians_of(milliseconds).items():
        values = milliseconds[side]
        print(f"| {kind} | {batch_size} | {side} | {median:.1f} ", end="")
        print(f"| {min(values):.1f} to {max(values):.1f} ", end="")
        print(f"| {1000 * batch_size / median:.1f} |", flush=True)
    check_same(kind, folder, said)


def check_same(kind, folder, said):
    """Refuses sides whose losses or labels differ by more than bfloat16 explains."""
    if kind == "step":
        losses = {side: float(text) for side, text in said.items()}
        first = next(iter(losses.values()))
        if any(not abs(loss / first - 1) <= LOSSES_WITHIN for loss in losses.values()):
            raise SystemExit(f"The sides train something else: losses {losses}")
        return
    labels = {side: np.load(folder / f"{slug(side)}.npy") for side in said}
    first = next(iter(labels.values()))
    same = {side: float((each == first).mean()) for side, each in labels.items()}
    if min(same.values()) < LABELS_AT_LEAST:
        raise SystemExit(f"The sides have other labels: {same} are the same")


def slug(side):
    return side.replace(" ", "-")


def device_name():
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"no GPU, {processor()}"


def run_side(arguments):
    folder, side, kind, batch_size = arguments.child
    if side == "write":
        return write(Path(folder), arguments)
    images, masks = batch(int(batch_size), arguments.size_px)
    make = ours if side == OURS else pytorch
    answer = serve(make(Path(folder), side, kind, (images, masks), arguments))
    if kind == "step":
        print(answer)
    else:
        np.save(Path(folder) / f"{slug(side)}.npy", answer)


def batch(size, size_px):
    """uint8 images (N, H, W, 3) and labels (N, H, W) in blocks of 16 px."""
    random = np.random.default_rng(SEED)
    height_px, width_px = size_px
    images = random.integers(0, 256, (size, height_px, width_px, 3), np.uint8)
    blocks = random.integers(0, CLASSES, (size, -(-height_px // 16), -(-width_px // 16)), np.uint8)
    return images, blocks.repeat(16, 1).repeat(16, 2)[:, :height_px, :width_px]


def network(arguments, dtype):
    import keras

    from fcn_tf.models import build_fcn

    keras.config.set_dtype_policy(dtype)
    sizes = {"width": arguments.width, "head_units": arguments.head_units}
    return build_fcn("fcn8s", CLASSES, dropout=0.0, **sizes)


def write(folder, arguments):
    """The weights that all sides start from."""
    import torch
    from inference import fill
    from peers import TorchFCN8s

    model = network(arguments, "float32")
    fill(model, np.random.default_rng(SEED))
    model.save_weights(folder / "start.weights.h5")
    torch.save(TorchFCN8s(model), folder / "network.pt")


def ours(folder, side, kind, given, arguments):
    """The Keras network under JAX's compiler."""
    import jax
    from jax import numpy as jnp

    model = network(arguments, "mixed_bfloat16")
    model.load_weights(folder / "start.weights.h5")
    images, masks = (jax.device_put(array) for array in given)
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    @jax.jit
    def labels(trained, images):
        logits, _ = model.stateless_call(trained, others, images, training=False)
        return jnp.argmax(logits, -1).astype(jnp.uint8)

    def loss_of(trained, images, masks):
        logits, _ = model.stateless_call(trained, others, images, training=True)
        chances = jax.nn.log_softmax(logits.astype(jnp.float32))
        chosen = jnp.take_along_axis(chances, masks[..., None].astype(jnp.int32), -1)
        return -jnp.mean(chosen)

    def step(state, images, masks):
        trained, momenta = state
        loss, gradients = jax.value_and_grad(loss_of)(trained, images, masks)
        momenta = [MOMENTUM * m + g for m, g in zip(momenta, gradients, strict=True)]
        trained = [w - LEARNING_RATE * m for w, m in zip(trained, momenta, strict=True)]
        return (trained, momenta), loss

    if kind == "forward":
        return lambda: np.asarray(labels(trained, images))
    compiled = jax.jit(step, donate_argnums=0)
    state = (trained, [jnp.zeros_like(value) for value in trained])

    def run():
        nonlocal state
        state, loss = compiled(state, images, masks)
        return float(loss)

    return run


def pytorch(folder, side, kind, given, arguments):
    """The same in PyTorch, channels-last, as it comes or compiled."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network_ = torch.load(folder / "network.pt", weights_only=False).to(device).channels_last()
    forward = torch.compile(network_) if side == COMPILED else network_
    images, masks = (torch.from_numpy(array).to(device) for array in given)
    masks = masks.long()
    trained = [parameter for parameter in network_.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def logits():
        with torch.autocast(device, torch.bfloat16):
            return forward(images)

    def labels():
        with torch.no_grad():
            return logits().argmax(1).to(torch.uint8).cpu().numpy()

    def step():
        loss = torch.nn.functional.cross_entropy(logits().float(), masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return labels if kind == "forward" else step


if __name__ == "__main__":
    sys.exit(main())
