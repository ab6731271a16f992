"""Saved models in new processes, on all three backends."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fcn_tf.errors import InputError
from fcn_tf.models import FCN, VARIANTS, load_model, save_model, train_scores_only
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images, relative_difference
from tests.processes import flipped

ROOT = Path(__file__).parent.parent.parent

LOAD_AND_RUN = """
import functools
import sys
from pathlib import Path
import keras
import numpy as np
import fcn_tf.models
backend = keras.backend.backend()
if backend == "jax":
    import jax
folder = Path(sys.argv[1])
images = np.load(folder / "images.npy")
for file in folder.glob("*.keras"):
    model = keras.saving.load_model(file)
    call = functools.partial(model, training=False)
    if backend == "jax":  # as one program, compiled sooner than its operations one by one
        call = jax.jit(call)
    logits = keras.ops.convert_to_numpy(call(images))
    np.save(file.with_suffix(".npy"), logits)
    assert model.class_names == ["a", "b", "c", "d", "e"], model.class_names
    assert model.palette[1] == [1, 2, 3], model.palette
if backend != "tensorflow":
    assert "tensorflow" not in sys.modules
"""

NETWORKS = {
    **{variant: {"variant": variant} for variant in VARIANTS},
    "deeplabv3_resnet50": {"variant": "deeplabv3_resnet50"},
    "lraspp_mobilenetv3": {"variant": "lraspp_mobilenetv3"},
    "unet": {"variant": "unet"},
    "unet, valid": {"variant": "unet", "geometry": "valid"},
    "segnet": {"variant": "segnet"},
    "dilated": {"variant": "fcn32s", "output_stride": 8},
    "nonlinear": {"variant": "fcn8s", "upsampling": "nonlinear"},
    "alexnet": {"variant": "fcn32s", "trunk": "alexnet", "geometry": "caffe"},
    "googlenet": {"variant": "fcn8s", "trunk": "googlenet"},
}

# A network runs once here: what XLA spends on its code is more than the code saves.
JAX = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
TOLERANCES = {"tensorflow": 1e-6, "jax": 1e-4, "torch": 1e-4}


def cases():
    """Every layer that there is on every backend; fcn8s on Torch in the quick suite.

    It has the layers of the other variants of VGG16.
    """
    for backend in TOLERANCES:
        others = [name for name in NETWORKS if name not in VARIANTS]
        for names in (["fcn8s"], others):
            marks = [] if backend == "tensorflow" else [needs_extra("backends", backend)]
            is_quick = names == ["fcn8s"] and backend == "torch"
            marks += [] if is_quick else [pytest.mark.slow]
            yield pytest.param(names, backend, marks=marks, id=f"{names[0]}-{backend}")


@pytest.mark.parametrize(("names", "backend"), list(cases()))
def test_equal_outputs_in_a_new_process(names, backend, tmp_path):
    palette = [(0, 0, 0), (1, 2, 3)] + [(9, 9, 9)] * 3
    images = random_images(2, 75, 101, 3)
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name in names:
        model = narrow_fcn(**NETWORKS[name], class_names=list("abcde"), palette=palette)
        save_model(model, tmp_path / f"{name}.keras")
        expected[name] = model(images, training=False)
    environment = {**os.environ, **JAX, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_RUN, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, logits in expected.items():
        answer = np.load(tmp_path / f"{name}.npy")
        assert relative_difference(answer, logits) < TOLERANCES[backend], name


def test_weights_are_kept_under_the_same_keys():
    """Files of earlier versions are loaded by the class of a layer and its number."""
    classes = [type(layer).__name__ for layer in narrow_fcn("fcn8s").layers if layer.weights]
    assert classes.count("Conv2D") == 13 + 2 + 3
    assert classes.count("Conv2DTranspose") == 3
    assert len(classes) == 21


def test_upsampling_that_was_learned_is_kept(tmp_path):
    model = narrow_fcn("fcn8s", upsampling="learned_all")
    kernel = model.get_layer("upscore8").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    save_model(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path).get_layer("upscore8").kernel, kernel)


def test_a_model_is_saved_under_float32(tmp_path):
    named = {
        "class_names": list("abcde"),
        "palette": [(7, 8, 9)] * 5,
        "value_range": (0, 4095),
        "bands": (4, 3, 2),
    }
    mixed = narrow_fcn("fcn32s", **named).with_policy("mixed_bfloat16")
    save_model(mixed, tmp_path / "model.keras")
    model = load_model(tmp_path)
    assert mixed.get_layer("conv3_1").compute_dtype == "bfloat16"
    assert model.get_layer("conv3_1").compute_dtype == "float32"
    assert model.dtype_policy_name == "float32"
    assert model.class_names == list("abcde")
    assert model.palette == [[7, 8, 9]] * 5
    assert (model.value_range, model.bands) == ((0, 4095), (4, 3, 2))
    for saved, weight in zip(model.weights, mixed.weights, strict=True):
        np.testing.assert_array_equal(saved, weight)


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
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(other)
    with pytest.raises(InputError, match="holds a Sequential"):
        load_model(other)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda whole: b"", "it is empty"),
        (lambda whole: b"PK but not a zip", "it is no zip file, or lacks its end"),
        (lambda whole: whole[:-1], "it is no zip file, or lacks its end"),
        (lambda whole: flipped(whole, whole.index(b"config.json") + 40), "CRC-32 for file 'config"),
        (lambda whole: flipped(whole, len(whole) // 2), "CRC-32 for file 'model.weights.h5'"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, spoil, reason):
    path = tmp_path / "model.keras"
    save_model(narrow_fcn("fcn32s", width=1 / 64, head_units=4), path)
    path.write_bytes(spoil(path.read_bytes()))
    message = rf"model\.keras cannot be read as a Keras model: .*{reason}.*copy it again"
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


def test_which_layers_are_trained_is_kept(tmp_path):
    """By a file of another precision, a file as Keras writes it, and a clone."""
    model = narrow_fcn("fcn8s", width=1 / 64, head_units=4)
    train_scores_only(model)
    for name in ("conv5_3", "upscore8"):  # a new network does not train upscore8
        model.get_layer(name).trainable = True
    trained = [weight.path for weight in model.trainable_weights]
    assert trained == [
        f"{name}/{part}"
        for name in ("conv5_3", "score_fr", "score_pool4", "score_pool3")
        for part in ("kernel", "bias")
    ] + ["upscore8/kernel"]
    save_model(model.with_policy("mixed_bfloat16"), tmp_path / "model.keras")
    model.save(tmp_path / "whole.keras")
    for twin in (
        load_model(tmp_path),
        keras.saving.load_model(tmp_path / "whole.keras"),
        keras.models.clone_model(model),
    ):
        assert [weight.path for weight in twin.trainable_weights] == trained
    model.trainable = False
    assert not model.with_policy("float32").trainable_weights


def test_the_state_of_an_optimizer_fits_the_weights_that_are_trained(tmp_path):
    model = narrow_fcn("fcn32s", width=1 / 64, head_units=4)
    train_scores_only(model)
    model.compile(keras.optimizers.Adam())
    gradients = [np.ones(weight.shape, "float32") for weight in model.trainable_weights]
    model.optimizer.apply(gradients, model.trainable_weights)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert twin.optimizer.iterations == 1
    for mine, other in zip(model.optimizer.variables, twin.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_file_of_before_the_flags_were_kept_has_those_of_its_arguments():
    config = narrow_fcn("fcn8s", width=1 / 64, head_units=4).get_config()
    del config["frozen_layers"]
    model = FCN.from_config(config)
    assert [layer.name for layer in model.layers if not layer.trainable] == ["upscore8"]
