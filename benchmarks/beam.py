"""`predict` and `evaluate` on Apache Beam's direct runner, beside the same on one machine.

Bars: the files are those of `predict`, byte for byte, after a kill too; the broken images are in
the dead letters; at most 15 % more time once the workers are up; memory that is flat; and
`evaluate` gives the same scores, to the last digit. It needs the extra beam.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from toy import exit_code, parse

CODE = "import sys; from fcn_tf.cli import main; main(sys.argv[1:])"
PROCESSES = ("--direct_running_mode", "multi_processing", "--direct_num_workers")
OVERHEAD_AT_MOST, GROWTH_AT_MOST = 1.15, 1.10
BROKEN_FROM = 50  # and every hundredth image from there
IN_WORK = 1  # images of a worker that are done again after a kill
EVERY_S = 0.5


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size_px", type=int, default=256)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parse(parser, images=100, size_px=32, width=1 / 16)
    if arguments.write:
        return write_files(Path(arguments.write), arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        same = [f"--{key}={getattr(arguments, key)}" for key in ("images", "size_px", "width")]
        subprocess.run([sys.executable, __file__, f"--write={folder}", *same], check=True)
        return compare(folder, arguments)


def compare(folder, arguments):
    broken = len(range(BROKEN_FROM, arguments.images, 100))
    print(
        "| side | s from the first file to the last | to `predict` | CPU s | peak MB a worker | "
        "of that after a quarter |\n|---|---|---|---|---|---|"
    )
    alone = run(folder, "alone", ["--out", folder / "alone", folder / "in"])
    expected = files(folder / "alone")
    missed, said = [], []
    for workers in (1, 2):
        out = folder / f"beam{workers}"
        rest = ["--runner", "direct", "--input", folder / "in", "--out", out]
        rest += ["--", *PROCESSES, workers]
        seconds, growth = run(folder, f"{workers} process{'es' * (workers > 1)}", rest, alone)
        missed += [files(out) != expected, len(dead(out)) != broken, growth > GROWTH_AT_MOST]
        if workers == 1:
            missed.append(seconds > OVERHEAD_AT_MOST * alone[0])
        said.append(
            f"{workers}: same files {files(out) == expected}, {len(dead(out))} dead letters"
        )
    print("\n".join(["", *said]))
    missed += killed(folder, expected)
    missed += scored(folder)
    return exit_code(any(missed), arguments)


def killed(folder, expected):
    """Two workers, killed half way and run again."""
    out = folder / "killed"
    rest = ["--runner", "direct", "--input", folder / "in", "--out", out, "--", *PROCESSES, 2]
    process = start(folder, rest)
    while written(out) < len(expected) / 2 and process.poll() is None:
        time.sleep(EVERY_S)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png") if is_result(path)}
    run(folder, "again", rest, shown=False)
    again = {p.name.split(".")[0] for p, when in before.items() if p.stat().st_mtime_ns != when}
    print(
        f"\nKilled with {len(before)} files written: the same afterwards "
        f"{files(out) == expected}, {len(again)} images done twice"
    )
    return [files(out) != expected, len(again) > 2 * IN_WORK]


def scored(folder):
    """The scores of workers and of one machine."""
    found = []
    for name, rest in {"one": [], "beam": ["--runner", "direct", "--", *PROCESSES, 2]}.items():
        out = folder / f"scores-{name}"
        what = ["evaluate", "--data.data_dir", folder / "scored", "--out", out, *rest]
        began = time.perf_counter()
        call(folder, what).wait()
        seconds = time.perf_counter() - began
        found.append((json.loads((out / "scores.json").read_text()), seconds))
    (one, one_s), (beam, beam_s) = found
    print(
        f"`evaluate`, {one['images']} images: same scores {one == beam}, {one_s:.1f} s and "
        f"{beam_s:.1f} s on Beam"
    )
    return [one != beam]


def run(folder, name, rest, alone=None, shown=True):
    """Labels the images; prints a row.

    Returns:
        Seconds from the first file to the last, and the memory of the largest process at the end,
        divided by that after a quarter of the images.
    """
    out = Path(rest[rest.index("--out") + 1])
    process = start(folder, rest)
    samples = []  # files written, most resident MB of a process, CPU seconds of all
    while process.poll() is None:
        samples.append((written(out), *used(process.pid)))
        time.sleep(EVERY_S)
    if not shown:
        return None
    when = [path.stat().st_mtime for path in out.rglob("*.png")]
    seconds = max(when) - min(when)
    peak = max(mb for _, mb, _ in samples)
    early = [mb for count, mb, _ in samples if 0 < count <= len(when) / 4] or [peak]
    growth = peak / max(early)
    at_work = [cpu_s for count, _, cpu_s in samples if 0 < count < len(when)] or [0]
    more = seconds / alone[0] if alone else 1
    print(
        f"| {name} | {seconds:.1f} | {more:.2f} | {max(at_work) - min(at_work):.1f} | {peak:.0f} | "
        f"{growth:.3f} |",
        flush=True,
    )
    return seconds, growth


def start(folder, rest):
    return call(folder, ["predict", *rest])


def call(folder, rest):
    command, *rest = map(str, rest)
    return subprocess.Popen(
        [sys.executable, "-c", CODE, command, "--model", str(folder / "m.keras"), *rest],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def used(number):
    """Resident MB of the largest of a process and of those it started, and CPU seconds of all."""
    most, cpu_s = 0, 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(number)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            cpu_s += times.user + times.system
            most = max(most, one.memory_info().rss / 1e6)
    return most, cpu_s


def written(folder):
    """How many files of results are there."""
    return sum(
        name[0] != "." for _, _, names in os.walk(folder) for name in names if ".png" in name
    )


def is_result(path):
    return path.is_file() and path.suffix == ".png" and not path.name.startswith(".")


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png") if is_result(p)}


def dead(folder):
    return (folder / "dead-letters.jsonl").read_text().splitlines()


def write_files(folder, arguments):
    """Photos, one in a hundred of them broken; labelled images; a network with random weights."""
    import fcn_tf
    from fcn_tf.models import save_model

    random = np.random.default_rng(0)
    size = (arguments.size_px, arguments.size_px * 3 // 4)
    for number in range(arguments.images):
        path = folder / "in" / f"{number % 10}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        if number % 100 == BROKEN_FROM:
            path.write_bytes(b"no image")
        else:
            Image.fromarray(coarse).resize(size).save(path)
    for split, count in (("train", 2), ("val", max(4, arguments.images // 20))):
        for number in range(count):
            image = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            mask = Image.fromarray(random.integers(0, 21, (12, 16), dtype=np.uint8))
            for kind, one, how in (("images", image, None), ("masks", mask, 0)):
                path = folder / "scored" / kind / split / f"{number:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                one.resize(size, how).save(path)
    model = fcn_tf.build_fcn("fcn8s", 21, width=arguments.width, head_units=128)
    for layer in model.layers:  # a fresh network answers 0 everywhere
        if layer.name.startswith("score"):
            layer.kernel.assign(random.standard_normal(layer.kernel.shape) / 10)
    save_model(model, folder / "m.keras")
    return 0


if __name__ == "__main__":
    sys.exit(main())
