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
