"""metrics.jsonl, and what TensorBoard reads."""

import io
import json

import numpy as np
import tensorflow as tf
from PIL import Image

from fcn_tf.training.checkpoints import Place
from fcn_tf.training.log import RunLog
from tests.training.runs import lines_of

TRAIN = {"split": "train", "epoch": 0.5, "loss": 1.5, "mean_iou": None, "learning_rate": 0.001}
VAL = {"split": "val", "epoch": 0.5, "loss": 2.5, "mean_iou": 0.25, "class_iou": {"a": 0.25}}


def of_tensorboard(folder):
    """The values in TensorBoard's files: (step, name) and what it shows."""
    found = {}
    for path in sorted(folder.iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found[event.step, value.tag] = tf.make_ndarray(value.tensor)
    return found


def test_lines_go_to_the_file_and_to_tensorboard(tmp_path):
    log = RunLog(tmp_path, Place())
    log.write({"step": 4, **TRAIN})
    log.write({"step": 6, **VAL})
    log.close()
    assert lines_of(tmp_path) == log.lines == [{"step": 4, **TRAIN}, {"step": 6, **VAL}]
    assert log.path == tmp_path / "metrics.jsonl"
    train = of_tensorboard(tmp_path / "tensorboard/train")
    expected = {(4, "epoch"): 0.5, (4, "loss"): 1.5, (4, "learning_rate"): np.float32(0.001)}
    assert train == expected
    val = of_tensorboard(tmp_path / "tensorboard/val")
    assert val == {(6, "epoch"): 0.5, (6, "loss"): 2.5, (6, "mean_iou"): 0.25}


def test_pictures_go_to_tensorboards_page_of_val(tmp_path):
    random = np.random.default_rng(0)
    pictures = {f"{n}.png": random.integers(0, 256, (4, 9, 3), dtype=np.uint8) for n in (1, 2)}
    log = RunLog(tmp_path, Place())
    log.write_pictures(6, pictures)
    log.close()
    shown = of_tensorboard(tmp_path / "tensorboard/val")
    assert {(step, name.split("/image")[0]) for step, name in shown} == {(6, n) for n in pictures}
    for (_, name), (width, height, png) in shown.items():
        assert (int(width), int(height)) == (9, 4)
        with Image.open(io.BytesIO(png)) as image:
            np.testing.assert_array_equal(np.asarray(image), pictures[name.split("/image")[0]])


def test_lines_later_than_the_place_are_dropped(tmp_path):
    """A torn line is dropped too, and an evaluation that is done again."""
    lines = [{"step": 3, **TRAIN}, {"step": 3, **VAL}, {"step": 4, **TRAIN}]
    at_6 = [{"step": 6, **TRAIN}, {"step": 6, **VAL}]
    later = [{"step": 7, **TRAIN}, {"step": 9, **VAL}]
    path = tmp_path / "metrics.jsonl"
    for place, kept in (
        (Place(step=5, evaluated_step=3), lines),
        (Place(step=6, evaluated_step=6), [*lines, *at_6]),
        (Place(step=6, evaluated_step=3), [*lines, at_6[0]]),
    ):
        path.write_text("".join(json.dumps(one) + "\n" for one in [*lines, *at_6, *later]))
        with path.open("a") as file:
            file.write('{"step": 2, "spl')
        log = RunLog(tmp_path, place)
        assert lines_of(tmp_path) == log.lines == kept
        log.write({"step": 8, **TRAIN})
        log.close()
        assert lines_of(tmp_path) == log.lines == [*kept, {"step": 8, **TRAIN}]
