"""What is meant to be extended is extended in a few lines, and works."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from PIL import Image

from fcn_tf.classes import VOID
from fcn_tf.config.networks import FROM_MINUS_1_TO_1, LAST, TRUNKS, application_trunk
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from fcn_tf.data import layouts, open_source, training_batches, whole_images
from fcn_tf.errors import InputError
from fcn_tf.evaluation.batches import SegmentationMetrics
from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.evaluation.report import write_report
from fcn_tf.exporting.export import export
from fcn_tf.exporting.formats import FORMATS, Bar, Format, Kind
from fcn_tf.exporting.options import ExportOptions
from fcn_tf.inference.loaded import LoadedModel
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import build_fcn, load_model, load_trunk, save_model
from fcn_tf.training.loop import train
from fcn_tf.training.losses import LOSSES, TrainingLoss
from fcn_tf.training.run import Run
from fcn_tf.training.segmentation_loss import SegmentationLoss
from tests.networks import fill, narrow_fcn, random_images
from tests.sources import source_of


class SoftDice(TrainingLoss):
    """1 - the mean over the classes of 2 sum(t p) / (sum(t + p) + 1), over the whole batch.

    t is 1 where a pixel is of the class, p the class's probability; pixels under VOID are 0.
    """

    needs_sums = True

    def __init__(self, **options):
        pass

    def normalizer(self, y_true):
        return ops.cast(ops.shape(y_true)[0], "float32")

    def sums(self, y_true, y_pred):
        valid = ops.not_equal(y_true, VOID)
        truth = ops.one_hot(ops.where(valid, ops.cast(y_true, "int32"), -1), y_pred.shape[-1])
        scores = ops.softmax(y_pred) * ops.cast(valid, "float32")[..., None]
        both, either = truth * scores, truth + scores  # (N, H, W, C)
        # Axis by axis: one long float32 sum would be off by more than the test allows.
        both, either = (ops.sum(ops.sum(ops.sum(x, 2), 1), 0) for x in (both, either))
        return both, either, self.normalizer(y_true)

    def total(self, y_true, y_pred, training=False, sums=None):
        own = self.sums(y_true, y_pred)
        if sums is not None:  # the values of the whole step, the gradient of this share
            own = [s + (o - ops.stop_gradient(o)) for s, o in zip(sums, own, strict=True)]
        both, either, images = own
        loss = 1 - ops.mean(2 * both / (either + 1))
        value = ops.stop_gradient(loss)
        return self.normalizer(y_true) * value + images * (loss - value)


class Asking(SegmentationLoss):
    """Makes the loop take the first pass, for nothing."""

    needs_sums = True

    def sums(self, y_true, y_pred):
        return ops.sum(y_pred)

    def total(self, y_true, y_pred, training=False, sums=None):
        assert sums is not None
        return super().total(y_true, y_pred, training)


def noise_source(classes=3, side_px=48):
    """Four images of noise in blocks, and their masks, in memory."""
    random = np.random.default_rng(0)
    masks = random.integers(0, classes, (4, side_px // 8, side_px // 8, 1)).astype("uint8")
    masks = masks.repeat(8, axis=1).repeat(8, axis=2)
    masks[::2, :8] = VOID
    images = random.integers(0, 60, (*masks.shape[:3], 3)) + 80 * (masks % 3)
    pairs = list(zip(images.astype(np.uint8), masks[..., 0], strict=True))
    return source_of(tuple("abcdefgh"[:classes]), train=pairs, val=pairs)


def dice_steps(batch_size, accumulate_steps=1, **network):
    """The losses of three steps with the loss "dice", and the weights after them."""
    keras.utils.set_random_seed(1)
    config = Config(
        data=DataConfig(name="shapes", batch_size=batch_size, flip=False),
        model=ModelConfig(**{"width": 0.0625, "head_units": 16, "dropout": 0.0, **network}),
        loss=LossConfig(name="dice"),
        optimizer=OptimizerConfig(name="sgd", learning_rate=1e-5, schedule="constant"),
        training=TrainingConfig(accumulate_steps=accumulate_steps),
    )
    run = Run(config, noise_source())
    run.feed()
    losses, _ = run.train_call(tf.constant(3))
    return losses.numpy(), {variable.path: variable.numpy() for variable in run.model.weights}


def assert_same_steps(one, other, tolerance=1e-5):
    np.testing.assert_allclose(one[0], other[0], rtol=tolerance)
    for path, value in one[1].items():
        difference = np.abs(other[1][path] - value).max()
        assert difference <= tolerance * np.abs(value).max(), path


def test_a_loss_is_one_entry(monkeypatch):
    """Soft dice is no sum over pixels; two batches of two take the steps of one of four."""
    monkeypatch.setitem(LOSSES, "dice", SoftDice)
    whole = dice_steps(batch_size=4)
    assert_same_steps(whole, dice_steps(batch_size=2, accumulate_steps=2))
    assert whole[0][0] > whole[0][1] > whole[0][2]
    # Before the first step every probability is 1/3, so that the loss follows from the masks.
    config = DataConfig(name="shapes", batch_size=4, flip=False)
    _, masks = next(iter(training_batches(noise_source(), config, seed=0)))
    counts = np.bincount(masks.numpy().ravel(), minlength=256)[:3]
    dice = 2 * counts / 3 / (counts + counts.sum() / 3 + 1)
    np.testing.assert_allclose(whole[0][0], 1 - dice.mean(), rtol=1e-5)


def test_the_first_pass_of_a_loss_leaves_no_trace(monkeypatch):
    """The steps are those of a loss that does without: the dropout is drawn once.

    Of the running statistics tests/training/test_steps.py says the same.
    """
    monkeypatch.setitem(LOSSES, "dice", Asking)
    two_passes = dice_steps(batch_size=2, accumulate_steps=2, dropout=0.5)
    monkeypatch.setitem(LOSSES, "dice", SegmentationLoss)
    assert_same_steps(two_passes, dice_steps(batch_size=2, accumulate_steps=2, dropout=0.5))


def test_a_loss_that_does_not_exist_is_refused_before_any_work(tmp_path):
    config = Config(loss=LossConfig(name="x"))
    with pytest.raises(InputError, match=r"^loss\.name='x': it must be one of cross_entropy, dice"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# TensorFlow's GraphDef, right or with its classes in reverse order. `run` itself sees to it that
# it is in a process without this package.
GRAPH_FORMAT = """
from collections.abc import Callable

