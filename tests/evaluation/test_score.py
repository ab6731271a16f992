"""Parts of a split added up and divided once; a model against a data set's classes."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from fcn_tf.classes import VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.errors import InputError
from fcn_tf.evaluation.score import (
    Counts,
    check_classes,
    evaluate,
    evaluate_split,
    read_as_model,
)
from fcn_tf.inference.loaded import LoadedModel


def test_a_split_is_added_up_and_divided_once():
    """Parts of three, one and no labelled images: no score is a mean of the parts' scores."""
    edges = np.arange(12).reshape(3, 2, 2)
    calibration = np.arange(6.0).reshape(2, 3)
    parts = [
        Counts(np.array([[6, 2], [0, 0]]), 6.0, 3, edges, calibration),
        Counts(np.zeros((2, 2), int)),
        Counts(np.array([[0, 1], [0, 3]]), 4.0, 1, 10 * edges, 10 * calibration),
    ]
    found = evaluate_split(iter(parts), 2)
    np.testing.assert_array_equal(found.confusion, [[6, 3], [0, 3]])
    assert found.scores["pixel_accuracy"] == pytest.approx(9 / 12)
    assert found.scores["mean_iou"] == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert found.loss == pytest.approx((6 + 4) / 4)
    np.testing.assert_allclose(found.part_ious, [(6 / 8 + 0) / 2, np.nan, (0 + 3 / 4) / 2])
    np.testing.assert_array_equal(found.edges, 11 * edges)
    np.testing.assert_array_equal(found.calibration, 11 * calibration)


def test_what_was_not_counted_is_not_there():
    found = evaluate_split([Counts(np.eye(2, dtype=int)), Counts(np.eye(2, dtype=int))], 2)
    assert found.loss is None
    assert found.edges is None
    assert found.calibration is None


def model(class_names, num_classes=2):
    """A `LoadedModel` that answers the red of the image."""
    return LoadedModel(
        scores=None,
        labels=lambda images: images[..., 0],
        num_classes=num_classes,
        class_names=class_names,
        palette=[[0, 0, 0]] * num_classes,
        margin_px=None,
    )


def test_scores_of_a_model_on_a_data_set():
    """Four pixels are sky and one of them is taken for road, one is road, one is not labelled."""
    examples = []
    for truth, red in (([[0, 0, 1]], [[0, 1, 1]]), ([[0, 0], [VOID, 0]], [[0, 0], [1, 0]])):
        green = np.full_like(red, 1)  # only the red says what the answer is
        image = np.stack([red, green, green], axis=-1).astype(np.uint8)
        mask = np.array(truth, np.uint8)[..., None]
        examples.append({"image": image, "segmentation_mask": mask})
    examples[1]["segmentation_mask"] = examples[1]["segmentation_mask"][..., 0]  # (H, W) is as good
    scores = evaluate(model(("sky", "road")), examples)
    np.testing.assert_array_equal(scores["confusion_matrix"], [[4, 1], [0, 1]])
    np.testing.assert_allclose(scores["class_iou"], [4 / 5, 1 / 2])
    assert scores["pixel_accuracy"] == pytest.approx(5 / 6)
    assert scores["mean_accuracy"] == pytest.approx((4 / 5 + 1) / 2)
    assert scores["mean_iou"] == pytest.approx((4 / 5 + 1 / 2) / 2)
    assert scores["frequency_weighted_iou"] == pytest.approx((5 * 4 / 5 + 1 / 2) / 6)


def test_the_classes_of_model_and_data_are_the_same():
    source = SimpleNamespace(class_names=("sky", "road"))
    check_classes(model(("sky", "road")), source, "m")
    check_classes(model(None), source, "m")  # only their number is known
    for classes, known, how in (
        (("road", "sky"), "road, sky", " They are the same in another order, so the values "
         "of the masks mean other classes: bring the masks to the model's order."),
        (("sky", "track"), "sky, track", " The data set says road for track: if these are the "
         "same classes, call them as the model does."),
        (("sky", "road", "car"), "sky, road, car", ""),
        (None, "0, 1, 2", ""),
    ):  # fmt: skip
        other = model(classes, num_classes=known.count(",") + 1)
        message = f"runs/a knows the classes {known}, but the data set has sky, road.{how}"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            check_classes(other, source, "runs/a")


def test_images_are_read_as_the_model_was_trained(capsys):
    model = SimpleNamespace(value_range=(0.0, 4095.0), bands=(4, 3, 2))
    read = read_as_model(DataConfig(data_dir="a"), model)
    assert (read.value_range, read.bands) == (model.value_range, model.bands)
    assert capsys.readouterr().out == ""
    own = DataConfig(data_dir="a", value_range=(0, 4095), bands=(3, 2, 1))
    assert read_as_model(own, model) == own
    line = "data.bands=[3, 2, 1]: the model was trained with [4, 3, 2].\n"
    assert capsys.readouterr().out == line
    assert read_as_model(own, SimpleNamespace(value_range=None, bands=None)) == own
    assert capsys.readouterr().out == ""
