import keras
import numpy as np
import pytest
from keras import layers

from fcn_tf.models import convolutionalize
from tests.networks import fill, keras_vgg16

STRIDE_PX = 32
# The side of a classifier's images and half of the receptive field of its last map, both in px;
# the latter is counted from the kernels and the strides. VGG19 has more of VGG16's layers alone.
APPLICATIONS = {
    "MobileNetV2": (224, 491 // 2),
    "ResNet50": (224, 483 // 2),
    "InceptionV3": (299, 1311 // 2),
    "VGG16": (224, 212 // 2),
}


def compare_at_native_size(classifier):
    network = convolutionalize(classifier)
    side_px = classifier.inputs[0].shape[1]
    images = np.random.default_rng(0).normal(size=(2, side_px, side_px, 3)).astype("float32")
    scores = network(images, training=False).numpy()
    expected = classifier(images, training=False).numpy()
    assert scores.shape == (2, 1, 1, expected.shape[-1])
    assert expected.std(axis=-1).min() > 0
    assert np.abs(scores[:, 0, 0] - expected).max() < 1e-4 * np.abs(expected).max()
    return network


def compare_shifted(network, side_px, reach_px):
    """Compares a band, higher than the classifier's images, with the same one stride lower."""
    # A cell is inside if its receptive field touches neither the top nor the bottom.
    margin = -(-reach_px // STRIDE_PX)
    rows = 2 * margin + 4
    band = np.random.default_rng(1).normal(size=(1, side_px + STRIDE_PX * rows, side_px, 3))
    band = band.astype("float32")
    above = network(band[:, :-STRIDE_PX], training=False).numpy()
    below = network(band[:, STRIDE_PX:], training=False).numpy()
    assert above.shape[1:3] == (rows, 1)
    inside = above[:, 1 + margin : rows - margin]
    assert inside.shape[1] >= 3
    assert inside.std(axis=1).max() > 0
    shifted = below[:, margin : rows - margin - 1]
    assert np.abs(shifted - inside).max() < 1e-4 * np.abs(inside).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_of_keras(name):
    classifier = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    fill(classifier)
    side_px, reach_px = APPLICATIONS[name]
    compare_shifted(compare_at_native_size(classifier), side_px, reach_px)


def test_a_narrow_vgg16():
    network = compare_at_native_size(keras_vgg16(width=1 / 32, head_units=16))
    compare_shifted(network, *APPLICATIONS["VGG16"])


HEADS = {
    "flatten, batch normalization, softmax": lambda: [
        layers.Flatten(),
        layers.Dense(8, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.5),
        layers.Dense(5, activation="softmax"),
    ],
    "1 x 1 convolutions as in MobileNet": lambda: [
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Dropout(0.1),
        layers.Conv2D(5, 1),
        layers.Reshape((5,)),
        layers.Activation("softmax"),
    ],
    "axes counted from the front": lambda: [
        layers.Flatten(),
        layers.Dense(8),
        layers.BatchNormalization(axis=1),
        layers.Dense(5),
        layers.Softmax(axis=1),
    ],
    "global maximum": lambda: [layers.GlobalMaxPooling2D(), layers.Dense(5)],
}


def classifier_with(head, size=(32, 48, 3)):
    stem = [
        keras.Input(size),
        layers.Conv2D(6, 3, strides=4, activation="relu"),
        layers.Conv2D(6, 3, activation="relu"),
    ]
    classifier = keras.Sequential([*stem, *head])
    fill(classifier)
    return classifier


@pytest.mark.parametrize("name", HEADS)
def test_each_window_of_a_larger_image_is_classified(name):
    """Without padding inside the network every cell is exactly the classifier on its window."""
    classifier = classifier_with(HEADS[name]())
    network = convolutionalize(classifier)
    images = np.random.default_rng(0).normal(size=(2, 32 + 8, 48 + 4, 3)).astype("float32")
    scores = network(images, training=False).numpy()
    assert scores.shape == (2, 3, 2, 5)
    for row in range(3):
        for column in range(2):
            window = images[:, 4 * row : 4 * row + 32, 4 * column : 4 * column + 48]
            expected = classifier(window, training=False).numpy()
            np.testing.assert_allclose(scores[:, row, column], expected, rtol=1e-4, atol=1e-6)
    assert np.ptp(scores, axis=(1, 2)).min() > 0


def test_a_model_inside_a_model_loaded_from_a_file(tmp_path):
    """A classifier as keras.io's guide to transfer learning builds it."""
    base = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(6, 3, strides=4, activation="relu"),
            layers.BatchNormalization(),
        ],
        name="base",
    )
    images = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(base(layers.Rescaling(1 / 2)(images), training=False))
    built = keras.Model(images, layers.Dense(5)(layers.Dropout(0.2)(x)))
    fill(base)
    fill(built)
    built.save(tmp_path / "classifier.keras")
    classifier = keras.saving.load_model(tmp_path / "classifier.keras")
    network = compare_at_native_size(classifier)
    images = np.random.default_rng(0).normal(size=(1, 36, 32, 3)).astype("float32")
    scores = network(images, training=False).numpy()
    expected = classifier(images[:, 4:], training=False).numpy()
    np.testing.assert_allclose(scores[:, 1, 0], expected, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_moved_over_an_image_is_refused():
    with pytest.raises(ValueError, match=r"\(None, None, None, 3\).*fixed size"):
        convolutionalize(classifier_with(HEADS["global maximum"](), (None, None, 3)))
    with pytest.raises(ValueError, match="before any Flatten or global pooling"):
        convolutionalize(classifier_with([layers.Conv2D(5, 3)]))
    for layer in (layers.BatchNormalization(name="whole"), layers.Softmax(name="whole")):
        head = [layers.Flatten(), layer, layers.Dense(5)]
        with pytest.raises(ValueError, match="whole treats 6 x 10 places together"):
            convolutionalize(classifier_with(head))
    # These look like layers that can be replaced, but their result would be wrong.
    matrix = [layers.GlobalAveragePooling2D(), layers.Dense(12), layers.Reshape((4, 3))]
    with pytest.raises(ValueError, match="before any Flatten"):
        convolutionalize(classifier_with([*matrix, layers.Softmax()]))
    with pytest.raises(ValueError, match="gives every image the same size"):
        convolutionalize(classifier_with([layers.Resizing(8, 8), *HEADS["global maximum"]()]))
    images = keras.Input((32, 32, 3))
    scores = layers.Dense(2)(layers.Flatten()(images))
    with pytest.raises(ValueError, match="2 outputs"):
        convolutionalize(keras.Model(images, [scores, scores]))


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ([layers.Permute((2, 1, 3), name="turn")], "6 x 14 and 14 x 6"),
        ([layers.Permute((3, 1, 2)), layers.ReLU()], "6 x 14 and 6 x 6"),
        ([layers.Flatten(), layers.Reshape((6, 6, 6))], "total size of the tensor must be unch"),
        ([layers.Flatten(), layers.Reshape((-1, 6, 6))], "14 x 6 and 14 x 6"),
        (
            [layers.Flatten(), layers.Dense(8, name="in"), layers.Reshape((2, 2, 2))],
            "fully-defined",
        ),
    ],
)
@pytest.mark.parametrize("reducer", [layers.Flatten, layers.GlobalAveragePooling2D])
def test_a_map_whose_places_are_moved_or_mixed_is_refused(head, reducer, reason):
    """At the classifier's own size, a square, all of them give the right scores."""
    head = [layer.from_config(layer.get_config()) for layer in head]
    classifier = classifier_with([*head, reducer(name="last"), layers.Dense(5)], (32, 32, 3))
    with pytest.raises(ValueError, match=f"does not grow .*{reason}.* Permute .* before last"):
        convolutionalize(classifier)


def test_a_map_that_an_operation_transposes_is_refused():
    images = keras.Input((20, 20, 3))
    features = keras.ops.transpose(layers.Conv2D(4, 3, strides=4)(images), (0, 2, 1, 3))
    with pytest.raises(ValueError, match="5 x 5 cells become 5 x 10 and 10 x 5"):
        convolutionalize(keras.Model(images, layers.Dense(3)(layers.Flatten()(features))))


def test_channels_first_is_refused():
    stem = layers.Conv2D(4, 3, data_format="channels_first", name="first")
    inner = keras.Sequential([keras.Input((3, 20, 20)), stem])
    whole = keras.Sequential([inner, layers.Flatten(), layers.Dense(3)])
    flat = classifier_with([layers.Flatten("channels_first", name="first"), layers.Dense(5)])
    for classifier in (inner, whole, flat):
        with pytest.raises(ValueError, match=r"first takes \(N, channels, height, width\)"):
            convolutionalize(classifier)


def test_what_is_not_trained_stays_so():
    classifier = classifier_with(HEADS["global maximum"]())
    for layer in classifier.layers:
        layer.trainable = False
    assert not convolutionalize(classifier).trainable_weights
