from dataclasses import replace

import numpy as np

from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source
from fcn_tf.data.frequencies import (
    count_classes,
    extreme_weights,
    label_counts,
    median_frequency_weights,
    sqrt_median_frequency_weights,
)
from fcn_tf.data.skipped import Skipped
from tests.data.test_layouts import arrays, write_labelme
from tests.sources import numbered_pair, source_of


def test_weights_by_hand():
    """Frequencies: 90/200, 30/200 and 80/100 of the images that have them; the median is 0.45."""
    counts = [[80, 20, 0, 0], [10, 10, 80, 0]]
    weights = median_frequency_weights(counts)
    np.testing.assert_allclose(weights, [1.0, 0.45 / 0.15, 0.45 / 0.8, 1.0])


def test_a_single_pixel_is_an_occurrence():
    """Frequencies: 1/4 of the one image that has it, and 7/8 of both; the median is 9/16."""
    weights = median_frequency_weights([[1, 3], [0, 4]])
    np.testing.assert_allclose(weights, [9 / 16 / (1 / 4), 9 / 16 / (7 / 8)])


def test_there_are_as_many_counts_as_classes():
    """Up to 255 classes, of which these masks have the first and the last."""
    names = tuple(map(str, range(255)))
    masks = [np.full((2, 3), label, np.uint8) for label in (0, 254)]
    source = source_of(names, train=[(np.dstack([mask] * 3), mask) for mask in masks])
    for counts, label in zip(count_classes(source, "train"), (0, 254), strict=True):
        np.testing.assert_array_equal(counts, 6 * np.eye(255, dtype=int)[label])


def test_classes_that_never_occur_weigh_1():
    assert median_frequency_weights([[0, 0], [0, 0]]) == [1, 1]
    assert median_frequency_weights(np.zeros((0, 2), int)) == [1, 1]


def test_square_roots_by_hand():
    counts = [[80, 20, 0, 0], [10, 10, 80, 0]]
    weights = sqrt_median_frequency_weights(counts)
    np.testing.assert_allclose(weights, [1.0, 3**0.5, 0.75, 1.0])


def test_the_largest_weight_over_the_smallest_is_warned_of_above_100():
    for largest in (40, 50):
        assert extreme_weights([0.5, largest, 1], ("road", "crack", "car")) is None
    said = extreme_weights([50.6, 0.5, 1], ("crack", "road", "car"))
    assert said.startswith("A pixel of crack counts 101 times as much as one of road. Above 100,")
    assert "--loss.class_weights sqrt_median_frequency" in said


def test_a_record_that_is_skipped_has_no_pixel():
    image, mask = numbered_pair(1, 3)
    pairs = [(image, mask), (image, mask.astype(np.float32))]  # the second cannot be decoded
    source = replace(source_of(train=pairs), skipped=Skipped())
    counts = list(label_counts(source, "train"))
    assert [(c.labelled.tolist(), c.unlabelled_px) for c in counts] == [
        ([1, 1, 1], 0),
        ([0] * 3, 0),
    ]
    assert len(source.skipped) == 1


def test_pixels_are_those_of_the_masks(tmp_path, capsys):
    write_labelme(tmp_path)
    source = open_source(DataConfig(name="folder", data_dir=str(tmp_path)))
    for split, images in (("train", 2), ("val", 1)):
        files = [r["image"].decode() for r in source.records(split).as_numpy_iterator()]
        counts = list(count_classes(source, split))
        for file, pixels in zip(files, counts, strict=True):
            labels = arrays(file.split("/")[-1].split(".")[0])[1]
            assert pixels.tolist() == [(labels == index).sum() for index in range(3)]
        assert sum(map(sum, counts)) == images * (24 * 32 - 6)
        assert f" {images}/{images} " in capsys.readouterr().out
