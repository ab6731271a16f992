"""Every script in benchmarks/ runs once at toy size: --toy, which also has no bar decide.

What it prints then has the form of its real output: the tables, with numbers in them, and the lines
of its bars.
"""

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.browsers import needs_browser
from tests.extras import needs_extra

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"
# JAX compiles for minutes what a toy runs for seconds.
QUICKLY = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
NUMBER = r"[-+]?\d[\d,.]*"


class Script(NamedTuple):
    """What a script prints.

    Args:
        lines: regular expressions, each of a line or of a part of one; N stands for a number.
        tables: each table's number of rows and columns.
        options: more options; {few} stands for a folder with a few scenes, {out} for an empty one.
    """

    lines: tuple[str, ...]
    tables: tuple[tuple[int, int], ...] = ()
    options: tuple[str, ...] = ()


SCRIPTS = {
    "any_size.py": Script((), [(4, 4)]),
    "beam.py": Script(
        (
            "1: same files True, 1 dead letters",
            "2: same files True, 1 dead letters",
            "Killed with N files written: the same afterwards True, N images done twice",
            "`evaluate`, 5 images: same scores True",
        ),
        [(3, 6)],
    ),
    "data.py": Script((), [(5, 4)]),
    "gigapixel.py": Script(
        (
            "memory of the largest to that of the first: N",
            "same CRS and transform, tiled, compressed: True",
        ),
        [(1, 5)],
    ),
    "gpu.py": Script((), [(4, 6)]),
    "growth.py": Script(("N ms and N for each",) * 2, [(3, 5), (3, 5)]),
    "inference.py": Script(
        (
            "N parameters, N GFLOP,",
            "64×96 px, N threads",
            r"bytes, TFLite float32 to int8 \| N \| N",
        ),
        [(10, 5), (7, 3), (6, 3)],
    ),
    "int8_layers.py": Script(("one thread; float32 limit N GFLOP/s",), [(17, 6)]),
    "large_folder.py": Script(
        (
            "First batch after N s",
            "Resident memory of each tenth, MB:( N){10}",
            "Last tenth to second: N; peak N MB",
        )
    ),
    "load.py": Script(("16 users without a pause: N requests a second",), [(3, 8)]),
    "many_pairs.py": Script(
        (
            "Index of N pairs: N bytes a pair; first record after",
            "N s, in the eighth epoch N s, of a machine of eight N s",
        ),
        [(2, 5)],
    ),
    "masks.py": Script((), [(3, 5)]),
    "loop.py": Script(
        (
            r"loop: N ms \(N to N\)",
            r"bare, 1 in a call: N ms \(N to N\); loop N%",
            r"bare, 10 in a call: N ms \(N to N\); loop N%",
            "Resident memory of each tenth, MB:( N){10}",
            "Last tenth to second N",
        )
    ),
    "main_job.py": Script(
        ("N s, mean IU N %, sheet and curve: True",), options=("--tfds_dir", "{few}")
    ),
    "prepare_shapes.py": Script(("prepared in N s",)),
    "records.py": Script((), [(2, 5)]),
    "report.py": Script(("N s for 4 images of 50×75",)),
    "run.py": Script(
        (
            "N s; steps N %; the first step ends after N s",
            "`evaluate`, 3 images of 2 sizes: N s, bare forward passes N s: N of their pace",
        ),
        [(5, 3), (1, 4)],
    ),
    "same_bits.py": Script((), [(2, 5)]),
    "soak.py": Script(
        (
            *(
                line
                for name in ("predictions", "client", "server")
                for line in (
                    f"Resident memory of each tenth, {name}, MB:( N){{10}}",
                    f"Last tenth to second, {name}: N",
                )
            ),
            "0 of 40 requests ended otherwise",
        ),
        [(4, 5)],
    ),
    "start_up.py": Script((r".tflite to .keras: N of the time",), [(4, 4)]),
    "streets.py": Script(
        (
            "fcn8s, score layers alone, seed 0: 1 steps in",
            r"ot measured: score layers alone below all \(fcn8s\)",
        ),
        [(1, 9), (1, 12)],
        ("--out", "{out}"),
    ),
    "streets_gpu.py": Script(
        ("fcn16s, staged, seed 0: N %",), [(1, 9), (1, 12)], ("--out", "{out}")
    ),
    "tiles.py": Script(
        (
            "memory above N megapixels, most to least: N",
            "time a pixel fed, most to least: N",
            "time a pixel fed, to that of a whole image of 128 px: N",
        ),
        [(1, 6)],
    ),
    "tiny_objects.py": Script(("The disc is N % of the pixels of train.",), [(2, 5)]),
    "training.py": Script(
        ("N threads", "float32: N × the fastest PyTorch, N of the limit, N of the least memory"),
        [(4, 11)],
    ),
    "variants.py": Script(
        ("Classifier of 96 px crops: N % right on val",), [(1, 10)], options=("--out", "{out}")
    ),
    "web.py": Script(
        (
            "first labels with an empty cache: N s",
            r"with a warm one: N s \(N to N\)",
            r"each photo after it: N ms \(N to N\)",
        )
    ),
    "webgpu.py": Script(
        (r"\| vgg16 \| N \| int8 \| yes \| yes \| N \| N \| N \|",),
        [(2, 8)],
        ("--out", "{out}"),
    ),
}
# The extra that a script needs, and its modules.
NEEDS = {
    "beam.py": needs_extra("beam", "apache_beam"),
    "data.py": needs_extra("bench", "torch"),
    "gigapixel.py": needs_extra("maps", "rasterio"),
    "gpu.py": needs_extra("backends", "jax", "torch"),
    "inference.py": needs_extra("bench", "torch", "onnx", "onnxruntime", "openvino", "nncf"),
    "streets_gpu.py": needs_extra("backends", "jax"),
    "load.py": needs_extra("bench", "locust"),
    "training.py": needs_extra("bench", "torch"),
    "web.py": needs_browser,
    "webgpu.py": needs_browser,
}
# They are imported by the scripts above, which so run them too.
MODULES = {
    "classifier.py": "variants.py",
    "jax_loop.py": "streets_gpu.py",
    "memory.py": "loop.py",
    "peers.py": "training.py",
    "photographs.py": "records.py",
    "quantized.py": "inference.py",
    "random_weights.py": "any_size.py",
    "recorded.py": "streets.py",
    "rows.py": "variants.py",
    "sides.py": "training.py",
    "toy.py": "loop.py",
}


