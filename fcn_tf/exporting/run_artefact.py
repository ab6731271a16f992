"""Runs an exported model in a process of its own, in which this package is not imported.

python -I run_artefact.py RUN.py ARTEFACT IMAGES.npz RESULTS.npz [PIXELS]

RUN.py has the function `run` of the artefact's format, as `fcn_tf.exporting.formats` describes it.
IMAGES.npz has uint8 images (H, W, 3) by name. RESULTS.npz takes `scores_NAME` (H, W, C) or
`labels_NAME` (H, W) of each. With PIXELS, the memory of a call is measured on a square image of so
many pixels. The last line of standard output is JSON: bytes_per_pixel, null where this system does
not tell, or nothing without PIXELS.
"""

import importlib.util
import json
import math
import sys
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Answer = Callable[[NDArray[np.uint8]], dict[str, NDArray]]
SECONDS_BETWEEN_LOOKS = 0.001


def main(
    run_file: str, artefact: str, images_file: str, results_file: str, pixels: str | None = None
) -> None:
    answer = load_run(run_file)(artefact)
    with np.load(images_file, allow_pickle=False) as images:
        results = {
            f"{kind}_{name}": value
            for name in images.files
            for kind, value in answer(images[name]).items()
        }
    np.savez(results_file, **results)  # type: ignore[arg-type]  # the stubs see allow_pickle
    del results
    found = {}
    if pixels is not None:
        side_px = math.isqrt(int(pixels))
        image = np.zeros((side_px, side_px, 3), np.uint8)
        grown_bytes = growth_bytes(lambda: answer(image))
        per_pixel = None if grown_bytes is None else round(grown_bytes / side_px**2)
        found["bytes_per_pixel"] = per_pixel
    assert not any(module.split(".")[0] == "fcn_tf" for module in sys.modules)
    print(json.dumps(found))


def load_run(file: str) -> Callable[[str], Answer]:
    """The function `run` of a file."""
    spec = importlib.util.spec_from_file_location("format_to_run", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


def growth_bytes(call: Callable[[], object]) -> int | None:
    """By how much this process grows at most during a call; None where this cannot be measured.

    The call is made in either case.
    """
    try:
        import psutil

        memory = psutil.Process().memory_info
        before = memory().rss
    except Exception:  # not installed, or without an answer on this system
        call()
        return None
    looks = [before]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            looks[0] = max(looks[0], memory().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        call()
    finally:
        ended.set()
        thread.join()
    return looks[0] - before


if __name__ == "__main__":
    main(*sys.argv[1:])
