import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.schema import OptimizerConfig
from fcn_tf.training.optimizers import make_optimizer, needs_whole_gradient
from fcn_tf.training.schedule import make_schedule

KERNEL = np.array([[2.0, -1.0]])
BIAS = np.array([0.5, -3.0])
KERNEL_GRADIENT = np.array([[3.0, 0.0]])
BIAS_GRADIENT = np.array([0.0, -4.0])


def one_step(precision="float32", replicas=1, **settings):
    """Kernel and bias of a layer after one step with the gradients above."""
    layer = keras.layers.Dense(2)
    layer.build((None, 1))
    layer.kernel.assign(KERNEL)
    layer.bias.assign(BIAS)
    config = OptimizerConfig(schedule="constant", **settings)
    schedule = make_schedule(config, max_steps=10)
    optimizer = make_optimizer(config, schedule, precision, replicas)
    optimizer.build([layer.kernel, layer.bias])
    scale = float(optimizer.scale_loss(1.0)) / replicas
    gradients = [keras.ops.array(scale * g, "float32") for g in (KERNEL_GRADIENT, BIAS_GRADIENT)]
    optimizer.apply(gradients, [layer.kernel, layer.bias])
    return layer.kernel.numpy(), layer.bias.numpy()


def test_adamw_decays_kernels_and_not_biases():
    """The first step of Adam moves by the learning rate against the gradient's sign."""
    kernel, bias = one_step(name="adamw", learning_rate=0.1, weight_decay=0.3)
    decayed = KERNEL * (1 - 0.1 * 0.3)
    np.testing.assert_allclose(kernel, decayed - 0.1 * np.sign(KERNEL_GRADIENT), rtol=1e-5)
    np.testing.assert_allclose(bias, BIAS - 0.1 * np.sign(BIAS_GRADIENT), rtol=1e-5)


def test_three_steps_of_sgd_are_those_of_caffe():
    """v = m v + rate (gradient + decay w); w -= v; biases at twice the rate without decay.

    By hand: kernel 2, gradient 3, decay 0.5, rate 0.1, momentum 0.9:
    v = 0.1 (3 + 1) = 0.4, w = 1.6; v = 0.36 + 0.1 (3 + 0.8) = 0.74, w = 0.86;
    v = 0.666 + 0.1 (3 + 0.43) = 1.009, w = -0.149. Bias -3, gradient -4:
    v = -0.8, w = -2.2; v = -1.52, w = -0.68; v = -2.168, w = 1.488.
    """
    layer = keras.layers.Dense(2)
    layer.build((None, 1))
    layer.kernel.assign(KERNEL)
    layer.bias.assign(BIAS)
    config = OptimizerConfig(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.5,
        bias_multiplier=2.0,
        schedule="constant",
    )
    optimizer = make_optimizer(config, make_schedule(config, max_steps=10))
    variables = [layer.kernel, layer.bias]
    seen = []
    for _ in range(3):
        gradients = [keras.ops.array(g, "float32") for g in (KERNEL_GRADIENT, BIAS_GRADIENT)]
        optimizer.apply(gradients, variables)
        seen.append((layer.kernel.numpy()[0, 0], layer.bias.numpy()[1]))
    np.testing.assert_allclose(seen, [(1.6, -2.2), (0.86, -0.68), (-0.149, 1.488)], rtol=1e-5)
    # With a gradient of zero a kernel shrinks, from -1: v = 0.1 (-0.5) = -0.05, w = -0.95;
    # v = -0.0925, w = -0.8575; v = -0.126125, w = -0.731375. A bias stays.
    assert layer.kernel.numpy()[0, 1] == pytest.approx(-0.731375, rel=1e-5)
    assert layer.bias.numpy()[0] == 0.5


