"""Whatever is given as an image."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.errors import InputError
from fcn_tf.inference.kinds import load_any
from fcn_tf.inference.predictor import Predictor
from tests.extras import needs_extra
from tests.inference.handmade import handmade_model, handmade_scores
from tests.networks import random_images

IMAGE = random_images(32, 48, 3)
LABELS = handmade_scores(IMAGE[None])[0].argmax(-1)


def png(image=IMAGE):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file


@pytest.fixture(scope="module")
def predictor():
    return Predictor(handmade_model()[0])


def test_an_image_may_come_in_many_forms(predictor, tmp_path):
    (tmp_path / "a.png").write_bytes(png().getvalue())
    half_read = png()
    half_read.read(100)
    with (tmp_path / "a.png").open("rb") as file:
        forms = [
            IMAGE, tmp_path / "a.png", str(tmp_path / "a.png"), png().getvalue(),
            bytearray(png().getvalue()), memoryview(png().getvalue()), half_read, file,
            Image.fromarray(IMAGE), tf.constant(IMAGE),
        ]  # fmt: skip
        for form in forms[:7]:
            np.testing.assert_array_equal(predictor(form), LABELS)
        for labels in predictor(forms):
            np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_allclose(predictor.scores(png()), handmade_scores(IMAGE[None])[0], rtol=1e-6)


@needs_extra("backends", "jax", "torch")
def test_arrays_of_other_libraries(predictor):
    import jax
    import torch

    for array in (torch.from_numpy(IMAGE), jax.numpy.asarray(IMAGE)):
        np.testing.assert_array_equal(predictor(array), LABELS)
    with pytest.raises(InputError, match=r"^torch\.uint8 \(3, 32, 48\) is no image: an image is a"):
        predictor(torch.from_numpy(IMAGE).permute(2, 0, 1))
    with pytest.raises(InputError, match=r"^NumPy cannot read the image: .*meta"):
        predictor(torch.from_numpy(IMAGE).to("meta"))


NO_IMAGES = {
    "none": (None, "NoneType is no image: an image is a path, the bytes of an image file"),
    "number": (7, "int is no image"),
    "list in a list": ([[IMAGE]], "list is no image"),
    "dict": ({"image": IMAGE}, "dict is no image"),
    "iterator": (iter([IMAGE]), "list_iterator is no image"),
    "fractions": (IMAGE / 255, r"float64 \(32, 48, 3\) is no image: .* uint8 \(height, width, 3\)"),
    "batch": (IMAGE[None], r"uint8 \(1, 32, 48, 3\) is no image: .*several images are a list"),
    "grey": (IMAGE[..., 0], r"uint8 \(32, 48\) is no image"),
    "signed": (IMAGE.astype(np.int8), r"int8 \(32, 48, 3\) is no image"),
    "empty": (IMAGE[:0], "at least one pixel"),
    "text": (io.StringIO("text"), 'open as text: open it as bytes, mode "rb"'),
    "bytes": (b"no", r"The image: cannot be read as an image \(it has none of the formats"),
    "deep": (Image.fromarray(IMAGE[..., 0].astype(np.uint16)), r"8 bits a channel \(I;16\)"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_named(predictor, name):
    given, message = NO_IMAGES[name]
    with pytest.raises(InputError, match=message):
        predictor(given)


def test_scores_are_of_one_image_and_a_closed_file_is_none(predictor):
    with pytest.raises(InputError, match="list is no image"):
        predictor.scores([IMAGE])
    closed = png()
    closed.close()
    with pytest.raises(InputError, match=r"The image's file cannot be read: .*closed"):
        predictor(closed)


def test_the_first_of_several_frames_is_taken_with_a_warning(predictor, tmp_path):
    first, second = Image.fromarray(IMAGE), Image.fromarray(255 - IMAGE)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    for form in (tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes()):
        with pytest.warns(UserWarning, match="has 2 pages or frames, of which the first") as told:
            np.testing.assert_array_equal(predictor(form), LABELS)
        assert told[0].filename == __file__


@pytest.mark.parametrize("model", [None, b"PK", io.BytesIO(), tf.keras.Sequential()])
def test_what_is_no_model_is_named(model):
    with pytest.raises(InputError, match=rf"A model is an FCN.*this is {type(model).__name__}\.$"):
        load_any(model)
