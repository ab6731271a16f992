"""A frozen network answers what the network does, by fewer operations."""

import numpy as np
import pytest

from fcn_tf.exporting.freeze import freeze
from tests.networks import narrow_fcn, random_images, relative_difference

TINY = {"num_classes": 3, "width": 1 / 32, "head_units": 4}


@pytest.mark.parametrize("geometry", ["same", "caffe"])
def test_what_constants_decide_is_decided(geometry):
    """No channel is picked; of three bilinear kernels the last, a large one, interpolates."""
    model = narrow_fcn("fcn8s", geometry=geometry, **TINY)
    image = random_images(1, 40, 50, 3)
    for convolutions in (2, 3):
        weights = [weight.numpy() for weight in model.weights]
        logits = freeze(model)
        types = [one.type for one in logits.get_concrete_function().graph.get_operations()]
        assert types.count("Conv2DBackpropInput") == convolutions
        assert not {"If", "StatelessIf", "GatherV2"} & set(types)
        expected = model(image, training=False).numpy()
        assert relative_difference(logits(image).numpy(), expected) < 5e-6
        for before, after in zip(weights, model.weights, strict=True):
            np.testing.assert_array_equal(before, after)
        kernel = model.get_layer("upscore8").kernel
        kernel.assign(np.random.default_rng(0).standard_normal(kernel.shape))
