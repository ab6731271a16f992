"""Unpooling against torch's, which goes by indices; and where a window has equal values."""

import keras
import numpy as np
import pytest

from fcn_tf.models.unpooling import MaxUnpooling2D, PoolingIndices
from tests.models.test_published import needs_torch


def unpooled(values, maps):
    result = MaxUnpooling2D()([values, PoolingIndices()(maps)])
    return keras.ops.convert_to_numpy(result)


@needs_torch
@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (1, 6), (5, 7), (6, 9), (32, 34)])
def test_it_is_torchs_bit_for_bit(sides):
    """Of five whole numbers, so that most windows have equal values; negative ones too."""
    import torch
    from torch.nn import functional as F

    random = np.random.default_rng(0)
    maps = random.integers(-4, 1, (2, *sides, 3)).astype("float32")
    nchw = torch.from_numpy(maps).permute(0, 3, 1, 2)
    pooled, indices = F.max_pool2d(nchw, 2, 2, ceil_mode=True, return_indices=True)
    values = torch.from_numpy(random.standard_normal(pooled.shape, "float32"))
    expected = F.max_unpool2d(values, indices, 2, 2, output_size=sides).permute(0, 2, 3, 1)
    found = unpooled(values.permute(0, 2, 3, 1).numpy(), maps)
    np.testing.assert_array_equal(found[:, : sides[0], : sides[1]], expected)
    assert not found[:, sides[0] :].any()
    assert not found[:, :, sides[1] :].any()


def test_of_equal_values_the_first_wins():
    maps = np.float32([[3, 3, 1, 2], [3, 3, 2, 1], [0, 5, 0, 0], [5, 0, 0, 4]])
    values = np.float32([[7, -8], [9, 6]])
    expected = np.float32([[7, 0, 0, -8], [0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 0, 6]])
    found = unpooled(values[None, ..., None], maps[None, ..., None])
    np.testing.assert_array_equal(found[0, ..., 0], expected)


def test_the_gradient_goes_the_way_of_the_values():
    import tensorflow as tf

    maps = np.float32([[1, 2], [4, 3]])[None, ..., None]
    values = tf.Variable([[[[10.0]]]])
    weights = np.float32([[1, 10], [100, 1000]])[None, ..., None]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * MaxUnpooling2D()([values, PoolingIndices()(maps)]))
    assert tape.gradient(total, values).numpy().item() == 100
