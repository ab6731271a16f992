"""What a run is built of: each key of `model`, `loss` and `optimizer` reaches its place."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcn_tf.training.run
from fcn_tf.config.networks import TRUNKS, TrunkSpec
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from fcn_tf.models import build_fcn, save_model
from fcn_tf.models.trunks import BUILDERS
from fcn_tf.training.distribution import Cluster
from fcn_tf.training.losses import LOSSES
from fcn_tf.training.run import Run
from fcn_tf.training.segmentation_loss import SegmentationLoss
from fcn_tf.training.start import check_start
from tests.networks import fill, keras_vgg16
from tests.sources import source_of

COLORS = ((0, 0, 0), (200, 10, 20), (1, 2, 3))
# Two images: 8 pixels of a and 2 of b; 1 of a, 1 of b and 8 of c.
TRAIN = [[[0] * 5, [0, 0, 0, 1, 1]], [[0, 1, 2, 2, 2], [2] * 5]]
VAL = [[[2] * 5, [1] * 5]]
NARROWEST = {"width": 1 / 64, "head_units": 4}


def grey_source(colors=COLORS, train=TRAIN, val=VAL):
    """A data set of masks (h, w) of the classes a, b and c; the images are as grey as the masks."""
    masks = {"train": np.array(train, np.uint8), "val": np.array(val, np.uint8)}
    pairs = {split: [(np.dstack([50 * m] * 3), m) for m in masks[split]] for split in masks}
    return source_of(colors=colors, **pairs)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A trunk of one normalized convolution, built within milliseconds."""

    def build(pixels, arguments):
        x = keras.layers.AveragePooling2D(32, padding="same", dtype=arguments.dtype)(pixels)
        x = keras.layers.Conv2D(4, 1, name="conv", dtype=arguments.dtype)(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name="bn", dtype=arguments.dtype)(x)
        return {"fc7": x}

    monkeypatch.setitem(BUILDERS, "tiny", build)
    monkeypatch.setitem(TRUNKS, "tiny", TrunkSpec(build="tiny"))


def make_config(model=(), loss=(), optimizer=(), training=(), **others):
    data = DataConfig(name="shapes", batch_size=2, flip=False)
    return Config(
        **{"variant": "fcn32s", "data": data, **others},
        model=ModelConfig(**{"trunk": "tiny", **dict(model)}),
        loss=LossConfig(**dict(loss)),
        optimizer=OptimizerConfig(**dict(optimizer)),
        training=TrainingConfig(**{"max_steps": 10, **dict(training)}),
    )


def make_run(source=None, cluster=None, fresh=True, **sections):
    return Run(make_config(**sections), source or grey_source(), cluster, fresh)


def values_of(variables):
    return {variable.path: variable.numpy() for variable in variables}


def share_of_zeros(layer):
    dropped = layer(np.ones((1, 60, 60, 4), "float32"), training=True)
    return (np.asarray(dropped, "float32") == 0).mean()


def test_the_network_is_the_one_that_is_configured():
    given = make_run(
        model={
            "trunk": "vgg19",
            "width": 1 / 32,
            "head_units": 6,
            "fc6_kernel": 3,
            "dropout": 0.25,
            "upsampling": "learned_all",
            "output_stride": 16,
        },
    ).model
    # VGG19's, a 32nd of 64 to 512.
    blocks = [(2, 2), (2, 4), (4, 8), (4, 16), (4, 16)]
    assert {la.name: la.filters for la in given.layers if la.name.startswith("conv")} == {
        f"conv{block}_{index}": filters
        for block, (count, filters) in enumerate(blocks, start=1)
        for index in range(1, count + 1)
    }
    assert given.get_layer("fc6").kernel.shape == (3, 3, 16, 6)
    assert given.get_layer("fc7").kernel.shape == (1, 1, 6, 6)
    assert share_of_zeros(given.get_layer("drop6")) == pytest.approx(0.25, abs=0.02)
    assert share_of_zeros(given.get_layer("drop7")) == pytest.approx(0.25, abs=0.02)
    assert given.get_layer("upscore").trainable
    assert given.get_layer("upscore").strides == (16, 16)

    by_default = make_run(model={"trunk": "vgg16", **NARROWEST}).model
    assert "conv5_4" not in {layer.name for layer in by_default.layers}
    assert by_default.get_layer("conv1_1").kernel.shape == (3, 3, 3, 1)
    assert by_default.get_layer("fc6").kernel.shape == (7, 7, 8, 4)
    assert share_of_zeros(by_default.get_layer("drop6")) == pytest.approx(0.5, abs=0.03)
    assert not by_default.get_layer("upscore").trainable
    assert by_default.get_layer("upscore").strides == (32, 32)
    assert "pad" not in {layer.name for layer in by_default.layers}


