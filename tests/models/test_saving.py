"""Saved models in new processes, on all three backends."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import VARIANTS, load_model, save_model
from tests.networks import narrow_fcn, random_images, relative_difference

ROOT = Path(__file__).parent.parent.parent

LOAD_AND_RUN = """
import sys
import keras
import numpy as np
import fcn_tf.models
model = keras.saving.load_model(sys.argv[1])
images = np.load(sys.argv[2])
np.save(sys.argv[3], keras.ops.convert_to_numpy(model(images, training=False)))
assert model.class_names == ["a", "b", "c", "d", "e"], model.class_names
assert model.palette[1] == [1, 2, 3], model.palette
if keras.backend.backend() != "tensorflow":
    assert "tensorflow" not in sys.modules
"""

NETWORKS = {
    **{variant: {"variant": variant} for variant in VARIANTS},
    "fcn_resnet50": {"variant": "fcn_resnet50"},
    "dilated": {"variant": "fcn32s", "output_stride": 8},
    "nonlinear": {"variant": "fcn8s", "upsampling": "nonlinear"},
    "alexnet": {"variant": "fcn32s", "trunk": "alexnet", "geometry": "caffe"},
    "googlenet": {"variant": "fcn8s", "trunk": "googlenet"},
    "mobilenetv3_large": {"variant": "fcn8s", "trunk": "mobilenetv3_large", "width": 0.25},
}

TOLERANCES = {"tensorflow": 1e-6, "jax": 1e-4, "torch": 1e-4}


def cases():
    """Every layer that there is on every backend; fcn8s in the quick suite."""
    for backend in TOLERANCES:
        missing = importlib.util.find_spec(backend) is None
        reason = f"needs {backend}: pip install 'fcn_tf[backends]'"
        for name in NETWORKS:
            marks = [pytest.mark.skipif(missing, reason=reason)]
            marks += [] if name == "fcn8s" else [pytest.mark.slow]
            yield pytest.param(name, backend, marks=marks)


@pytest.mark.parametrize(("name", "backend"), list(cases()))
def test_equal_outputs_in_a_new_process(name, backend, tmp_path):
    palette = [(0, 0, 0), (1, 2, 3)] + [(9, 9, 9)] * 3
    model = narrow_fcn(**NETWORKS[name], class_names=list("abcde"), palette=palette)
    images = random_images(2, 75, 101, 3)
    save_model(model, tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    paths = [str(tmp_path / name) for name in ("model.keras", "images.npy", "logits.npy")]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_RUN, *paths],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    logits = np.load(paths[2])
    assert relative_difference(logits, model(images, training=False)) < TOLERANCES[backend]


def test_upsampling_that_was_learned_is_kept(tmp_path):
    model = narrow_fcn("fcn8s", upsampling="learned_all")
    kernel = model.get_layer("upscore8").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    save_model(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path).get_layer("upscore8").kernel, kernel)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    model = narrow_fcn("fcn32s")
    (tmp_path / f".model.{os.getpid()}.keras").mkdir()  # in the way of the new file
    with pytest.raises(OSError, match="model"):
        save_model(model, path)
    assert path.read_bytes() == b"old"


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is no model.*model\.keras"):
        load_model(tmp_path)
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK but not a zip")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(broken)
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(other)
    with pytest.raises(InputError, match="holds a Sequential"):
        load_model(other)