def test_sgd_without_momentum_decays_too():
    settings = {"momentum": 0.0, "weight_decay": 0.5, "bias_multiplier": 1.0}
    kernel, bias = one_step(name="sgd", learning_rate=0.1, **settings)
    np.testing.assert_allclose(kernel, KERNEL - 0.1 * (KERNEL_GRADIENT + 0.5 * KERNEL), rtol=1e-5)
    np.testing.assert_allclose(bias, BIAS - 0.1 * BIAS_GRADIENT, rtol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_callbacks_can_checkpoint_a_model_with_its_optimizer(name, tmp_path):
    config = OptimizerConfig(name=name)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.optimizer = make_optimizer(config, make_schedule(config, max_steps=10))
    model.optimizer.build(model.trainable_variables)
    saved = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    kernel = model.layers[0].kernel.numpy()
    model.layers[0].kernel.assign(KERNEL)
    tf.train.Checkpoint(model=model).read(saved)
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize(("clip_norm", "factor"), [(None, 1), (10.0, 1), (1.0, 1 / 5)])
def test_the_norm_of_the_whole_gradient_is_clipped(clip_norm, factor, precision):
    """Kernel and bias together have the norm 5; decay and the biases' rate come after.

    With mixed_float16 the gradients come scaled, which nothing of this must see.
    """
    settings = {"clip_norm": clip_norm, "weight_decay": 0.5, "bias_multiplier": 2.0}
    kernel, bias = one_step(precision, name="sgd", learning_rate=0.1, **settings)
    gradient = factor * KERNEL_GRADIENT + 0.5 * KERNEL
    np.testing.assert_allclose(kernel, KERNEL - 0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(bias, BIAS - 0.1 * 2 * factor * BIAS_GRADIENT, rtol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_loss_is_scaled_in_float16_alone(name):
    """Keras begins with 2 ** 15."""
    config = OptimizerConfig(name=name)
    for precision, scale in (("float32", 1), ("mixed_bfloat16", 1), ("mixed_float16", 2**15)):
        optimizer = make_optimizer(config, make_schedule(config, max_steps=10), precision)
        optimizer.build([keras.Variable(KERNEL)])
        assert float(optimizer.scale_loss(1.0)) == scale


def test_steps_of_adamw_are_those_of_keras():
    """Clipped and decayed, on a schedule, from random gradients."""
    random = np.random.default_rng(0)
    start, bias = random.normal(size=(3, 5)), random.normal(size=5)
    config = OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.3, clip_norm=2.0)
    schedule = make_schedule(config, max_steps=10)
    theirs = keras.optimizers.AdamW(schedule, weight_decay=0.3, global_clipnorm=2.0)
    theirs.exclude_from_weight_decay(var_names=["bias"])
    answers = []
    gradients = random.normal(size=(10, 20)).astype("float32")
    for optimizer in (make_optimizer(config, schedule), theirs):
        layer = keras.layers.Dense(5)
        layer.build((None, 3))
        layer.set_weights([start, bias])
        for gradient in gradients:
            parts = [gradient[:15].reshape(3, 5), gradient[15:]]
            optimizer.apply([keras.ops.array(p) for p in parts], [layer.kernel, layer.bias])
        answers.append(np.concatenate([w.ravel() for w in layer.get_weights()]))
    assert np.abs(answers[0] - np.append(start, bias)).min() > 0.01
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)


def test_adamw_takes_the_clipped_gradient():
    """Adam's first step does not see the gradient's size, unless it is small beside epsilon."""
    kernel, _ = one_step(name="adamw", learning_rate=0.1, clip_norm=1e-5)
    moved = (KERNEL - kernel)[0, 0]
    # The root of the second moment: (1 - beta_2) ** 0.5 times 3/5 of the norm; epsilon 1e-7.
    root = 0.001**0.5 * 1e-5 * 3 / 5
    assert moved == pytest.approx(0.1 * root / (root + 1e-7), rel=1e-4)


def test_each_of_two_devices_clips_its_half():
    """Keras adds up what the devices give: each clips half of the gradient to half of the norm."""
    kernel, bias = one_step(replicas=2, name="sgd", learning_rate=0.1, clip_norm=1.0)
    np.testing.assert_allclose(kernel, KERNEL - 0.1 * KERNEL_GRADIENT / 5 / 2, rtol=1e-5)
    np.testing.assert_allclose(bias, BIAS - 0.1 * BIAS_GRADIENT / 5 / 2, rtol=1e-5)
    kernel, _ = one_step(replicas=2, name="adamw", learning_rate=0.1, clip_norm=1e-5)
    root = 0.001**0.5 * 1e-5 / 2 * 3 / 5  # as above
    assert (KERNEL - kernel)[0, 0] == pytest.approx(0.1 * root / (root + 1e-7), rel=1e-4)


def test_what_looks_at_the_whole_gradient_needs_it():
    """Clipping does, and the search for infinite values of float16."""
    plain, clipped = OptimizerConfig(), OptimizerConfig(clip_norm=1.0)
    assert not needs_whole_gradient(plain, "float32")
    assert not needs_whole_gradient(plain, "mixed_bfloat16")
    assert needs_whole_gradient(plain, "mixed_float16")
    assert needs_whole_gradient(clipped, "float32")


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_normalizations_are_not_decayed(name):
    """With a gradient of zero only decay moves anything."""
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    config = OptimizerConfig(name=name, learning_rate=0.1, weight_decay=0.5, schedule="constant")
    layer.beta.assign([1.0, 2.0, 3.0])
    optimizer = make_optimizer(config, make_schedule(config, max_steps=10))
    optimizer.apply([keras.ops.zeros(3)] * 2, [layer.gamma, layer.beta])
    np.testing.assert_array_equal(layer.gamma, [1, 1, 1])
    np.testing.assert_array_equal(layer.beta, [1, 2, 3])