def test_the_multi_grid_is_the_one_that_is_configured():
    options = {"trunk": "vgg16", "width": 1 / 64, "multi_grid": [1, 2, 4], "auxiliary_weight": 0.4}
    run = make_run(variant="fcn_resnet50", model=options)
    model = run.model
    # Of a stage whose rate is 4.
    rates = [model.get_layer(f"backbone_layer4_{block}_conv2").dilation_rate for block in range(3)]
    assert rates == [(4, 4), (8, 8), (16, 16)]
    # The auxiliary head is trained and in the checkpoint, and no part of the network.
    head = {f"aux_classifier_{part}" for part in ("0/kernel", "1/gamma", "1/beta")}
    head |= {f"aux_classifier_{part}" for part in ("4/kernel", "4/bias")}
    statistics = {f"aux_classifier_1/moving_{one}" for one in ("mean", "variance")}
    of_model = {variable.path for variable in model.weights}
    assert run.output_weights == (1, 0.4)
    assert {v.path for v in run.in_training.weights} - of_model == head | statistics
    assert head < {variable.path for variable in run.in_training.trainable_variables}
    assert statistics < {variable.path for variable in run.statistics}
    assert {f"model/{path}" for path in head | statistics} < set(run.variables)
    assert not any(layer.name.startswith("aux") for layer in model.layers)


def test_variant_and_geometry_are_those_that_are_configured():
    """And what tells the run from others says so."""
    run = make_run(variant="fcn16s", model={"trunk": "vgg16", "geometry": "caffe", **NARROWEST})
    assert run.model.get_layer("pad").padding == ((100, 100), (100, 100))
    assert run.model.get_layer("upscore16_crop").offset_px == 27
    assert run.about == {"variant": "fcn16s", "geometry": "caffe", "classes": ["a", "b", "c"]}


def test_names_and_colours_of_the_data_are_saved_with_the_model():
    run = make_run()
    assert run.model.class_names == ["a", "b", "c"]
    assert run.model.palette == run.palette == [[0, 0, 0], [200, 10, 20], [1, 2, 3]]
    without = make_run(grey_source(colors=None))
    assert without.model.palette == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]  # PASCAL VOC's


def test_only_the_scores_are_trained_where_the_configuration_says_so(tmp_path):
    save_model(build_fcn("fcn32s", 3, "tiny"), tmp_path / "model.keras")
    start = {"init_from": str(tmp_path / "model.keras"), "optimizer": {"ema": 0.9}}
    scores = ["score_fr/kernel", "score_fr/bias"]
    run = make_run(model={"trainable": "score"}, **start)
    assert [v.path for v in run.model.trainable_variables] == scores
    # The optimizer keeps two arrays for each of them, and the number of its steps.
    assert len(run.optimizer.variables) == 2 * 2 + 1
    assert [v.path for v in run.average.variables if "moving" not in v.path] == scores
    assert len(make_run(**start).model.trainable_variables) == 2 + 2 + 2  # conv, bn, score_fr


@pytest.mark.parametrize(
    ("precision", "computed_in", "scale"),
    [
        ("float32", "float32", 1),
        ("mixed_bfloat16", "bfloat16", 1),
        ("mixed_float16", "float16", 2**15),
    ],
)
def test_layers_compute_in_the_precision_and_float16_scales_the_loss(precision, computed_in, scale):
    run = make_run(training={"precision": precision})
    assert run.model.get_layer("conv").compute_dtype == computed_in
    assert run.model.get_layer("score_fr").compute_dtype == "float32"
    assert run.optimizer.scale_loss(1.0) == scale
    assert run.model.optimizer is run.optimizer  # where callbacks look for it


def saved_start(folder):
    """A model to start from, and its weights by path."""
    model = build_fcn("fcn32s", 3, "tiny", class_names=list("abc"))
    fill(model)
    save_model(model, folder / "model.keras")
    return values_of(model.weights)


