import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.evaluation import batches
from fcn_tf.evaluation.batches import SegmentationMetrics
from fcn_tf.evaluation.metrics import SCORES, confusion_matrix, scores_from_confusion
from fcn_tf.training.segmentation_loss import SegmentationLoss
from tests.evaluation.test_metrics import EXPECTED, MATRIX, PREDICTION, TRUTH
from tests.extras import needs_extra
from tests.networks import narrow_fcn, random_images
from tests.processes import ROOT


def one_hot(labels, num_classes):
    return np.eye(num_classes, dtype="float32")[labels]


def test_the_keras_metric_gives_the_same():
    metric = SegmentationMetrics(4)
    metric.update_state(TRUTH[None], one_hot(PREDICTION[None], 4))
    np.testing.assert_array_equal(metric.matrix, MATRIX)
    assert metric.matrix.dtype == "int64"
    assert {variable.dtype for variable in metric.variables} == {"int64"}  # of TensorFlow
    assert metric.result().keys() == SCORES.keys()
    for name, value in metric.result().items():
        np.testing.assert_allclose(value, EXPECTED[name], rtol=1e-6, err_msg=name)


def test_the_keras_metric_is_made_again_from_its_config():
    metric = SegmentationMetrics.from_config(SegmentationMetrics(4, name="mine").get_config())
    assert (metric.num_classes, metric.name) == (4, "mine")


# Shapes of masks and of logits.
@pytest.mark.parametrize(
    ("masks", "logits"),
    [
        ((2, 3, 4), (2, 3, 4, 5)),
        ((2, 3, 4, 1), (2, 3, 4, 5)),
        ((2, 3, 1), (2, 3, 1, 5)),  # one column, and no axis too many
        ((2, 3, 1, 1), (2, 3, 1, 5)),
    ],
)
def test_shapes_that_fit(masks, logits):
    taken = batches.masks_like(np.arange(np.prod(masks)).reshape(masks), np.zeros(logits))
    np.testing.assert_array_equal(taken, np.arange(np.prod(masks)).reshape(logits[:3]))


@pytest.mark.parametrize(
    ("masks", "logits", "message"),
    [
        ((2, 3), (2, 3, 4, 5), "masks must be"),
        ((2, 3, 4, 0), (2, 3, 4, 5), "masks must be"),
        ((2, 3, 4, 2), (2, 3, 4, 5), "masks must be"),
        ((2, 3, 4, 5), (2, 3, 4, 5), "masks must be"),  # one-hot
        ((3, 3, 4), (2, 3, 4, 5), "masks must be"),
        ((1, 3, 4), (2, 3, 4, 5), "masks must be"),
        ((2, 3, 4), (2, 3, 4), "masks must be"),
        ((2, 3, 4), (2, 3, 4, 5, 6), "masks must be"),
        ((2, 3, 4), (2, 3, 4, 1), "channels of the logits"),
    ],
)
def test_shapes_that_do_not_fit(masks, logits, message):
    with pytest.raises(InputError, match=message):
        batches.masks_like(np.zeros(masks), np.zeros(logits))


def test_masks_whose_number_of_axes_is_not_known_are_refused():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.uint8)], autograph=False)
    def take(masks):
        return batches.masks_like(masks, tf.zeros((2, 3, 4, 5)))

    with pytest.raises(InputError, match="number of axes of the masks is not known"):
        take(tf.zeros((2, 3, 4), tf.uint8))


def test_masks_may_have_a_last_axis_of_1_and_no_other_shape():
    truth, logits = TRUTH[None, ..., None], one_hot(PREDICTION[None], 4)  # (1, 1, 8, 1 and 4)
    metric = SegmentationMetrics(4)
    metric.update_state(truth, logits)
    np.testing.assert_array_equal(metric.matrix, MATRIX)
    for wrong in (
        truth.reshape(1, 8, 1),
        truth.reshape(1, 2, 4),
        truth[0, ..., 0],
        truth[:, :, :1],
    ):
        with pytest.raises(InputError, match=r"logits \(1, 1, 8, 4\): masks must be"):
            metric.update_state(wrong, logits)
    with pytest.raises(InputError, match="4 channels, but num_classes=5"):
        SegmentationMetrics(5).update_state(truth, logits)
    with pytest.raises(InputError, match="num_classes=256"):
        SegmentationMetrics(256)


