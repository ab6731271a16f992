"""Choices of the configuration that other rooms have too."""

from typing import get_args

from fcn_tf.config.schema import LossConfig, VocConfig
from fcn_tf.data.voc import PUBLISHED_SIZES
from fcn_tf.training.segmentation_loss import REDUCTIONS


def test_choices_are_those_of_the_tables():
    assert get_args(VocConfig) == tuple(PUBLISHED_SIZES)
    reduction = LossConfig.__annotations__["reduction"]
    assert all(choice in reduction for choice in REDUCTIONS)