def test_weights_and_their_average_start_from_another_run(tmp_path, capsys):
    weights = saved_start(tmp_path)
    given = {"init_from": str(tmp_path), "optimizer": {"ema": 0.9}}
    run = make_run(**given)
    # Of the convolution 2, of the normalization 4, of the scores 2, of the upsampling 1.
    assert capsys.readouterr().out == f"Weights of {tmp_path}: 9 tensors moved.\n"
    assert weights["score_fr/kernel"].any()
    for path, value in weights.items():
        np.testing.assert_array_equal(run.variables[f"model/{path}"], value, err_msg=path)
    averaged = [name for name in run.variables if name.startswith("average/")]
    assert len(averaged) == 8  # all but the upsampling, which is not trained
    for name in averaged:
        np.testing.assert_array_equal(run.variables[name], weights[name.removeprefix("average/")])

    # A resumed run has its own weights, and machines other than the chief get the chief's.
    worker = Cluster(tf.distribute.get_strategy())
    worker.is_chief = False
    for other in (make_run(**given, fresh=False), make_run(**given, cluster=worker), make_run()):
        assert not other.variables["model/score_fr/kernel"].numpy().any()
    assert capsys.readouterr().out == ""


def test_a_trunk_starts_from_the_layers_of_a_classifier_that_are_named(
    tmp_path, capsys, monkeypatch
):
    classifier = keras_vgg16(width=1 / 64, head_units=4)
    classifier.save(tmp_path / "vgg16.keras")
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"trunk": "vgg16", "width": 1 / 64, "weights": "~/vgg16.keras"}
    # A head of other width, which would be refused with all layers.
    given |= {"head_units": 3, "weights_layers": "convolutions"}
    check_start(make_config(model=given))
    run = make_run(model=given)
    kernel = classifier.get_layer("block3_conv1").kernel
    np.testing.assert_array_equal(run.model.get_layer("conv3_1").kernel, kernel)
    assert capsys.readouterr().out == (
        "Weights of ~/vgg16.keras: 26 tensors moved; kept: fc6, fc7, score_fr, upscore; "
        "left out: fc1, fc2, predictions.\n"
    )


MASKS = np.array([[[0, 1, 255], [2, 2, 255]], [[0, 0, 0], [0, 0, 1]]], np.uint8)
LOGITS = np.zeros((2, 2, 3, 3), "float32")  # each of the 10 labelled pixels costs ln 3


def loss_of(run):
    return float(run.loss.total(MASKS, LOGITS) / run.loss.normalizer(MASKS))


def test_the_loss_is_reduced_as_the_configuration_says():
    assert loss_of(make_run()) == pytest.approx(np.log(3))
    assert loss_of(make_run(loss={"reduction": "sum"})) == pytest.approx(10 * np.log(3) / 2)


def test_classes_have_the_weights_of_the_configuration():
    """6 pixels of a, 2 of b and 2 of c."""
    run = make_run(loss={"class_weights": [0.5, 2.0, 3.0], "reduction": "sum"})
    assert loss_of(run) == pytest.approx((6 * 0.5 + 2 * 2 + 2 * 3) * np.log(3) / 2)
    for none in ("none", None):
        assert make_run(loss={"class_weights": none}).loss.class_weights is None


def test_median_frequency_counts_the_masks_of_train(capsys):
    """Frequencies: 9/20, 3/20 and 8/10 of the images that have them; the median is 0.45."""
    run = make_run(loss={"class_weights": "median_frequency"})
    assert run.loss.class_weights == pytest.approx([1.0, 3.0, 0.45 / 0.8])
    said = capsys.readouterr().out
    assert said.startswith("Counting the pixels of each class in train:\n")
    assert said.endswith("Class weights: a 1, b 3, c 0.562.\n")
    run = make_run(loss={"class_weights": "sqrt_median_frequency"})
    assert run.loss.class_weights == pytest.approx([1.0, 3**0.5, 0.75])
    assert capsys.readouterr().out.endswith("Class weights: a 1, b 1.73, c 0.75.\n")


def test_extreme_weights_are_said(monkeypatch, capsys):
    counts = [np.array([9000, 10, 9000])]
    monkeypatch.setattr(fcn_tf.training.run, "count_classes", lambda source, split: counts)
    make_run(loss={"class_weights": "median_frequency"})
    assert "\nA pixel of b counts 900 times as much as one of a." in capsys.readouterr().out
    make_run(loss={"class_weights": "sqrt_median_frequency"})
    assert "A pixel of" not in capsys.readouterr().out


def test_a_sample_is_drawn_from_the_seed_of_the_run():
    masks, logits = np.zeros((1, 20, 20), np.uint8), np.zeros((1, 20, 20, 3), "float32")

    def drawn(fraction, seed=1):
        run = make_run(loss={"sample_fraction": fraction}, seed=seed)
        return [float(run.loss.total(masks, logits, training=True)) for _ in range(3)]

    whole = 400 * np.log(3)
    np.testing.assert_allclose(drawn(1.0), whole, rtol=1e-5)
    sampled = drawn(0.25)
    assert len(set(sampled)) == 3
    # A pixel counts 4 times or not at all: the deviation of the sum is 3 ** 0.5 * 20 * ln 3.
    assert np.abs(np.array(sampled) - whole).max() < 4 * 3**0.5 * 20 * np.log(3)
    assert drawn(0.25) == sampled
    assert drawn(0.25, seed=2) != sampled


