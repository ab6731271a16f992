import keras
import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.evaluation.metrics import (
    SCORES,
    SegmentationMetrics,
    confusion_matrix,
    scores_from_confusion,
)
from fcn_tf.training.losses import SegmentationLoss
from tests.networks import narrow_fcn, random_images

# Class 2 is in neither; class 3 is predicted and not there.
TRUTH = np.array([[0, 0, 0, 0, 1, 1, 1, VOID]], np.uint8)
PREDICTION = np.array([[0, 0, 1, 3, 1, 1, 0, 1]], np.uint8)
MATRIX = [[2, 1, 0, 1], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
EXPECTED = {
    "pixel_accuracy": 4 / 7,
    "mean_accuracy": (2 / 4 + 2 / 3) / 2,
    "mean_iou": (2 / 5 + 2 / 4 + 0 / 1) / 3,
    "frequency_weighted_iou": (4 * 2 / 5 + 3 * 2 / 4) / 7,
}


def test_scores_by_hand():
    matrix = confusion_matrix(TRUTH, PREDICTION, 4)
    np.testing.assert_array_equal(matrix, MATRIX)
    scores = scores_from_confusion(matrix)
    for name in SCORES:
        np.testing.assert_allclose(scores[name], EXPECTED[name], err_msg=name)
    np.testing.assert_allclose(scores["class_iou"], [2 / 5, 2 / 4, np.nan, 0])


def test_a_class_of_one_pixel_counts_like_another():
    """Class 0 has one pixel, which is found; of four of class 1 one is taken for it."""
    scores = scores_from_confusion([[1, 0], [1, 3]])
    assert scores["mean_accuracy"] == pytest.approx((1 + 3 / 4) / 2)
    assert scores["mean_iou"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert scores["frequency_weighted_iou"] == pytest.approx((1 * 1 / 2 + 4 * 3 / 4) / 5)


def test_without_a_label_every_score_is_undefined():
    matrix = confusion_matrix(np.full((3, 3), VOID), np.zeros((3, 3), int), 2)
    assert not matrix.any()
    assert all(np.isnan(scores_from_confusion(matrix)[name]) for name in SCORES)


def one_hot(labels, num_classes):
    return np.eye(num_classes, dtype="float32")[labels]


def test_the_keras_metric_gives_the_same():
    metric = SegmentationMetrics(4)
    metric.update_state(TRUTH[None], one_hot(PREDICTION[None], 4))
    np.testing.assert_array_equal(metric.matrix, MATRIX)
    assert metric.matrix.dtype == "int64"
    assert metric.result().keys() == SCORES.keys()
    for name, value in metric.result().items():
        np.testing.assert_allclose(value, EXPECTED[name], rtol=1e-6, err_msg=name)


def test_the_keras_metric_is_made_again_from_its_config():
    metric = SegmentationMetrics.from_config(SegmentationMetrics(4, name="mine").get_config())
    assert (metric.num_classes, metric.name) == (4, "mine")


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