COUNT_MANY = """
import keras
import numpy as np

from fcn_tf.evaluation import batches, metrics

batch = np.array([[2**30 - 1, 2**28], [7, 3 * 2**27]], np.int32)
batches.count_pixels = lambda *_: keras.ops.array(batch)
metric = batches.SegmentationMetrics(2)
for _ in range(10):
    metric.update_state(None, None)
assert metric.matrix.max() > 2**33
np.testing.assert_array_equal(metric.matrix, 10 * batch.astype(np.int64))
for word in metric.variables:
    assert keras.ops.convert_to_numpy(word).max() < 2**30
assert keras.ops.convert_to_numpy(metric.variables[1]).max() == 9  # below 10 * 2**30
expected = metrics.scores_from_confusion(10 * batch.astype(np.int64))
for name, value in metric.result().items():
    np.testing.assert_allclose(value, expected[name], rtol=1e-6, err_msg=name)
"""


def test_counts_go_beyond_32_bits(monkeypatch):
    monkeypatch.setattr(batches, "count_pixels", None)  # put back what the script replaces
    exec(COUNT_MANY, {})


@pytest.mark.slow
@needs_extra("backends", "jax")
def test_counts_go_beyond_32_bits_on_jax_which_has_no_others():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    masks = """
from fcn_tf.training.segmentation_loss import SegmentationLoss

logits = np.zeros((2, 2, 2, 3), "float32")
for label in (3, 4, -1):  # no class: in a compiled function JAX cannot raise
    assert np.isnan(SegmentationLoss()(np.full((2, 2, 2), label), logits))
for label in range(3):
    loss = SegmentationLoss()(np.full((2, 2, 2), label), logits)
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", COUNT_MANY + masks],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_one_pass_equals_two_halves():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (6, 9, 9), dtype=np.uint8)
    truth[rng.random(truth.shape) < 0.2] = VOID
    logits = rng.normal(size=(6, 9, 9, 4)).astype("float32")
    whole, halves = SegmentationMetrics(4), SegmentationMetrics(4)
    whole.update_state(truth, logits)
    for part in (np.s_[:2], np.s_[2:]):
        halves.update_state(truth[part], logits[part])
    np.testing.assert_array_equal(whole.matrix, halves.matrix)
    np.testing.assert_array_equal(whole.matrix, confusion_matrix(truth, logits.argmax(-1), 4))
    whole.reset_state()
    assert not np.any(whole.matrix)


def test_loss_and_metric_serve_compile_and_fit():
    model = narrow_fcn("fcn32s", num_classes=4, dropout=0.0)
    model.compile(
        keras.optimizers.SGD(0.0), loss=SegmentationLoss(), metrics=[SegmentationMetrics(4)]
    )
    images = random_images(4, 40, 40, 3)
    masks = np.random.default_rng(0).integers(0, 4, (4, 40, 40), dtype=np.uint8)
    masks[:, :10] = VOID
    history = model.fit(
        images, masks, batch_size=4, validation_data=(images, masks), verbose=0
    ).history
    logits = model(images).numpy()
    scores = scores_from_confusion(confusion_matrix(masks, logits.argmax(-1), 4))
    for name in SCORES:
        assert history[name][0] == pytest.approx(scores[name], rel=1e-5)
        assert history[f"val_{name}"][0] == pytest.approx(scores[name], rel=1e-5)
    assert history["loss"][0] == pytest.approx(float(SegmentationLoss()(masks, logits)), rel=1e-5)


def test_a_sample_weight_is_refused():
    with pytest.raises(ValueError, match="sample_weight"):
        SegmentationMetrics(4).update_state(TRUTH, one_hot(PREDICTION, 4), sample_weight=1)