def test_what_draws_is_in_the_checkpoint():
    """The states of two dropouts and of the loss, so that a resumed run goes on with them."""
    model = {"trunk": "vgg16", **NARROWEST, "dropout": 0.5}
    run = make_run(model=model, loss={"sample_fraction": 0.5})
    states = [run.variables[f"random/{index}"] for index in range(3)]
    before = [state.numpy() for state in states]
    run.model(np.zeros((1, 32, 32, 3)), training=True)
    run.loss.total(MASKS, LOGITS, training=True)
    assert all((state.numpy() != old).any() for state, old in zip(states, before, strict=True))
    assert "random/0" not in make_run().variables


def test_the_loss_is_the_one_of_its_name(monkeypatch):
    class Other(SegmentationLoss):
        pass

    monkeypatch.setitem(LOSSES, "other", Other)
    assert type(make_run(loss={"name": "other"}).loss) is Other
    assert type(make_run().loss) is SegmentationLoss


def steps_by_hand(start, gradients, rates, momentum, decay, of_biases, clip_norm):
    """The weights after steps of Caffe's SGD with the same gradients; see `CaffeSGD`."""
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    weights, moved = dict(start), dict.fromkeys(start, 0.0)
    for rate in rates:
        for path, gradient in gradients.items():
            name = path.split("/")[-1]
            step = min(1, clip_norm / norm) * gradient
            step = step * (of_biases if name in ("bias", "beta") else 1)
            step = step + (decay * weights[path] if name == "kernel" else 0)
            moved[path] = momentum * moved[path] + rate * step
            weights[path] = weights[path] - moved[path]
    return weights


@pytest.mark.parametrize("schedule", ["poly", "constant"])
def test_the_optimizer_has_the_settings_of_the_configuration(schedule):
    run = make_run(
        optimizer={
            "name": "sgd",
            "learning_rate": 0.5,
            "momentum": 0.6,
            "weight_decay": 0.2,
            "bias_multiplier": 3.0,
            "clip_norm": 2.0,
            "schedule": schedule,
            "warmup_steps": 2,
        },
        training={"max_steps": 4, "eval_every_steps": 3},
    )
    variables = run.model.trainable_variables
    random = np.random.default_rng(0)
    gradients = {v.path: random.normal(size=v.shape) for v in variables}
    start = values_of(variables)
    for _ in range(3):
        run.optimizer.apply([keras.ops.array(g, "float32") for g in gradients.values()], variables)
    left = [1.0, 0.75, 0.5] if schedule == "poly" else [1.0] * 3
    rates = [0.5 * rise * rest**0.9 for rise, rest in zip([0.5, 1, 1], left, strict=True)]
    expected = steps_by_hand(start, gradients, rates, 0.6, 0.2, of_biases=3, clip_norm=2)
    for path, value in values_of(variables).items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_by_default_the_optimizer_is_adam():
    """Its first step moves each weight by the rate, without decay."""
    run = make_run(optimizer={"learning_rate": 0.25})
    variables = run.model.trainable_variables
    start = values_of(variables)
    run.optimizer.apply([3 * keras.ops.ones(v.shape) for v in variables], variables)
    for path, value in values_of(variables).items():
        np.testing.assert_allclose(value, start[path] - 0.25, rtol=1e-5, err_msg=path)


def test_the_running_average_holds_weights_and_statistics():
    """With a decay of 0.1 it is a tenth of the start, and the rest of what is now."""
    run = make_run(optimizer={"ema": 0.1})
    start = values_of(run.model.weights)
    fill(run.model)
    now = values_of(run.model.weights)
    run.average.update(run.cluster.strategy, tf.constant(1))
    averaged = {name for name in run.variables if name.startswith("average/")}
    parts = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")
    assert averaged == {
        *(f"average/{layer}/{part}" for layer in ("conv", "score_fr") for part in parts[0]),
        *(f"average/bn/{part}" for part in parts[1]),
    }
    for name in averaged:
        path = name.removeprefix("average/")
        expected = 0.1 * start[path] + 0.9 * now[path]
        np.testing.assert_allclose(
            run.variables[name], expected, rtol=1e-5, atol=1e-7, err_msg=name
        )
        assert np.abs(now[path] - start[path]).min() > 1e-3
    assert not [name for name in make_run().variables if name.startswith("average/")]
