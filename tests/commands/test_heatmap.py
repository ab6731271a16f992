"""What each option of `heatmap` does, with a classifier that answers the mean of each channel."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from fcn_tf.inference import heatmap as module

# The red, the green and the blue of all pixels, and the mean and the deviation of ImageNet's.
RGB = np.array([200.0, 100.0, 50.0])
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FED = {
    "none": RGB,
    "tf": RGB / 127.5 - 1,
    "torch": (RGB / 255 - MEAN) / DEVIATION,
    "caffe": RGB[::-1] - np.array([103.939, 116.779, 123.68]),
}


def classifier():
    """Of images of 4 x 4: the probability of class i is the sigmoid of 1/50 of channel i's mean."""
    built = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="sigmoid"),
        ]
    )
    built.layers[-1].kernel.assign(0.02 * np.eye(3))
    return built


@pytest.fixture
def drawn(tmp_path, monkeypatch, run_here):
    """Runs `heatmap` on an image of 5 x 7 of one colour; returns what is drawn and printed."""
    image = np.full((5, 7, 3), RGB, np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    figures = {}
    figure_of = module.heatmap_figure

    def figure(image, heat, extent_px, title):
        figures.update(image=image, heat=heat, title=title)
        return figure_of(image, heat, extent_px, title)

    def write(path, figure):
        figures["path"] = str(path)

    monkeypatch.setattr(module, "heatmap_figure", figure)
    monkeypatch.setattr(module, "write_figure", write)

    def run(*arguments):
        figures.clear()
        done = run_here("heatmap", "image.png", *arguments)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(figures["image"], image)
        return {**figures, "said": done.stdout}

    return run


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values)))


def test_every_option(drawn, tmp_path):
    classifier().save(tmp_path / "c.keras")
    (tmp_path / "names.txt").write_text("red_light\ngreen\nblue\n")
    for mode, fed in FED.items():
        arguments = ("--model=c.keras", f"--preprocessing={mode}", f"--out={mode}.PNG")
        one = drawn(*arguments, "--classes=1")
        np.testing.assert_allclose(one["heat"], np.full((2, 4), sigmoid(0.02 * fed[1])), rtol=1e-5)
        assert one["title"] == "class 1"
        assert one["path"] == f"{mode}.PNG"
    named = drawn(*arguments, "--classes=red light, blue", "--class_names=names.txt")
    both = sigmoid(0.02 * fed[0]) + sigmoid(0.02 * fed[2])
    np.testing.assert_allclose(named["heat"], np.full((2, 4), both), rtol=1e-5)
    assert named["title"] == "red light, blue"
    assert re.search(
        rf"^2 x 4 cells; the highest, row \d, column \d: {both:.3f}$", named["said"], re.M
    )


def test_vgg16_and_its_weights_are_the_default(drawn, monkeypatch):
    asked = []

    def imagenet_classifier(name, option, weights):
        asked.append((name, option, weights))
        return classifier()

    monkeypatch.setattr(module, "imagenet_classifier", imagenet_classifier)
    plain = drawn("--classes=0", "--out=a.png")
    np.testing.assert_allclose(plain["heat"][0, 0], sigmoid(0.02 * FED["caffe"][0]), rtol=1e-5)
    other = drawn("--classes=0", "--out=a.png", "--weights=w.h5", "--preprocessing=none")
    np.testing.assert_allclose(other["heat"][0, 0], sigmoid(0.02 * FED["none"][0]), rtol=1e-5)
    assert asked == [
        ("VGG16", "--weights FILE", "imagenet"),
        ("VGG16", "--weights FILE", "w.h5"),
    ]
