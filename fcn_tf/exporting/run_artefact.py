"""Runs an exported model in a process of its own, in which this package is not imported.

python -I run_artefact.py ARTEFACT IMAGES.npz RESULTS.npz PIXELS

IMAGES.npz has uint8 images (H, W, 3); RESULTS.npz takes `scores_NAME` (H, W, C) or
`labels_NAME` (H, W) of each. A SavedModel's other signatures are compared with its scores, and
its memory is measured on a square image of PIXELS.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np


def main(artefact, images_file, results_file, pixels):
    run = saved_model(artefact) if Path(artefact).is_dir() else tflite(artefact)
    with np.load(images_file, allow_pickle=False) as images:
        results = {
            f"{kind}_{name}": value
            for name in images.files
            for kind, value in run(images[name]).items()
        }
    np.savez(results_file, **results)
    assert not any(module.split(".")[0] == "fcn_tf" for module in sys.modules)
    del results
    if Path(artefact).is_dir():
        side = math.isqrt(int(pixels))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5))
        before = peak_bytes()
        run(np.zeros((side, side, 3), np.uint8))
        print(json.dumps({"bytes_per_pixel": round((peak_bytes() - before) / side**2)}))
    else:
        print("{}")


def saved_model(folder):
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures

    def run(image):
        batch = tf.constant(image[None])
        scores = signatures["scores"](images=batch)["scores"].numpy()[0]
        labels = signatures["labels"](images=batch)["labels"].numpy()[0]
        encoded = tf.io.encode_png(image)[None]
        png = signatures["serving_default"](image_bytes=encoded)["label_png_bytes"][0]
        served = tf.io.decode_png(png, channels=1).numpy()[..., 0]
        for other in (labels, served):
            agree = (other == scores.argmax(-1)).mean()
            if agree < 0.9999:  # scores that are equal in float32 may be ordered otherwise
                sys.exit(f"the signatures agree on {agree:.6f} of the pixels")
        return {"scores": scores}

    return run


def tflite(file):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file)
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(image):
        interpreter.resize_tensor_input(given["index"], (1, *image.shape))
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        value = interpreter.get_tensor(answered["index"])[0]
        return {"scores" if value.ndim == 3 else "labels": value}

    return run


def peak_bytes():
    """Of this process alone: resource's ru_maxrss begins with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
