import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from fcn_tf.classes import VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, shapes
from fcn_tf.data.shapes import CLASSES, SEED, SPLIT_SIZES, dilate, draw_scene
from fcn_tf.evaluation.metrics import confusion_matrix, scores_from_confusion

PATCH_PX = 5
PATCH_SCORE_LIMIT = 0.35
SMALL_PX = 16
SMALL_SHARE_AT_LEAST = 0.05


def scenes(count, split_index=0):
    for index in range(count):
        yield draw_scene(np.random.default_rng((SEED, split_index, index)))


def test_tfds_load_finds_it_and_its_splits(tmp_path, monkeypatch):
    """As many scenes as there are, none of which is drawn."""
    scene = tuple(np.zeros(shape, np.uint8) for shape in ((1, 1, 3), (1, 1), (1, 1)))
    monkeypatch.setattr(shapes, "draw_scene", lambda rng: scene)
    open_source(DataConfig(name="shapes", tfds_dir=str(tmp_path)))
    data, info = tfds.load("shapes", data_dir=tmp_path, with_info=True)
    assert {split: len(data[split]) for split in data} == SPLIT_SIZES
    assert info.metadata["class_names"] == list(CLASSES)


def test_a_stored_scene_is_the_drawn_one(few_scenes_dir):
    data = tfds.load("shapes", split="val", data_dir=few_scenes_dir)
    stored = {example["file_name"]: example for example in data.as_numpy_iterator()}
    for index, drawn in enumerate(scenes(3, split_index=1)):
        example = stored[f"val_{index:04d}.png".encode()]
        np.testing.assert_array_equal(example["image"], drawn[0])
        np.testing.assert_array_equal(example["segmentation_mask"][..., 0], drawn[1])
        np.testing.assert_array_equal(example["instance_mask"][..., 0], drawn[2])


def test_scenes_are_those_of_version_1():
    """The size, the pixels of each class and of VOID, the mean colour and the deviation."""
    known = {
        (0, 0): ((100, 76), (6393, 384, 338, 0, 123, 0, 362), (93.21, 26.04, 96.74), 43.65),
        (1, 0): ((85, 117), (7593, 474, 0, 760, 62, 483, 573), (45.05, 146.57, 33.35), 62.23),
        (2, 5): ((106, 76), (6491, 711, 254, 0, 93, 52, 455), (54.85, 149.58, 75.35), 51.53),
    }
    for (split_index, index), (size, counts, mean, deviation) in known.items():
        *_, (image, labels, _) = scenes(index + 1, split_index)
        assert labels.shape == size
        assert [np.sum(labels == label) for label in (0, 1, 2, 3, 4, 5, VOID)] == list(counts)
        np.testing.assert_allclose(image.mean((0, 1)), mean, atol=0.02)
        np.testing.assert_allclose(image.std(), deviation, atol=0.02)


def test_sizes_vary_and_are_no_multiples_of_32():
    sizes = {image.shape[:2] for image, _, _ in scenes(50)}
    assert len(sizes) > 40
    assert np.mean([h % 32 == 0 or w % 32 == 0 for h, w in sizes]) < 0.2


def test_masks_agree_and_void_rings_every_object():
    for _, labels, instances in scenes(30):
        np.testing.assert_array_equal(labels == VOID, instances == VOID)
        np.testing.assert_array_equal(labels == 0, instances == 0)
        for number in np.unique(instances[(instances > 0) & (instances != VOID)]):
            inside = instances == number
            assert len(np.unique(labels[inside])) == 1
            # One step out of an object lies VOID or another object, never the background.
            assert not (labels[dilate(inside, 1) & ~inside] == 0).any()


def test_enough_of_the_objects_is_small():
    small = total = 0
    for _, _, instances in scenes(300):
        for number in np.unique(instances[(instances > 0) & (instances != VOID)]):
            rows, columns = np.nonzero(instances == number)
            extent_px = max(np.ptp(rows), np.ptp(columns)) + 1
            total += len(rows)
            small += len(rows) * (extent_px < SMALL_PX)
    assert small / total >= SMALL_SHARE_AT_LEAST


def test_every_class_is_common():
    counts = sum(np.bincount(labels.ravel(), minlength=256) for _, labels, _ in scenes(300))
    shares = counts[1 : len(CLASSES)] / counts[: len(CLASSES)].sum()
    assert shares.min() > 0.005


@pytest.mark.parametrize("hidden_units", [64])
def test_a_classifier_of_small_patches_fails(hidden_units):
    """Colour and texture do not give the class away: it takes the form."""
    train = [patches(image, labels) for image, labels, _ in scenes(300)]
    x, y = (np.concatenate(parts) for parts in zip(*train, strict=True))
    # Balanced, so that the classifier is not content with the background.
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.choice(np.flatnonzero(y == c), 12_000) for c in range(len(CLASSES))])
    classifier = tf.keras.Sequential(
        [
            tf.keras.layers.Dense(hidden_units, "relu"),
            tf.keras.layers.Dense(hidden_units, "relu"),
            tf.keras.layers.Dense(len(CLASSES)),
        ]
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(tf.keras.optimizers.Adam(2e-3), loss)
    classifier.fit(scaled(x[rows]), y[rows], batch_size=512, epochs=8, verbose=0)

    val = [patches(image, labels) for image, labels, _ in scenes(60, split_index=1)]
    x, y = (np.concatenate(parts) for parts in zip(*val, strict=True))
    logits = classifier.predict(scaled(x), batch_size=8192, verbose=0)
    # With the classes' true shares as prior, the best that it can do for the score.
    shares = np.bincount(y, minlength=len(CLASSES)) / len(y)
    for prior in (np.zeros(len(CLASSES)), np.log(shares), np.log(shares) / 2):
        matrix = confusion_matrix(y, (logits + prior).argmax(-1), len(CLASSES))
        score = scores_from_confusion(matrix)["mean_iou"]
        assert 1 / len(CLASSES) / 2 < score <= PATCH_SCORE_LIMIT


def patches(image, labels):
    """The surroundings of every labelled pixel, uint8 (n, 75), and its label."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH_PX, PATCH_PX), axis=(0, 1))
    margin = PATCH_PX // 2
    centers = labels[margin:-margin, margin:-margin]
    labelled = centers != VOID
    return windows[labelled].reshape(labelled.sum(), -1), centers[labelled].astype(int)


def scaled(x):
    """To float32 in -1..1."""
    return x.astype("float32") / 127.5 - 1
