"""The signatures of a SavedModel whose answers can be worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.exporting.saved_model import Served, run, write_saved_model
from tests.networks import random_images

FREE = (None, None, None, 3)


@tf.function(input_signature=[tf.TensorSpec(FREE, tf.uint8)])
def logits(images):
    """The colours of a pixel, which are different."""
    return tf.cast(images, tf.float32) / 255


class OthersPngs(Served):
    """Its PNGs of labels are of the mirrored image."""

    def _label_png(self, contents):
        labels = self._labels(self._decode(contents)[None])[0]
        return tf.io.encode_png(labels[:, ::-1, None])


class OthersLabels(Served):
    """Its labels are of the mirrored image."""

    @tf.function(input_signature=[tf.TensorSpec(FREE, tf.uint8, name="images")])
    def labels(self, images):
        return {"labels": self._labels(images)[:, :, ::-1]}


def image():
    """Noise, in which no two channels of a pixel are the same."""
    noise = random_images(20, 30, 3)
    return noise // 3 * 3 + np.arange(3, dtype=np.uint8)


def test_the_answer_is_the_softmax_of_the_logits(tmp_path):
    write_saved_model(logits, tmp_path, max_pixels=1000)
    found = run(str(tmp_path))(image())
    exponents = np.exp(image() / 255)
    expected = exponents / exponents.sum(-1, keepdims=True)
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-5)


@pytest.mark.parametrize("served", [OthersPngs, OthersLabels])
def test_signatures_that_disagree_are_refused(tmp_path, served):
    module = served(logits, 1000)
    signatures = {
        "serving_default": module.label_pngs,
        "labels": module.labels,
        "scores": module.scores,
    }
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    with pytest.raises(SystemExit, match=r"the signatures agree on 0\.\d{6} of the pixels"):
        run(str(tmp_path))(image())
