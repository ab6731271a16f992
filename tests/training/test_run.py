"""What a run starts from, and what of it is trained."""

import dataclasses

import keras
import numpy as np
import pytest

from fcn_tf.data import open_source
from fcn_tf.errors import InputError
from fcn_tf.models import load_model, load_vgg16
from fcn_tf.training.loop import train
from fcn_tf.training.run import Run
from tests.networks import keras_vgg16
from tests.training.runs import change, weights_of


@pytest.fixture
def vgg16_file(tmp_path):
    path = tmp_path / "vgg16.keras"
    keras_vgg16(width=0.0625, head_units=16).save(path)
    return path


def gradients_of_kernels(run):
    """How many gradients of convolutions' kernels are in the compiled steps."""
    run.feed()
    graph = run.train_call.get_concrete_function(keras.ops.array(1, "int32")).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return sum(node.op == "Conv2DBackpropFilter" for node in nodes)


@pytest.mark.slow
def test_frozen_layers_stay_and_cost_no_gradient(config, tmp_path, vgg16_file):
    config = change(config, "model", weights=str(vgg16_file), trainable="score")
    source = open_source(config.data)
    # Three score layers; with the gradient of a transposed convolution's input TensorFlow
    # writes down that of its kernel, which it drops before it runs where nobody asks for it.
    assert gradients_of_kernels(Run(config, source)) == 3 + 3
    everything = change(config, "model", trainable="all")
    assert gradients_of_kernels(Run(everything, source)) == 13 + 2 + 3 + 3

    start = Run(config, source).model
    trained = weights_of(train(config, tmp_path / "run"))
    for variable in start.variables:
        moved = np.abs(trained[variable.path] - variable.numpy()).max()
        assert (moved > 0) == variable.path.startswith("score_"), variable.path


def test_a_run_starts_from_a_classifiers_weights(config, tmp_path, vgg16_file, capsys):
    config = change(config, "model", weights=str(vgg16_file))
    model = Run(config, open_source(config.data)).model
    kernel = keras.saving.load_model(vgg16_file).get_layer("fc1").kernel.numpy()
    np.testing.assert_array_equal(
        model.get_layer("fc6").kernel.numpy().reshape(kernel.shape), kernel
    )
    said = capsys.readouterr().out
    assert f"Weights of {vgg16_file}: 30 tensors moved" in said
    assert "kept: score_fr" in said
    assert "left out: predictions" in said


@pytest.mark.slow
def test_a_run_goes_on_from_a_coarser_one(config, tmp_path):
    config = change(config, "training", max_steps=1, eval_every_steps=1)
    coarse = train(dataclasses.replace(config, variant="fcn16s"), tmp_path / "coarse")
    config = dataclasses.replace(config, init_from=str(coarse))
    model = Run(config, open_source(config.data)).model
    weights = weights_of(coarse)
    for variable in model.variables:
        if variable.path.split("/")[0] in ("score_pool3", "upscore_pool4", "upscore8"):
            assert variable.path not in weights
        else:
            np.testing.assert_array_equal(variable.numpy(), weights[variable.path])


def test_imagenet_goes_the_same_way(config, monkeypatch):
    """With a narrow VGG16 in place of the one that would be downloaded."""
    classifier = keras_vgg16(width=0.0625, head_units=16)
    monkeypatch.setattr(keras.applications, "VGG16", lambda include_top, weights: classifier)
    model = Run(config, open_source(config.data)).model
    transfer = load_vgg16(model, "imagenet")
    assert transfer.moved["fc7/bias"] == "fc2/bias"
    assert len(transfer.moved) == 30


def test_class_weights_from_the_masks(config, capsys):
    config = change(config, "loss", class_weights="median_frequency")
    run = Run(config, open_source(config.data))
    assert len(run.loss.class_weights) == 6
    # The background is what there is most of.
    assert run.loss.class_weights[0] == min(run.loss.class_weights) < 1
    assert "Class weights: background 0." in capsys.readouterr().out
    assert Run(change(config, "loss", class_weights="none"), run.source).loss.class_weights is None


