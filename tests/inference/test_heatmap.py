import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import fcn_tf.inference.heatmap as module
from fcn_tf.errors import InputError
from fcn_tf.inference.heatmap import heatmap
from fcn_tf.models import build_fcn, save_model
from tests.networks import keras_vgg16, random_images

CELL_PX = 16


def classifier_of(height_px, width_px):
    """A classifier: the logit of class 1, "red", is a twentieth of the mean red, less 5."""
    classifier = keras.Sequential(
        [
            keras.Input((height_px, width_px, 3)),
            layers.AveragePooling2D(CELL_PX),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),  # of training alone
            layers.Dense(2, activation="softmax"),
        ]
    )
    classifier.layers[-1].set_weights([np.array([[0, 0.05], [0, 0], [0, 0]]), np.array([0, -5])])
    return classifier


@pytest.fixture
def red(tmp_path):
    """The file of one of 64 x 64 images."""
    classifier_of(64, 64).save(tmp_path / "red.keras")
    return tmp_path / "red.keras"


@pytest.fixture
def image(tmp_path):
    """128 rows, 192 columns, black, with a red square of 64 px whose corner is at (32, 96)."""
    pixels = np.zeros((128, 192, 3), np.uint8)
    pixels[32:96, 96:160, 0] = 200
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def test_the_map_is_the_classifier_at_every_place(red, image, tmp_path, capsys):
    heat = heatmap(red, ["1"], image, tmp_path / "out.png", preprocessing="none")
    # Windows of 4 x 4 cells of 16 px; each overlaps the square by rows times columns of cells.
    rows = np.array([2, 3, 4, 3, 2])
    columns = np.array([0, 0, 0, 1, 2, 3, 4, 3, 2])[: 192 // 16 - 3]
    mean_red = 200 * np.outer(rows, columns) / 16
    np.testing.assert_allclose(heat, 1 / (1 + np.exp(5 - 0.05 * mean_red)), rtol=1e-5)
    assert np.unravel_index(heat.argmax(), heat.shape) == (2, 6)
    highest = 1 / (1 + np.exp(5 - 0.05 * 200))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"5 x 9 cells; the highest, row 2, column 6: {highest:.3f}",
        f"Written: {tmp_path / 'out.png'}",
    ]
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size[0] > 800


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of the figure that is drawn, by name."""
    seen = {}
    figure_of = module.heatmap_figure

    def figure(image, heat, extent_px, title):
        seen.update(image=image, heat=heat, extent_px=extent_px, title=title)
        return figure_of(image, heat, extent_px, title)

    monkeypatch.setattr(module, "heatmap_figure", figure)
    monkeypatch.setattr(module, "write_figure", lambda path, figure: None)
    return seen


def test_the_map_lies_where_its_windows_are(image, tmp_path, drawn):
    """The classifier's images are higher than wide, so that no side stands for the other."""
    classifier_of(64, 32).save(tmp_path / "tall.keras")
    heat = heatmap(tmp_path / "tall.keras", ["1"], image, tmp_path / "a.png", preprocessing="none")
    # The first window's centre is 32 px down and 16 px to the right; 5 and 11 cells of 16 px.
    assert drawn["extent_px"] == (8, 8 + 11 * 16, 24 + 5 * 16, 24)
    np.testing.assert_array_equal(drawn["heat"], heat)
    with Image.open(image) as pixels:
        np.testing.assert_array_equal(drawn["image"], pixels)
    assert drawn["title"] == "class 1"


def test_a_segmentation_model_gives_a_map_of_its_pixels(image, tmp_path, drawn):
    names = ["wall", "door_frame", "lamp"]
    model = build_fcn("fcn32s", 3, width=1 / 64, head_units=4, class_names=names)
    score = model.get_layer("score_fr")
    score.bias.assign([0.0, 1.0, -1.0])  # the kernel is 0: each pixel has these logits
    save_model(model, tmp_path / "fcn.keras")
    heat = heatmap(tmp_path / "fcn.keras", ["Lamp", "door frame"], image, tmp_path / "out.png")
    expected = (np.exp(1) + np.exp(-1)) / (1 + np.exp(1) + np.exp(-1))
    np.testing.assert_allclose(heat, np.full((128, 192), expected), rtol=1e-5)
    assert drawn["extent_px"] == (0, 192, 128, 0)
    assert drawn["title"] == "Lamp, door frame"
    with pytest.raises(InputError, match="is a segmentation model, which holds both"):
        heatmap(tmp_path / "fcn.keras", ["1"], image, tmp_path / "o.png", preprocessing="none")


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


def test_a_small_image_is_enlarged(tmp_path, drawn, capsys):
    """In proportion, until no side is shorter than that of the classifier's images."""
    classifier_of(64, 32).save(tmp_path / "tall.keras")
    pixels = np.zeros((40, 21, 3), np.uint8)
    pixels[:20, :, 0] = 200  # the upper half
    Image.fromarray(pixels).save(tmp_path / "small.png")
    arguments = (tmp_path / "tall.keras", ["1"], tmp_path / "small.png", tmp_path / "out.png")
    heat = heatmap(*arguments, preprocessing="none")
    said = "The image is smaller than the classifier's 64 x 32 px: enlarged 1.60 times."
    assert said in capsys.readouterr().out
    assert drawn["image"].shape == (64, 34, 3)  # 33.6 px wide
    assert drawn["image"][:28, :, 0].min() > 190
    assert drawn["image"][36:, :, 0].max() < 10
    # The one window is as high as the image, half of which is red: the logit is 0.
    np.testing.assert_allclose(heat, [[0.5]], atol=0.01)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (layers.Dense(2, activation="softmax"), True),
        (layers.Dense(2, activation="sigmoid"), True),
        (layers.Softmax(), True),
        (layers.Activation("softmax"), True),
        (layers.Dense(2), False),
        (layers.Dense(2, activation="relu"), False),
    ],
)
def test_what_gives_probabilities(last, expected):
    classifier = keras.Sequential([keras.Input((2,)), last])
    assert module._gives_probabilities(classifier) is expected


def test_names_are_those_of_imagenet_where_there_are_1000_classes(monkeypatch):
    """With a stand-in for the list that would be downloaded."""

    def decode_predictions(probabilities, top):
        assert top == 1
        return [[("n0", f"Thing_{one.argmax()}", one.max())] for one in probabilities]

    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", decode_predictions)
    assert module._columns(["thing 7", "thing 998"], 1000, None) == [7, 998]
    names = ["a", *map(str, range(1, 1000))]
    assert module._columns(["a"], 1000, names) == [0]


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
        "potato: the model has 2 classes (a, b, …)": (
            *(red, ["potato"], image, out),
            {**unscaled, "class_names": ["a", "b"]},
        ),
        "cannot be read as an image": (red, ["1"], red, out, unscaled),
        "neither vgg16 nor a file": (tmp_path / "no.keras", ["1"], image, out, unscaled),
        "cannot be read as a Keras model": (image, ["1"], image, out, unscaled),
    }
    for message, (*arguments, options) in refusals.items():
        with pytest.raises(InputError, match=re.escape(message)):
            heatmap(*arguments, **options)
    assert not out.exists()
