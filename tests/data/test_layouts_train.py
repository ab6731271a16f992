"""Layouts of people and of tools, from a tree of real files to two steps of training."""

import keras
import numpy as np
import pytest
from PIL import Image

import fcn_tf
from fcn_tf.classes import VOID
from fcn_tf.config.schema import DataConfig
from fcn_tf.data import open_source, training_batches
from fcn_tf.data.check import check_data_set
from fcn_tf.evaluation.batches import SegmentationMetrics
from fcn_tf.training.segmentation_loss import SegmentationLoss
from tests.data.test_find_layout import FOUND

SIDE_PX = 8
# The values of two classes in the masks, where these are not 0 and 1, and the classes' file.
VALUES = {"_labelIds": (7, 8), "_labelTrainIds": (0, 1), "ADE_": (1, 2)}
TRAINED = (
    *("masks with a suffix", "splits above", "split and kind in one name", "MMSegmentation"),
    *("Cityscapes", "ADE20K", "VOC", "CVAT, CamVid 1.0", "CamVid of fast.ai", "Roboflow"),
    *("beside each other", "folders below", "letter case"),
)
NAMED_BY_LAYOUT = ("_labelIds", "_labelTrainIds")


@pytest.fixture(scope="module")
def steps():
    """Takes steps with batches of any data set; returns the loss and the pixels of each."""
    networks = {}

    def take(batches, num_classes):
        if num_classes not in networks:
            model = fcn_tf.build_fcn("fcn32s", num_classes, width=1 / 64, head_units=4)
            model.compile(
                optimizer=keras.optimizers.SGD(1e-3),
                loss=SegmentationLoss(),
                metrics=[SegmentationMetrics(num_classes)],
            )
            networks[num_classes] = model
        found = []
        for images, masks in batches:
            networks[num_classes].reset_metrics()
            found.append(networks[num_classes].train_on_batch(images, masks, return_dict=True))
        return found

    return take


def write_images(root, pairs, others):
    """Photographs, masks with two classes, and other files."""
    rng = np.random.default_rng(0)
    for image, mask in pairs:
        for path in (image, mask):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        Image.fromarray(picture).save(root / image)
        values = next((v for word, v in VALUES.items() if word in mask), (0, 1))
        labels = np.full((SIDE_PX, SIDE_PX), values[0], np.uint8)
        labels[:, SIDE_PX // 2 :] = values[1]
        Image.fromarray(labels).save(root / mask)
    for path in others:
        if path.endswith((".png", ".jpg")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / path)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_two_steps_are_trained(name, steps, tmp_path, capsys):
    pairs, others, layout, sizes = FOUND[name]
    write_images(tmp_path, pairs, others)
    if not any(word in pairs[0][1] for word in NAMED_BY_LAYOUT):
        number = 150 if "ADE_" in pairs[0][1] else 2
        (tmp_path / "classes.txt").write_text("\n".join(f"class{n}" for n in range(number)))
    config = DataConfig(
        name="folder", data_dir=str(tmp_path), crop_px=SIDE_PX, batch_size=2, flip=False
    )
    source = open_source(config)
    assert f"Layout: {layout}" in capsys.readouterr().out
    assert sum(source.split_sizes.values()) == sum(sizes.values())
    batches = list(training_batches(source, config, seed=0).take(2).as_numpy_iterator())
    for _, masks in batches:
        # Half of each image is one class, and half the other.
        assert np.bincount(masks.ravel(), minlength=VOID + 1)[:2].tolist() == [64, 64]
    for step in steps(batches, len(source.class_names)):
        assert np.isfinite(step["loss"])
        assert 0 < step["loss"] < 2 * np.log(len(source.class_names))
    assert check_data_set(config).errors == []