def test_each_script_is_run():
    assert {path.name for path in FOLDER.glob("*.py")} == set(SCRIPTS) | set(MODULES)
    for module, user in MODULES.items():
        used = re.search(rf"^ *(from|import) {Path(module).stem}\b", text(user), re.MULTILINE)
        assert used, f"{user} does not import {module}"


def test_each_script_that_a_page_names_exists_with_its_options():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        commands = re.findall(r"benchmarks/(\w+\.py)([^`\n#]*)", page.read_text(encoding="utf-8"))
        for name, options in commands:
            assert (FOLDER / name).is_file(), f"{page}: {name}"
            for option in re.findall(r"--\w+", options):
                assert f'"{option}"' in text(name), f"{page}: {name} has no {option}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=NEEDS.get(name, ())) for name in SCRIPTS],
)
def test_the_script_runs_at_toy_size(name, tmp_path, few_scenes_dir):
    script = SCRIPTS[name]
    options = [option.format(few=few_scenes_dir, out=tmp_path) for option in script.options]
    done = subprocess.run(
        [sys.executable, FOLDER / name, "--toy", *options],
        cwd=ROOT,  # start_up.py runs train.py
        env={**os.environ, **QUICKLY, "TFDS_DATA_DIR": few_scenes_dir, "PATH": path_with_fcn_tf()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line in script.lines:
        assert re.search(line.replace("N", NUMBER), done.stdout), f"{line}\n{done.stdout}"
    found = tables(done.stdout)
    assert [(len(rows), len(rows[0])) for rows in found] == list(script.tables), done.stdout
    for rows in found:
        assert len({len(row) for row in rows}) == 1, rows
        for row in rows:
            numbers = [float(word.replace(",", "")) for word in re.findall(NUMBER, " ".join(row))]
            assert numbers, row
            assert all(map(math.isfinite, numbers))
            assert not re.search(r"\b(nan|inf)\b", " ".join(row)), row


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def path_with_fcn_tf():
    """PATH with the folder of this Python first, where `fcn-tf` is installed."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def tables(printed):
    """The rows below the head of each Markdown table, as lists of cells."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", printed, re.MULTILINE):
        rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()]
        assert set("".join(rows[1])) <= {"-"}, block
        found.append(rows[2:])
    return found
