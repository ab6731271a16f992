"""Upsampling that is bilinear equals the transposed convolution; what is not stays one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.models import upsampling
from fcn_tf.models.layers import Bilinear, bilinear_kernel
from fcn_tf.models.upsampling import Conv2DTranspose, interpolated, is_bilinear
from tests.extras import needs_extra
from tests.networks import relative_difference

ROOT = Path(__file__).parent.parent.parent


def upsample(trainable=False, **given):
    """A layer that makes three channels eight times as large."""
    given = {"kernel_size": 16, "strides": 8, "use_bias": False, **given}
    layer = Conv2DTranspose(3, kernel_initializer=Bilinear(), trainable=trainable, **given)
    layer.build((None, None, None, 3))
    return layer


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, "float32")


def convolved(scores, kernel, factor):
    """TensorFlow's own transposed convolution without padding."""
    n, *cells, _ = scores.shape
    sides = [(count - 1) * factor + len(kernel) for count in cells]
    shape = (n, *sides, kernel.shape[2])
    return tf.nn.conv2d_transpose(scores, kernel, shape, factor, padding="VALID")


@pytest.mark.parametrize(("side", "factor"), [(16, 8), (15, 8), (8, 4), (63, 32)])
def test_interpolation_equals_the_convolution_and_so_does_its_gradient(side, factor):
    """Of which the sum over a kernel of 63 x 63 is held against one of float64."""
    scores = tf.constant(numbers(2, 3, 5, 4))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        found = interpolated(scores, side, factor)
        precise = tf.cast(scores, tf.float64)
        expected = convolved(precise, bilinear_kernel(side, 4).astype(np.float64), factor)
        weights = numbers(*expected.shape, seed=1)
        total, expected_total = (tf.reduce_sum(x * weights) for x in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    gradient = tape.gradient(expected_total, scores)
    assert relative_difference(tape.gradient(total, scores), gradient) < 1e-6


def test_the_numbers_of_a_kernel_say_whether_it_is_bilinear():
    for side, factor in ((4, 2), (16, 8), (15, 8), (63, 32)):
        kernel = bilinear_kernel(side, 3)
        assert is_bilinear(kernel, factor)
        assert not is_bilinear(kernel, 2 * factor)
        assert not is_bilinear(kernel[:, :, :2], factor)
        kernel[1, 2, 2, 2] *= np.float32(1 + 1e-6)
        assert not is_bilinear(kernel, factor)


def test_each_call_looks_at_the_kernel(monkeypatch):
    """Even in a graph that was traced while the kernel was bilinear."""
    monkeypatch.setattr(upsampling, "interpolated", lambda *given: 1 + interpolated(*given))
    layer, scores = upsample(), numbers(1, 3, 5, 3)
    free = tf.TensorSpec((None, None, None, 3))
    call = tf.function(lambda scores: layer(scores), input_signature=[free])
    kernel = layer.kernel.numpy()
    np.testing.assert_allclose(call(scores), 1 + convolved(scores, kernel, 8), atol=1e-6)
    for place in ((0, 0, 0, 0), (15, 15, 2, 2), (7, 8, 1, 2)):
        changed = kernel.copy()
        changed[place] += 1e-3
        layer.kernel.assign(changed)
        np.testing.assert_allclose(call(scores), convolved(scores, changed, 8), atol=1e-6)
        np.testing.assert_allclose(layer(scores), convolved(scores, changed, 8), atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"trainable": True},
        {"use_bias": True},
        {"padding": "same"},
        {"strides": 4},
        {"strides": (8, 16)},
        {"dtype": "bfloat16"},
        {"kernel_size": 4, "strides": 2},
    ],
    ids=str,
)
def test_what_does_not_fit_is_a_convolution(given, monkeypatch):
    monkeypatch.setattr(upsampling, "interpolated", None)
    layer, scores = upsample(**given), numbers(1, 3, 5, 3)
    found = layer(scores)
    layer.bilinear = False
    np.testing.assert_array_equal(found, layer(scores))


def test_a_kernel_that_is_trained_has_a_gradient():
    layer, scores = upsample(trainable=True), tf.constant(numbers(1, 3, 5, 3))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(scores))
    expected = np.broadcast_to(np.sum(scores, (0, 1, 2)), (16, 16, 3, 3))
    np.testing.assert_allclose(tape.gradient(total, layer.kernel), expected, rtol=1e-5)


ON_A_BACKEND = """
import sys

import keras
import numpy as np

from fcn_tf.models.layers import Bilinear
from fcn_tf.models.upsampling import Conv2DTranspose

layer = Conv2DTranspose(
    4, 15, strides=8, use_bias=False, kernel_initializer=Bilinear(), trainable=False
)
layer.build((None, None, None, 4))
given = np.load(sys.argv[1])
scores, weights = (keras.ops.convert_to_tensor(given[name]) for name in ("scores", "weights"))

def total(scores):
    return keras.ops.sum(layer(scores) * weights)

if keras.backend.backend() == "jax":
    import jax

    gradient = jax.jit(jax.grad(total))(scores)
else:
    scores.requires_grad_()
    total(scores).backward()
    gradient = scores.grad
pixels = keras.ops.convert_to_numpy(layer(scores))
np.testing.assert_allclose(pixels, given["pixels"], atol=1e-6)
gradient = keras.ops.convert_to_numpy(gradient)
np.testing.assert_allclose(gradient, given["gradient"], atol=1e-6 * np.abs(gradient).max())
layer.kernel.assign(np.zeros((15, 15, 4, 4)))
assert not keras.ops.any(layer(scores))
"""


@pytest.mark.slow
@needs_extra("backends", "jax")
@needs_extra("backends", "torch")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_interpolates_and_has_the_gradient(backend, tmp_path):
    scores = tf.constant(numbers(2, 3, 5, 4))
    weights = numbers(2, 31, 47, 4, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        pixels = convolved(scores, bilinear_kernel(15, 4), 8)
        total = tf.reduce_sum(pixels * weights)
    path = tmp_path / "given.npz"
    gradient = tape.gradient(total, scores)
    np.savez(path, scores=scores, weights=weights, pixels=pixels, gradient=gradient)
    done = subprocess.run(
        [sys.executable, "-c", ON_A_BACKEND, str(path)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
