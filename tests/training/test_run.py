"""What a run starts from, and what of it is trained."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID, VOID_COLOR
from fcn_tf.data import open_source, whole_images
from fcn_tf.errors import InputError, RunError
from fcn_tf.models import build_fcn, load_model, load_vgg16
from fcn_tf.training.loop import train
from fcn_tf.training.run import Run
from tests.networks import keras_vgg16
from tests.training.runs import (
    CHANCES,
    COLORS,
    change,
    give_chances,
    labels_given,
    labels_of_steps,
    uneven_config,
    uneven_source,
    val_by_hand,
    weights_of,
)


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


@pytest.mark.parametrize(
    ("margin", "message"), [(32, r"tiles of 1024 px.*--tile_px 512"), (None, "sees each image as")]
)
def test_an_evaluation_without_memory_says_what_would_help(monkeypatch, margin, message):
    def full(images, count):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    run = Run(uneven_config(), uneven_source())
    run._evaluation_call = full
    monkeypatch.setattr("fcn_tf.training.run.margin_px", lambda model: margin)
    with pytest.raises(RunError, match=f"Out of memory while val was evaluated: .*{message}"):
        run.evaluate()


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


def test_imagenet_goes_the_same_way(config, monkeypatch):
    """With a narrow VGG16 in place of the one that would be downloaded."""
    classifier = keras_vgg16(width=0.0625, head_units=16)
    monkeypatch.setattr(keras.applications, "VGG16", lambda include_top, weights: classifier)
    model = Run(config, open_source(config.data)).model
    transfer = load_vgg16(model, "imagenet")
    assert transfer.moved["fc7/bias"] == "fc2/bias"
    assert len(transfer.moved) == 30


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


def test_a_step_takes_the_images_that_come_next():
    """Of four images each, drawn and shuffled with the seed of the run."""
    run = Run(uneven_config(), uneven_source())
    assert run.samples_a_step == 4
    np.testing.assert_array_equal(
        labels_given(run, skip_samples=8), labels_of_steps(run.source, skip_samples=8, steps=2)
    )


@pytest.fixture
def averaged_run():
    """Its averaged weights answer `CHANCES`, and its last ones the reverse."""
    run = Run(uneven_config(ema=0.9), uneven_source(val=5))
    give_chances(run.model)
    run.average.restart()
    give_chances(run.model, CHANCES[::-1])
    run.feed()
    return run


def test_val_is_scored_with_the_averaged_weights(averaged_run, monkeypatch):
    """In three calls; one of the five images has no label, and takes no part in the loss."""
    run, calls = averaged_run, []
    monkeypatch.setattr("fcn_tf.training.run.EVALUATION_IMAGES_PER_CALL", 2)
    scores = run.evaluate(lambda: calls.append(1))
    expected = val_by_hand(run.source)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert scores["class_iou"] == pytest.approx({"a": 0, "b": 0, "c": 3 * expected["mean_iou"]})
    assert "confusion_matrix" not in scores
    assert len(calls) == 3
    bias = run.model.get_layer("score_fr").bias
    np.testing.assert_allclose(bias, np.log(CHANCES[::-1]), rtol=1e-6)


def test_a_picture_is_image_truth_and_prediction(averaged_run):
    """Of the first four of five images; the averaged weights say c."""
    pictures = averaged_run.pictures()
    examples = list(whole_images(averaged_run.source, "val").as_numpy_iterator())
    assert list(pictures) == [each["file_name"].decode() for each in examples[:4]]
    colors = np.zeros((256, 3), np.uint8)
    colors[:3], colors[VOID] = COLORS, VOID_COLOR
    for picture, example in zip(pictures.values(), examples, strict=False):
        image, truth, prediction = np.split(picture, 3, axis=1)
        np.testing.assert_array_equal(image, example["image"])
        np.testing.assert_array_equal(truth, colors[example["segmentation_mask"][..., 0]])
        np.testing.assert_array_equal(prediction, np.full_like(image, COLORS[2]))


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


def test_l2_of_sgd_is_part_of_the_gradient_and_spares_biases(config):
    """With a loss of weight 0, two steps of momentum SGD on 0.5 * decay * w ** 2 alone, by hand."""
    config = change(config, "loss", class_weights=[0.0] * 6)
    config = change(
        config,
        "optimizer",
        name="sgd",
        learning_rate=0.1,
        momentum=0.5,
        weight_decay=0.2,
        schedule="constant",
    )
    _, _, weights = steps_of(config, count=2)
    keras.utils.set_random_seed(config.seed)
    fresh = build_fcn("fcn8s", 6, width=0.0625, head_units=16, dropout=0.0)
    for variable in fresh.trainable_variables:
        start = variable.numpy()
        if variable.path.endswith("kernel"):
            first = start - 0.1 * 0.2 * start
            second = first + 0.5 * (first - start) - 0.1 * 0.2 * first
        else:
            second = start
        np.testing.assert_allclose(weights[variable.path], second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("reduction", "crop_px"), [("mean", 64), pytest.param("sum", None, marks=pytest.mark.slow)]
)
def test_four_batches_of_two_are_one_of_eight(light, reduction, crop_px):
    """The class weights and the VOID of the filling differ from image to image."""
    rate = 1e-2 if reduction == "mean" else 1e-6
    config = change(light, "loss", reduction=reduction, class_weights=[0.2, 1, 2, 3, 1, 1])
    config = change(config, "optimizer", name="sgd", learning_rate=rate, clip_norm=1e5 * rate)
    config = change(config, "data", batch_size=8, crop_px=crop_px, scale_range=(0.4, 1.0))
    whole = steps_of(config)
    config = change(config, "data", batch_size=2)
    parts = steps_of(change(config, "training", accumulate_steps=4))
    assert_same_steps(whole, parts)
    assert len(set(whole[0])) == 3


@pytest.mark.slow
def test_xla_takes_the_same_steps(light):
    config = change(light, "optimizer", name="sgd", learning_rate=1e-2)
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


def test_a_model_keeps_the_range_of_its_images():
    config = change(uneven_config(), "data", name="folder", data_dir="x", value_range=(0, 4095))
    config = change(config, "data", bands=(4, 3, 2))
    model = Run(config, uneven_source()).model
    assert (model.value_range, model.bands) == ((0, 4095), (4, 3, 2))