import tensorflow as tf

ENDING = ".pb"


def write(job, kind, folder):
    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8, name="image")])
    def scores(image):
        logits = job.logits(image)
        return tf.nn.softmax(logits)

    path = folder / f"{job.stem}-{kind}{ENDING}"
    path.write_bytes(scores.get_concrete_function().graph.as_graph_def().SerializeToString())
    return path


def run(artefact: str) -> Callable:
    import sys
    from pathlib import Path

    import tensorflow as tf

    assert "fcn_tf" not in sys.modules
    definition = tf.compat.v1.GraphDef.FromString(Path(artefact).read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    session = tf.compat.v1.Session(graph=graph)
    return lambda image: {"scores": session.run("Identity:0", {"image:0": image[None]})[0]}
"""


def test_an_export_format_is_a_file_and_an_entry(monkeypatch, tmp_path):
    """It is compared and published; tests/exporting/test_formats.py has what is refused."""
    (tmp_path / "graph_format.py").write_text(GRAPH_FORMAT)
    monkeypatch.syspath_prepend(tmp_path)
    bar = Bar(largest_difference=1e-5, same_label=0.9999, margin=1e-5)
    entry = Format(
        title="GraphDef",
        module="graph_format",
        kinds={"float32": Kind(bar=bar)},
    )
    monkeypatch.setitem(FORMATS, "graph", entry)
    model = narrow_fcn("fcn32s", 3)
    export(model, tmp_path / "out", options=ExportOptions(formats="graph"))
    version = tmp_path / "out/graph/1"
    names = sorted(path.name for path in version.iterdir())
    assert names == ["README.md", "export.json", "labels.txt", "out-float32.pb"]
    measured = json.loads((version / "export.json").read_text())["artefacts"]
    assert list(measured) == ["float32"]
    assert measured["float32"]["file"] == "out-float32.pb"
    assert measured["float32"]["bytes"] == (version / "out-float32.pb").stat().st_size
    assert measured["float32"]["largest_difference"] <= 1e-5
    assert measured["float32"]["same_label"] == 1


def worst_iou(xp, of):
    """The IU of the worst class; all of them have to occur."""
    return xp.min(of.iou)


def test_a_metric_is_one_entry(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(SCORES, "worst_iou", worst_iou)
    # Class 0 is left and class 1 right, and the prediction takes half of class 0 for class 1.
    truth = np.zeros((40, 40), np.uint8)
    truth[:, 20:] = 1
    labels = np.zeros_like(truth)
    labels[:, 10:] = 1
    model = LoadedModel(
        scores=None,
        labels=lambda images: labels[None],
        num_classes=2,
        class_names=("left", "right"),
        palette=[[0, 0, 0], [255, 0, 0]],
        margin_px=None,
    )
    source = source_of(("left", "right"), val=[(np.zeros((40, 40, 3), np.uint8), truth)])
    write_report({"model": Predictor(model)}, source, "val", tmp_path)
    assert json.loads((tmp_path / "scores.json").read_text())["worst_iou"] == 400 / 800
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("worst IU"))
    assert line.split() == ["worst", "IU", "50.0", "%"]
    metric = SegmentationMetrics(2)
    metric.update_state(truth[None], np.eye(2, dtype="float32")[labels][None])
    assert float(metric.result()["worst_iou"]) == 400 / 800


def test_a_trunk_of_keras_applications_is_one_entry(monkeypatch, tmp_path):
    entry = application_trunk(
        "MobileNet",
        pool3="conv_pw_5_relu",
        pool4="conv_pw_11_relu",
        fc7="conv_pw_13_relu",
        rgb=FROM_MINUS_1_TO_1,
        centre=LAST,
    )
    monkeypatch.setitem(TRUNKS, "mobilenet_v1", entry)
    config = ModelConfig(trunk="mobilenet_v1", width=1 / 16)
    assert Config(model=config).model.trunk == "mobilenet_v1"
    model = build_fcn("fcn8s", 5, "mobilenet_v1", width=1 / 16)
    fill(model)

    # The maps have 64, 32 and 16 channels. The cells' centres lie on pixels, so that the
    # upsampling kernels are odd: 3, 3 and 15.
    options = {"alpha": 1 / 16, "include_top": False, "weights": None}
    classifier = keras.applications.MobileNet(input_shape=(64, 96, 3), **options)
    scores = 5 * (64 + 1) + 5 * (32 + 1) + 5 * (16 + 1)
    upsampling = 5**2 * (3**2 + 3**2 + 15**2)
    assert model.count_params() == classifier.count_params() + scores + upsampling

    fill(classifier, seed=1)
    first = classifier.get_layer("conv1").kernel
    first.assign(70 * first)  # `fill` takes the name for that of a layer that sees 0..255
    classifier.save(tmp_path / "classifier.keras")
    transfer = load_trunk(model, tmp_path / "classifier.keras")
    assert len(transfer.moved) == len(classifier.weights)
    image = random_images(1, 64, 96, 3)
    pixels = keras.applications.mobilenet.preprocess_input(image.astype("float32"))
    preprocessing = keras.Model(model.inputs[0], model.get_layer("preprocessing").output)
    np.testing.assert_allclose(preprocessing(image), pixels, atol=1e-6)
    for score, layer, cells in (
        ("score_pool3", "conv_pw_5_relu", (64 // 8, 96 // 8)),
        ("score_pool4", "conv_pw_11_relu", (64 // 16, 96 // 16)),
        ("score_fr", "conv_pw_13_relu", (64 // 32, 96 // 32)),
    ):
        ours = keras.Model(model.inputs[0], model.get_layer(score).input)(image, training=False)
        features = keras.Model(classifier.inputs[0], classifier.get_layer(layer).output)
        theirs = features(pixels, training=False)
        assert ours.shape[1:3] == cells
        assert np.std(theirs, axis=(1, 2)).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)

    image = random_images(1, 75, 101, 3)
    logits = model(image, training=False).numpy()
    assert logits.shape == (1, 75, 101, 5)
    assert logits.std(axis=(1, 2)).min() > 0
    save_model(model, tmp_path / "model.keras")
    np.testing.assert_allclose(
        load_model(tmp_path / "model.keras")(image, training=False), logits, rtol=1e-6
    )


def write_photos(folder, classes=3):
    """Two photographs and masks for training and one for validation, as no tool lays them out."""
    random = np.random.default_rng(0)
    written = {}
    for split, names in (("train", "ab"), ("val", "c")):
        for name in names:
            image = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
            mask = random.integers(0, classes, (8, 12), dtype=np.uint8)
            mask[0, :3] = VOID
            for kind, pixels in (("photos", image), ("labels", mask)):
                path = folder / kind / split / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
            written[split, f"{name}.png"] = image, mask
    (folder / "classes.txt").write_text("\n".join("abcdefgh"[:classes]))
    return written


def test_a_layout_is_one_entry(monkeypatch, tmp_path):
    """Its pairs are found, and the messages know it."""
    written = write_photos(tmp_path / "data")
    (tmp_path / "data/labels").rename(tmp_path / "data/drawn")
    config = DataConfig(name="folder", data_dir=str(tmp_path / "data"))
    with pytest.raises(InputError, match="no images with masks that are recognised"):
        open_source(config)

    camera = layouts.Layout.of("photos/SPLIT/* + drawn/SPLIT/*", "camera", "a camera")
    monkeypatch.setattr(layouts, "LAYOUTS", (*layouts.LAYOUTS, camera))
    source = open_source(config)
    assert source.split_sizes == {"train": 2, "val": 1}
    read = {
        (split, example["file_name"].decode()): example
        for split in source.split_sizes
        for example in whole_images(source, split).as_numpy_iterator()
    }
    assert read.keys() == written.keys()
    for pair, (image, mask) in written.items():
        np.testing.assert_array_equal(read[pair]["image"], image)
        np.testing.assert_array_equal(read[pair]["segmentation_mask"][..., 0], mask)

    with pytest.raises(InputError, match=r"cityscapes, .*, ade20k, camera, labelme, coco\.$"):
        open_source(replace(config, layout="?"))
