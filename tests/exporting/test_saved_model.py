"""The signatures of a SavedModel whose answers can be worked out by hand."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from fcn_tf.exporting.saved_model import Served, run, write_saved_model
from tests.images.files import GREY, RGB, png, saved
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


def answer_to(contents):
    """The pixels that a served model decodes of a file."""
    return tf.function(Served(logits, 1000)._decode)(tf.constant(contents)).numpy()


def file_of(picture, kind="JPEG", **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def test_a_server_decodes_the_pixels_that_are_stored():
    """A JPEG as Pillow does, to the last grey level; an EXIF orientation is left aside."""
    smooth = Image.fromarray(random_images(4, 5, 3)).resize((30, 20), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for options in ({}, {"exif": turned}, {"subsampling": "4:4:4", "progressive": True}):
        contents = file_of(smooth, quality=60, **options)
        np.testing.assert_array_equal(answer_to(contents), Image.open(io.BytesIO(contents)))
    np.testing.assert_array_equal(answer_to(file_of(smooth, "PNG", exif=turned)), smooth)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (png(GREY, 16), "image_bytes holds a PNG of 16 bits a channel: send it with 8 bits"),
        (png(RGB, 16), "image_bytes holds a PNG of 16 bits a channel: send it with 8 bits"),
        (saved("JPEG", "CMYK"), "image_bytes holds a JPEG in CMYK: send it as RGB"),
        (saved("BMP"), "image_bytes holds neither a JPEG nor a PNG"),
    ],
)
def test_a_server_refuses_what_it_would_change(contents, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        answer_to(contents)
