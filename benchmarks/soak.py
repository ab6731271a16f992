"""Many threads, many predictions and many requests: the answers stay right, and memory stays flat.

    python benchmarks/soak.py [--threads 16] [--each 1000] [--predictions 10000] [--requests 10000]

1. Threads: each predicts so many images of mixed sizes by one predictor, of each kind of model: a
   network in memory, its `.keras` file, a SavedModel and a `.tflite` file.
2. Predictions of the SavedModel, one after the other.
3. Requests, as `fcn-tf request` sends them over gRPC, eight at once, to a server in a process of
   its own that joins them as TensorFlow Serving does. One in twenty is a broken file.

Exits with 1 where an answer of a thread differs in a pixel from that of one thread, where a good
file fails or a broken one does not, or where the last tenth takes more than 1.02 times the memory
of the second tenth.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from memory import resident_mb
from PIL import Image
from toy import exit_code, parse

from fcn_tf.errors import RunError
from fcn_tf.exporting.freeze import freeze
from fcn_tf.exporting.saved_model import write_saved_model
from fcn_tf.exporting.tflite import convert
from fcn_tf.inference.client import connection
from fcn_tf.inference.predictor import Predictor
from fcn_tf.inference.sending import Sender
from fcn_tf.models import build_fcn

ROOT = Path(__file__).parent.parent
SIZES_PX = ((32, 48), (48, 32), (40, 33), (64, 64))
CLASSES = 6
MAX_PIXELS = 100_000
GROWTH_AT_MOST = 1.02
CONCURRENCY = 8
BROKEN_EVERY = 20
# The server of the tests: TensorFlow Serving is not to be had from PyPI.
SERVER = """
import sys
from tests.servers import Joined, grpc_server
with grpc_server(Joined(sys.argv[1], sys.argv[2])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""
BATCHES = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 5000 }
num_batch_threads { value: 1 }
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--each", type=int, default=1000)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = parse(parser, threads=4, each=8, predictions=40, requests=40)
    with tempfile.TemporaryDirectory() as folder:
        different = compare_threads(models(Path(folder)), arguments)
        predicted_mb = predict(Path(folder), arguments.predictions)
        growths = [growth("predictions", predicted_mb)]
        wrong, client_mb, server_mb = request(Path(folder), arguments.requests)
        growths += [growth("client", client_mb), growth("server", server_mb)]
    print(f"{wrong} of {arguments.requests} requests ended otherwise than they should")
    return exit_code(different or wrong or max(growths) > GROWTH_AT_MOST, arguments)


def noise(size_px):
    return np.random.default_rng(sum(size_px)).integers(0, 256, (*size_px, 3), np.uint8)


def models(folder):
    """A network of random weights as each kind of model."""
    network = build_fcn("fcn8s", CLASSES, width=1 / 64, head_units=4)
    random = np.random.default_rng(0)
    for layer in network.layers:
        if not layer.name.startswith("upscore"):
            for weight in layer.weights:
                values = random.standard_normal(weight.shape, "float32")
                weight.assign(values / np.sqrt(max(1, np.prod(weight.shape[:-1]))))
    bias = network.get_layer("score_fr").bias  # evened out, so that several classes are answered
    logits = np.asarray(network(noise((64, 64))[None], training=False))
    bias.assign(bias - logits.mean((0, 1, 2)))
    network.save(folder / "m.keras")
    logits = freeze(network)
    write_saved_model(logits, folder / "saved", MAX_PIXELS)
    (folder / "m.tflite").write_bytes(convert(network, "float32"))
    return {
        "in memory": network,
        ".keras": folder / "m.keras",
        "SavedModel": folder / "saved",
        ".tflite": folder / "m.tflite",
    }


def compare_threads(models, arguments):
    """Prints how many answers of threads differ from those of one thread; returns their number."""
    images = [noise(size_px) for size_px in SIZES_PX]
    different = 0
    print("| model | predictions in threads | different | a second in threads | in one thread |")
    print("|---|---|---|---|---|")
    for name, model in models.items():
        predictor = Predictor(model)
        alone = [predictor(image) for image in images]
        if max(len(np.unique(labels)) for labels in alone) == 1:
            sys.exit(f"{name} answers one class to all: equal answers show nothing.")

        def work(thread, predictor=predictor, alone=alone):
            wrong = 0
            for turn in range(arguments.each):
                which = (thread + turn) % len(images)
                wrong += not np.array_equal(predictor(images[which]), alone[which])
            return wrong

        started = time.perf_counter()
        with ThreadPoolExecutor(arguments.threads) as pool:
            wrong = sum(pool.map(work, range(arguments.threads)))
        count = arguments.threads * arguments.each
        paces = [count / (time.perf_counter() - started)]
        started = time.perf_counter()
        work(0)
        paces.append(arguments.each / (time.perf_counter() - started))
        row = [name, count, wrong, *(f"{pace:.0f}" for pace in paces)]
        print("|", " | ".join(map(str, row)), "|", flush=True)
        different += wrong
    print()
    return different


def predict(folder, count):
    """Resident memory after each prediction, in MB."""
    predictor = Predictor(folder / "saved")
    images = [noise(size_px) for size_px in SIZES_PX]
    resident = []
    for image in itertools.islice(itertools.cycle(images), count):
        predictor(image)
        resident.append(resident_mb())
    return resident


def request(folder, count):
    """The requests that ended otherwise than they should, and memory after each request in MB.

    Returns:
        their number; the resident memory of the client, which is this process; that of the server.
    """
    paths = []
    for number, size_px in enumerate(itertools.islice(itertools.cycle(SIZES_PX), BROKEN_EVERY)):
        paths.append(folder / f"{number}.png")
        Image.fromarray(noise(size_px)).save(paths[-1])
    paths[-1].write_bytes(paths[-1].read_bytes()[:200])
    command = [sys.executable, "-c", SERVER, str(folder / "saved"), BATCHES]
    wrong, client_mb, server_mb = [], [], []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        of_server = psutil.Process(process.pid)
        with connection(process.stdout.readline().strip())(CONCURRENCY, 60.0) as server:
            sender = Sender(label_png=server.label_png, num_classes=CLASSES, max_pixels=MAX_PIXELS)

            def send(number):
                which = number % BROKEN_EVERY
                try:
                    sender(paths[which])
                    failed = False
                except RunError:
                    failed = True
                if failed != (which == BROKEN_EVERY - 1):
                    wrong.append(number)
                client_mb.append(resident_mb())
                server_mb.append(of_server.memory_info().rss / 1e6)

            with ThreadPoolExecutor(CONCURRENCY) as pool:
                list(pool.map(send, range(count)))
        process.stdin.close()
    return len(wrong), client_mb, server_mb


def growth(name, mb):
    """Prints the memory of each tenth, and returns the last by the second."""
    tenths = [float(np.mean(part)) for part in np.array_split(mb, 10)]
    print(f"Resident memory of each tenth, {name}, MB:", " ".join(f"{x:.0f}" for x in tenths))
    print(f"Last tenth to second, {name}: {tenths[-1] / tenths[1]:.3f}", flush=True)
    return tenths[-1] / tenths[1]


if __name__ == "__main__":
    sys.exit(main())
