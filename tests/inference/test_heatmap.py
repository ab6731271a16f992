import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import fcn_tf.inference.heatmap as module
from fcn_tf.errors import InputError
from fcn_tf.inference.heatmap import heatmap
from tests.networks import keras_vgg16, random_images

CELL_PX = 16


@pytest.fixture
def red(tmp_path):
    """A classifier of 64 x 64 images: the logit of "red" is a twentieth of the mean red, less 5."""
    classifier = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.AveragePooling2D(CELL_PX),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    classifier.layers[-1].set_weights([np.array([[0, 0.05], [0, 0], [0, 0]]), np.array([0, -5])])
    classifier.save(tmp_path / "red.keras")
    return tmp_path / "red.keras"


@pytest.fixture
def image(tmp_path):
    """128 rows, 192 columns, black, with a red square of 64 px whose corner is at (32, 96)."""
    pixels = np.zeros((128, 192, 3), np.uint8)
    pixels[32:96, 96:160, 0] = 200
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def test_the_map_is_the_classifier_at_every_place(red, image, tmp_path):
    heat = heatmap(red, ["1"], image, tmp_path / "out.png", preprocessing="none")
    # Windows of 4 x 4 cells of 16 px; each overlaps the square by rows times columns of cells.
    rows = np.array([2, 3, 4, 3, 2])
    columns = np.array([0, 0, 0, 1, 2, 3, 4, 3, 2])[: 192 // 16 - 3]
    mean_red = 200 * np.outer(rows, columns) / 16
    np.testing.assert_allclose(heat, 1 / (1 + np.exp(5 - 0.05 * mean_red)), rtol=1e-5)
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 6)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size[0] > 800


def test_the_map_lies_where_its_windows_are(red, image, tmp_path, monkeypatch):
    seen = {}
    drawn = module.heatmap_figure
    monkeypatch.setattr(module, "heatmap_figure", lambda *a: seen.update(extent=a[2]) or drawn(*a))
    heatmap(red, ["1"], image, tmp_path / "out.png", preprocessing="none")
    # The first window's centre is at 32, so its cell reaches from 24 to 40; 9 and 5 cells.
    assert seen["extent"] == (24, 24 + 9 * 16, 24 + 5 * 16, 24)


def test_names_and_sums_of_classes(red, image, tmp_path):
    names = ["Dark_one", "tomato"]
    options = {"preprocessing": "none", "class_names": names}
    both = heatmap(red, ["tomato", "dark one"], image, tmp_path / "out.png", **options)
    np.testing.assert_allclose(both, 1, rtol=1e-6)
    one = heatmap(red, ["tomato"], image, tmp_path / "out.png", **options)
    assert one.max() < 1


def test_logits_are_made_probabilities(red, image, tmp_path, capsys):
    classifier = keras.saving.load_model(red)
    classifier.layers[-1].activation = keras.activations.linear
    classifier.save(tmp_path / "logits.keras")
    heat = heatmap(
        tmp_path / "logits.keras", ["1"], image, tmp_path / "a.png", preprocessing="none"
    )
    assert "softmax" in capsys.readouterr().out
    np.testing.assert_allclose(
        heat, heatmap(red, ["1"], image, tmp_path / "b.png", preprocessing="none"), rtol=1e-5
    )
    assert "softmax" not in capsys.readouterr().out


def test_vgg16_is_fed_as_it_was_trained(tmp_path, monkeypatch):
    """With a narrow one in place of the one that would be downloaded."""
    classifier = keras_vgg16(width=1 / 64, head_units=4, cells=2, classes=3)
    monkeypatch.setattr(module, "imagenet_classifier", lambda name, option, weights: classifier)
    pixels = random_images(64, 64, 3)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    heat = heatmap("vgg16", ["2"], tmp_path / "image.png", tmp_path / "out.png")
    bgr = pixels[None, ..., ::-1] - np.array([103.939, 116.779, 123.68], "float32")
    expected = keras.ops.softmax(classifier(bgr, training=False))[0, 2]
    np.testing.assert_allclose(heat, [[expected]], rtol=1e-4)


def test_a_small_image_is_enlarged(red, tmp_path):
    Image.new("RGB", (20, 32), (200, 0, 0)).save(tmp_path / "small.png")
    heat = heatmap(red, ["1"], tmp_path / "small.png", tmp_path / "out.png", preprocessing="none")
    assert heat.shape == ((103 - 64) // 16 + 1, 1)  # 64 px wide, 102.4 px high
    np.testing.assert_allclose(heat, 1 / (1 + np.exp(5 - 0.05 * 200)), rtol=1e-5)


def test_what_cannot_be_drawn_is_refused(red, image, tmp_path):
    out = tmp_path / "out.png"
    unscaled = {"preprocessing": "none"}
    refusals = {
        "--preprocessing is needed": (red, ["1"], image, out, {}),
        "2 classes; give all by name or all by number, 0 to 1": (red, ["2"], image, out, unscaled),
        "--classes names none": (red, [], image, out, unscaled),
        "each may be named once": (red, ["1", "1"], image, out, unscaled),
        "crane: [0, 1] are called so": (
            *(red, ["crane"], image, out),
            {**unscaled, "class_names": ["Crane", "crane"]},
        ),
        "3 names, the classifier 2 classes": (
            *(red, ["a"], image, out),
            {**unscaled, "class_names": ["a", "b", "c"]},
        ),
        "must end in .png": (red, ["1"], image, tmp_path / "out.txt", unscaled),
        "not be the image": (red, ["1"], image, image, unscaled),
        "--class_names FILE": (red, ["tabby"], image, out, unscaled),
        "potato: the classifier has 2 classes (a, b, …)": (
            *(red, ["potato"], image, out),
            {**unscaled, "class_names": ["a", "b"]},
        ),
        "cannot be read as an image": (red, ["1"], red, out, unscaled),
        "neither vgg16 nor a file": (tmp_path / "no.keras", ["1"], image, out, unscaled),
        "cannot be loaded": (image, ["1"], image, out, unscaled),
    }
    for message, (*arguments, options) in refusals.items():
        with pytest.raises(InputError, match=re.escape(message)):
            heatmap(*arguments, **options)
    assert not out.exists()
