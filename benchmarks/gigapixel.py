"""Maps of any size in flat memory: `fcn-tf predict` on GeoTIFF files, the largest of 1 gigapixel.

    python benchmarks/gigapixel.py [--width 0.0625] [--megapixels 16 1024]

Each map is made of random squares, tiled and compressed, and labelled in a process of its own. Its
peak memory is shown. Prints Markdown; exits with 1 where the memory of the largest map is over 10 %
above that of the first one, or its labels lie elsewhere, are not tiled or not compressed.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from memory import peak_mb
from rasterio.windows import Window
from toy import exit_code, parse

ROWS_PX = 1024  # that are written at once
SQUARE_PX = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=0.0625)
    parser.add_argument("--head_units", type=int, default=64)
    parser.add_argument("--megapixels", type=float, nargs="+", default=(16, 1024))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parse(parser, width=1 / 64, head_units=4, megapixels=(4.5,))
    if arguments.one:
        return label(*arguments.one)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "m.keras")
        write_model(model, arguments)
        for megapixels in arguments.megapixels:
            image = Path(folder, f"{megapixels:g}.tif")
            write_map(image, SQUARE_PX * round(math.sqrt(megapixels * 1e6) / SQUARE_PX))
            out = Path(folder, "out")
            command = [sys.executable, __file__, "--one", str(model), str(image), str(out)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            labels = out / f"{image.name}.labels.tif"
            rows.append(
                row
                | {"megapixels": megapixels, "is_map": is_map_of(labels, image)}
                | {"image_mb": image.stat().st_size / 1e6, "labels_mb": labels.stat().st_size / 1e6}
            )
    print("| megapixels | s | peak memory, MB | image file, MB | label file, MB |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['megapixels']:g} | {row['seconds']:.1f} | {row['peak_mb']:.0f} "
            f"| {row['image_mb']:.0f} | {row['labels_mb']:.1f} |"
        )
    grows = rows[-1]["peak_mb"] / rows[0]["peak_mb"]
    are_maps = all(row["is_map"] for row in rows)
    print(f"\nmemory of the largest to that of the first: {grows:.3f}")
    print(f"same CRS and transform, tiled, compressed: {are_maps}")
    return exit_code(grows > 1.1 or not are_maps, arguments)


def write_model(path, arguments):
    """Saves a network whose random scores give each pixel a label of its own."""
    from fcn_tf.models import build_fcn, save_model

    model = build_fcn("fcn8s", 5, width=arguments.width, head_units=arguments.head_units)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score_"):
            layer.set_weights([rng.normal(size=one.shape) for one in layer.get_weights()])
    save_model(model, path)


def write_map(path, side_px):
    """A square GeoTIFF of random squares."""
    rng = np.random.default_rng(0)
    options = {
        "driver": "GTiff",
        "height": side_px,
        "width": side_px,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(0.1, 0, 400_000, 0, -0.1, 5_800_000),
        "tiled": True,
        "compress": "deflate",
        "zlevel": 1,
        "BIGTIFF": "IF_SAFER",
    }
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path, "w", **options) as file:
        for start in range(0, side_px, ROWS_PX):
            count = min(ROWS_PX, side_px - start)
            squares = rng.integers(0, 256, (3, count // SQUARE_PX, side_px // SQUARE_PX), np.uint8)
            rows = squares.repeat(SQUARE_PX, 1).repeat(SQUARE_PX, 2)
            file.write(rows, window=Window(0, start, side_px, count))


def label(model, image, out):
    """Labels a map as the command does, and prints the seconds and the peak of memory."""
    from fcn_tf.commands.predict import PredictOptions, predict

    started = time.perf_counter()
    predict(PredictOptions(model=model, images=(image,), out=out, format=("png",)))
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}))
    return 0


def is_map_of(labels, image):
    """Whether labels lie where their image lies, tiled and compressed."""
    with rasterio.open(labels) as file, rasterio.open(image) as source:
        same = file.shape == source.shape and file.crs == source.crs
        is_stored_well = file.profile["tiled"] and file.profile.get("compress") == "deflate"
        return bool(same and file.transform == source.transform and is_stored_well)


if __name__ == "__main__":
    sys.exit(main())