def test_nothing_is_written_when_the_weights_are_refused(config, tmp_path):
    config = change(config, "model", weights=str(tmp_path / "none.keras"))
    with pytest.raises(InputError, match="neither imagenet, none nor a file"):
        train(config, tmp_path / "run")
    config = change(config, "model", weights="none")
    with pytest.raises(InputError, match="no such run"):
        train(dataclasses.replace(config, init_from=str(tmp_path / "no")), tmp_path / "run")
    with pytest.raises(InputError, match="is no model"):
        train(dataclasses.replace(config, init_from=str(tmp_path)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_published_geometry_trains_and_is_kept(config, tmp_path):
    config = change(config, "model", geometry="caffe")
    config = change(config, "training", max_steps=1, eval_every_steps=1)
    model = load_model(train(config, tmp_path / "run"))
    assert model.get_layer("preprocessing").mean_bgr[0] == 104.00698793
    assert model.get_layer("upscore8_crop").offset_px == 31


def steps_of(config, count=3):
    """The losses of a few steps and the weights after them."""
    keras.utils.set_random_seed(config.seed)
    run = Run(config, open_source(config.data))
    run.feed()
    losses, confusion = run.train_call(keras.ops.array(count, "int32"))
    return losses.numpy(), confusion.numpy(), {v.path: v.numpy() for v in run.model.weights}


def assert_same_steps(one, other, tolerance=1e-5):
    np.testing.assert_allclose(one[0], other[0], rtol=tolerance)
    np.testing.assert_array_equal(one[1], other[1])
    for path, value in one[2].items():
        difference = np.abs(other[2][path] - value).max()
        assert difference <= tolerance * np.abs(value).max(), path


@pytest.mark.parametrize(
    ("reduction", "crop_px"), [("mean", 64), pytest.param("sum", None, marks=pytest.mark.slow)]
)
def test_four_batches_of_two_are_one_of_eight(config, reduction, crop_px):
    """The class weights and the VOID of the filling differ from image to image."""
    rate = 1e-2 if reduction == "mean" else 1e-6
    config = change(config, "loss", reduction=reduction, class_weights=[0.2, 1, 2, 3, 1, 1])
    config = change(config, "optimizer", name="sgd", learning_rate=rate, clip_norm=1e5 * rate)
    config = change(config, "data", batch_size=8, crop_px=crop_px, scale_range=(0.4, 1.0))
    whole = steps_of(config)
    config = change(config, "data", batch_size=2)
    parts = steps_of(change(config, "training", accumulate_steps=4))
    assert_same_steps(whole, parts)
    assert len(set(whole[0])) == 3


@pytest.mark.slow
def test_xla_takes_the_same_steps(config):
    config = change(config, "optimizer", name="sgd", learning_rate=1e-2)
    compiled = change(config, "training", jit_compile=True)
    assert_same_steps(steps_of(config), steps_of(compiled))


@pytest.mark.slow
def test_float16_takes_nearly_the_same_steps(config):
    """Gradients too small for float16 arrive, since the loss is scaled."""
    config = change(config, "optimizer", name="sgd", learning_rate=1e-3, clip_norm=1.0)
    exact = steps_of(config)
    half = steps_of(change(config, "training", precision="mixed_float16"))
    np.testing.assert_allclose(half[0], exact[0], rtol=2e-2)
    keras.utils.set_random_seed(config.seed)
    start = Run(config, open_source(config.data)).model
    for variable in start.trainable_variables:
        moved = exact[2][variable.path] - variable.numpy()
        error = half[2][variable.path] - exact[2][variable.path]
        assert np.linalg.norm(error) < 0.5 * np.linalg.norm(moved), variable.path


def test_wide_kernels_are_computed_as_patches(config, monkeypatch):
    """fc6 and fc7 are, from so many weights on, and the losses are those of convolutions."""
    losses = []
    for from_weights, computed_so in ((2**24, set()), (64 * 64, {"fc6", "fc7"})):
        monkeypatch.setattr("fcn_tf.training.run.PATCHES_FROM_WEIGHTS", from_weights)
        keras.utils.set_random_seed(3)
        run = Run(change(config, "model", head_units=64), open_source(config.data))
        layers = run.model.layers
        assert {la.name for la in layers if getattr(la, "as_patches", False)} == computed_so
        assert gradients_of_kernels(run) == 13 + 2 - len(computed_so) + 3 + 3
        losses.append(run.train_call(keras.ops.array(4, "int32"))[0].numpy())
    assert losses[0][0] != losses[0][-1]
    np.testing.assert_allclose(*losses, rtol=1e-4)
